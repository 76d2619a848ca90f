package aliyun

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"
)

// describeDBInstances lists instances and former clusters by id. The region is asked for because
// the vendor does, and not looked at: there is one, and clients of clouds name another.
var describeDBInstances = action{
	name: "DescribeDBInstances", level: "list", object: everyInstance, reads: true,
	required: []string{"RegionId"},
	do:       describeInstances,
}

// instancesPage is the answer. Unlike those of tasks, its list is wrapped, and PageRecordCount is
// the number of rows on this page.
type instancesPage struct {
	PageNumber       int
	PageRecordCount  int
	TotalRecordCount int
	NextToken        string
	Items            struct{ DBInstance []dbInstance }
}

// dbInstance is an instance in the list.
type dbInstance struct {
	DBInstanceID          string `json:"DBInstanceId"`
	DBInstanceDescription string
	Engine                string
	EngineVersion         string
	DBInstanceStatus      string
	DBInstanceType        string
	RegionID              string `json:"RegionId"`
	ZoneID                string `json:"ZoneId"`
	PayType               string
	DBInstanceClass       string
	DBInstanceStorageType string
	DBInstanceNetType     string
	InstanceNetworkType   string
	VpcID                 string `json:"VpcId"`
	VSwitchID             string `json:"VSwitchId"`
	ConnectionMode        string
	LockMode              string
	LockReason            string
	CreateTime            string
	ExpireTime            string
	DestroyTime           string
	Category              string
	ConnectionString      string
	MutriORsignle         bool // the vendor's spelling
	DeletionProtection    bool
	ResourceGroupID       string `json:"ResourceGroupId"`
	ReadOnlyDBInstanceIds readOnlyInstances
}

// readOnlyInstances is always empty: standbys are not instances of their own. Terraform insists on it.
type readOnlyInstances struct{}

// MarshalJSON writes an empty list.
func (readOnlyInstances) MarshalJSON() ([]byte, error) {
	return []byte(`{"ReadOnlyDBInstanceId":[]}`), nil
}

func describeInstances(ctx context.Context, a *api, c *call) (any, error) {
	wanted, err := requestedSlice(c.params)
	if err != nil {
		return nil, err
	}
	fits, err := requestedInstances(c.params)
	if err != nil {
		return nil, err
	}
	all, err := a.listedInstances(ctx)
	if err != nil {
		return nil, err
	}
	rows := []dbInstance{}
	for _, l := range all {
		if row := a.dbInstance(l); fits(row) && (c.denied == nil || !c.denied(row.DBInstanceID)) {
			rows = append(rows, row)
		}
	}
	var answer instancesPage
	answer.PageNumber, answer.TotalRecordCount = wanted.number, len(rows)
	answer.Items.DBInstance, answer.NextToken = wanted.of(rows)
	answer.PageRecordCount = len(answer.Items.DBInstance)
	return answer, nil
}

// listedInstances returns all instances, the clones in the making, and the former clusters that are not retired, by id.
func (a *api) listedInstances(ctx context.Context) ([]listed, error) {
	instances, err := a.control.Instances(ctx)
	if err != nil {
		return nil, fromRecord(err)
	}
	states, err := a.control.InstanceStates(ctx)
	if err != nil {
		return nil, fromRecord(err)
	}
	formers, err := a.control.Formers(ctx)
	if err != nil {
		return nil, fromRecord(err)
	}
	all := make([]listed, 0, len(instances)+len(formers))
	made := make(map[string]bool, len(instances))
	for _, in := range instances {
		all = append(all, a.listedInstance(in, states[in.ID]))
		made[in.ID] = true
	}
	for _, state := range states {
		if state.Upgrade == nil {
			continue
		}
		if clone, making := a.listedClone(*state.Upgrade); making && !made[clone.id] {
			all = append(all, clone)
		}
	}
	for _, f := range formers {
		if f.RetiredAt == nil {
			all = append(all, a.listedFormer(f))
		}
	}
	slices.SortFunc(all, func(x, y listed) int { return cmp.Compare(x.id, y.id) })
	return all, nil
}

