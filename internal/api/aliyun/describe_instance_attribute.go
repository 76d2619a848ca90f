package aliyun

import (
	"context"
	"strings"
)

// describeDBInstanceAttribute tells what is known of one instance or former cluster.
var describeDBInstanceAttribute = action{
	name: "DescribeDBInstanceAttribute", level: "get", object: byID, reads: true,
	required: []string{instanceID},
	do:       describeAttribute,
}

// instanceAttributes is the answer.
type instanceAttributes struct {
	Items struct{ DBInstanceAttribute []dbInstanceAttribute }
}

// dbInstanceAttribute is an instance. What a cloud measures and pgleap does not, such as memory,
// is left out. Port is text.
type dbInstanceAttribute struct {
	DBInstanceID          string `json:"DBInstanceId"`
	DBInstanceDescription string
	Engine                string
	EngineVersion         string
	CurrentKernelVersion  string
	DBInstanceStatus      string
	DBInstanceType        string
	DBInstanceClass       string
	DBInstanceClassType   string
	DBInstanceStorageType string
	DBInstanceNetType     string
	InstanceNetworkType   string
	ConnectionMode        string
	ConnectionString      string
	Port                  string
	RegionID              string `json:"RegionId"`
	ZoneID                string `json:"ZoneId"`
	VpcID                 string `json:"VpcId"`
	VSwitchID             string `json:"VSwitchId"`
	ResourceGroupID       string `json:"ResourceGroupId"`
	PayType               string
	Category              string
	CreationTime          string
	ExpireTime            string
	MaintainTime          string
	LockMode              string
	LockReason            string
	DeletionProtection    bool
	BurstingEnabled       bool
	ColdDataEnabled       bool
	CanTempUpgrade        bool
	MultipleTempUpgrade   bool
	SlaveZones            slaveZones
	ReadOnlyDBInstanceIds readOnlyInstances
	Extra                 extraInstances
}

// slaveZones is always empty, and always there: Terraform insists on it.
type slaveZones struct{}

// MarshalJSON writes an empty list.
func (slaveZones) MarshalJSON() ([]byte, error) { return []byte(`{"SlaveZone":[]}`), nil }

// extraInstances is always empty.
type extraInstances struct{}

// MarshalJSON writes an empty list.
func (extraInstances) MarshalJSON() ([]byte, error) {
	return []byte(`{"DBInstanceIds":{"DBInstanceId":[]}}`), nil
}

func describeAttribute(ctx context.Context, a *api, c *call) (any, error) {
	if err := oneOf(c.params, "Expired", "Parameters.Invalid", "True", "False"); err != nil {
		return nil, err
	}
	id, err := oneInstance(c.params)
	if err != nil {
		return nil, err
	}
	l, err := a.listedByID(ctx, id)
	if err != nil {
		return nil, err
	}
	var answer instanceAttributes
	answer.Items.DBInstanceAttribute = []dbInstanceAttribute{a.attribute(l)}
	return answer, nil
}

// oneInstance refuses several ids in one parameter, which the vendor takes and advises against: a
// permission is for one.
func oneInstance(p params) (string, error) {
	id := p.text(instanceID)
	if strings.Contains(id, ",") {
		return "", fail("Parameters.Invalid", "DBInstanceId must be the id of one instance.")
	}
	return id, nil
}

func (a *api) attribute(l listed) dbInstanceAttribute {
	attribute := dbInstanceAttribute{
		DBInstanceID: l.id, DBInstanceDescription: l.description,
		Engine: engine, EngineVersion: l.engineVersion(), CurrentKernelVersion: "postgresql_" + l.version.String(),
		DBInstanceStatus: l.status, DBInstanceType: "Primary", DBInstanceStorageType: localStorage,
		DBInstanceNetType: "Intranet", InstanceNetworkType: networkType, ConnectionMode: "Standard",
		ConnectionString: l.address.Host, Port: l.port(),
		RegionID: a.options.Region, ZoneID: a.zone(), PayType: payType, Category: "Basic",
		CreationTime: second(l.created), LockMode: l.lockMode(), LockReason: l.lockReason,
	}
	if l.window != nil {
		attribute.MaintainTime = l.window.String()
	}
	return attribute
}
