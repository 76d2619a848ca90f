package aliyun

import (
	"context"
	"net/netip"
)

// describeDBInstanceNetInfo tells where clients connect to an instance.
var describeDBInstanceNetInfo = action{
	name: "DescribeDBInstanceNetInfo", level: "get", object: byID, reads: true,
	required: []string{instanceID},
	do:       describeNetInfo,
}

// netInfos is the answer.
type netInfos struct {
	InstanceNetworkType string
	SecurityIPMode      string
	DBInstanceNetInfos  struct{ DBInstanceNetInfo []netInfo }
}

// netInfo is one address. Ports are text.
type netInfo struct {
	ConnectionString     string
	IPAddress            string `json:",omitempty"` // left out if the address is a name
	IPType               string
	Port                 string
	VPCID                string `json:"VPCId"`
	VSwitchID            string `json:"VSwitchId"`
	ConnectionStringType string
	PGBouncerPort        string `json:",omitempty"`
	SecurityIPGroups     securityIPGroups
	DBInstanceWeights    instanceWeights
}

// securityIPGroups is always empty: who may connect is in pg_hba.conf.
type securityIPGroups struct{}

// MarshalJSON writes an empty list.
func (securityIPGroups) MarshalJSON() ([]byte, error) { return []byte(`{"securityIPGroup":[]}`), nil }

// instanceWeights is always empty: reads are not distributed.
type instanceWeights struct{}

// MarshalJSON writes an empty list.
func (instanceWeights) MarshalJSON() ([]byte, error) { return []byte(`{"DBInstanceWeight":[]}`), nil }

func describeNetInfo(ctx context.Context, a *api, c *call) (any, error) {
	id, err := oneInstance(c.params)
	if err != nil {
		return nil, err
	}
	l, err := a.listedByID(ctx, id)
	if err != nil {
		return nil, err
	}
	info := netInfo{
		ConnectionString: l.address.Host, IPType: "Private", Port: l.port(), ConnectionStringType: "Normal",
	}
	if ip, err := netip.ParseAddr(l.address.Host); err == nil {
		info.IPAddress = ip.String()
	}
	if l.endpoint {
		info.PGBouncerPort = info.Port
	}
	answer := netInfos{InstanceNetworkType: networkType, SecurityIPMode: "normal"}
	answer.DBInstanceNetInfos.DBInstanceNetInfo = []netInfo{info}
	return answer, nil
}