func (a *api) dbInstance(l listed) dbInstance {
	return dbInstance{
		DBInstanceID: l.id, DBInstanceDescription: l.description,
		Engine: engine, EngineVersion: l.engineVersion(),
		DBInstanceStatus: l.status, DBInstanceType: "Primary",
		RegionID: a.options.Region, ZoneID: a.zone(), PayType: payType,
		DBInstanceStorageType: localStorage, DBInstanceNetType: "Intranet", InstanceNetworkType: networkType,
		ConnectionMode: "Standard", LockMode: l.lockMode(), LockReason: l.lockReason,
		CreateTime: second(l.created), Category: "Basic", ConnectionString: l.address.Host,
	}
}

// requestedInstances makes a condition of the filters. Tags match nothing, for instances have none.
func requestedInstances(p params) (func(dbInstance) bool, error) {
	if err := oneOf(p, "Expired", "Parameters.Invalid", "True", "False"); err != nil {
		return nil, err
	}
	version := p.text("EngineVersion")
	if version != "" {
		major, ok := parseMajor(version)
		if !ok {
			return nil, fail("Parameters.Invalid", `EngineVersion must be a major version, such as "17.0".`)
		}
		version = majorText(major)
	}
	var tags map[string]any
	if text := p.text("Tags"); text != "" && json.Unmarshal([]byte(text), &tags) != nil {
		return nil, fail("Parameters.Invalid", `Tags must be a JSON object, such as {"team":"orders"}.`)
	}
	none := len(tags) > 0 || p.text("Tag.1.Key") != "" || p.text("Tag.1.key") != "" || p.text("Expired") == "True"
	return func(i dbInstance) bool {
		return !none && i.has(p) && (version == "" || version == i.EngineVersion) &&
			(strings.Contains(i.DBInstanceID, p.text("SearchKey")) || strings.Contains(i.DBInstanceDescription, p.text("SearchKey")))
	}, nil
}

// has compares what is filtered by its exact value.
func (i dbInstance) has(p params) bool {
	for _, field := range [...]struct{ name, value string }{
		{instanceID, i.DBInstanceID},
		{"Engine", i.Engine},
		{"DBInstanceStatus", i.DBInstanceStatus},
		{"DBInstanceType", i.DBInstanceType},
		{"PayType", i.PayType},
		{"ConnectionString", i.ConnectionString},
		{"VpcId", i.VpcID},
		{"VSwitchId", i.VSwitchID},
		{"ZoneId", i.ZoneID},
		{"Category", i.Category},
		{"DBInstanceClass", i.DBInstanceClass},
		{"InstanceNetworkType", i.InstanceNetworkType},
	} {
		if text := p.text(field.name); text != "" && text != field.value {
			return false
		}
	}
	return true
}

// slice is the part of a list that is wanted: a page, or what comes after a token.
type slice struct {
	page
	tokens bool   // MaxResults or NextToken was given
	after  string // the last id that the client has
}

// requestedSlice reads either style of paging.
func requestedSlice(p params) (slice, error) {
	if p.text("NextToken") == "" && p.text("MaxResults") == "" {
		wanted, err := requestedPage(p, 1, 100, 30)
		return slice{page: wanted}, err
	}
	size, err := p.integer("MaxResults", 1, 100, 30)
	if err != nil {
		return slice{}, err
	}
	// A token is the last id: a page does not shift when instances come and go meanwhile.
	after, err := base64.RawURLEncoding.DecodeString(p.text("NextToken"))
	if err != nil {
		return slice{}, fail("Parameters.Invalid", "NextToken must be one that an earlier answer contained.")
	}
	return slice{page: page{number: 1, size: size}, tokens: true, after: string(after)}, nil
}

// of returns the wanted rows and the token of the rest. The rows are sorted by id.
func (s slice) of(rows []dbInstance) (part []dbInstance, next string) {
	if !s.tokens {
		from := min(s.offset(), len(rows))
		return rows[from:min(from+s.size, len(rows))], ""
	}
	from, found := slices.BinarySearchFunc(rows, s.after, func(i dbInstance, id string) int { return cmp.Compare(i.DBInstanceID, id) })
	if found {
		from++
	}
	to := min(from+s.size, len(rows))
	if to < len(rows) && to > 0 {
		next = base64.RawURLEncoding.EncodeToString([]byte(rows[to-1].DBInstanceID))
	}
	return rows[from:to], next
}
