package huawei

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/pgleap/pgleap/internal/control"
	"github.com/pgleap/pgleap/internal/upgrade"
)

type instanceList struct {
	Instances []instanceAnswer `json:"instances"`
	Total     int              `json:"total_count"`
}

// instanceAnswer has every member that the vendor's SDKs expect. What pgleap does not know, such as
// a flavour or a volume, is empty.
type instanceAnswer struct {
	ID                  string         `json:"id"`
	Name                string         `json:"name"`
	Status              string         `json:"status"`
	EnableSSL           bool           `json:"enable_ssl"`
	PrivateIPs          []string       `json:"private_ips"`
	PublicIPs           []string       `json:"public_ips"`
	Type                string         `json:"type"`
	Created             string         `json:"created"`
	Updated             string         `json:"updated"`
	UserName            string         `json:"db_user_name"`
	SwitchStrategy      string         `json:"switch_strategy"`
	MaintenanceWindow   string         `json:"maintenance_window"`
	Nodes               []node         `json:"nodes"`
	RelatedInstance     []related      `json:"related_instance"`
	Datastore           datastore      `json:"datastore"`
	Port                int            `json:"port"`
	BackupStrategy      backupStrategy `json:"backup_strategy"`
	EnterpriseProjectID string         `json:"enterprise_project_id"`
	DiskEncryptionID    string         `json:"disk_encryption_id"`
	FlavorRef           string         `json:"flavor_ref"`
	Volume              volume         `json:"volume"`
	Region              string         `json:"region"`
	VPCID               string         `json:"vpc_id"`
	SubnetID            string         `json:"subnet_id"`
	SecurityGroupID     string         `json:"security_group_id"`
	ChargeInfo          chargeInfo     `json:"charge_info"`
	TimeZone            string         `json:"time_zone"`
	Tags                []tag          `json:"tags"`
}

type node struct {
	ID               string `json:"id"`
	Name             string `json:"name"`
	Role             string `json:"role"`
	Status           string `json:"status"`
	AvailabilityZone string `json:"availability_zone"`
}

type related struct {
	ID   string `json:"id"`
	Type string `json:"type"`
}

type datastore struct {
	Type            string `json:"type"`
	Version         string `json:"version"`
	CompleteVersion string `json:"complete_version"`
}

type backupStrategy struct {
	StartTime string `json:"start_time"`
	KeepDays  int    `json:"keep_days"`
}

type volume struct {
	Type string `json:"type"`
	Size int    `json:"size"`
}

type chargeInfo struct {
	ChargeMode string `json:"charge_mode"`
}

type tag struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// The vendor's words for states of an instance, as far as they arise here.
const (
	stateActive     = "ACTIVE"
	stateModifying  = "MODIFYING"
	stateSwitchover = "SWITCHOVER"
	stateShutdown   = "SHUTDOWN"
)

// instances lists the instances that the caller may see, and what upgrades left of earlier ones.
func (a *api) instances(ctx context.Context, c *call) (any, error) {
	all, err := a.visible(ctx, c)
	if err != nil {
		return nil, err
	}
	if len(all) == 0 && !a.allows(c, actionList, everyInstance) {
		return nil, forbidden(actionList, everyInstance)
	}
	p, bad := pageOf(c.query, maxLimit)
	if bad != nil {
		return nil, bad
	}
	match, bad := instanceFilter(c)
	if bad != nil {
		return nil, bad
	}
	all = slices.DeleteFunc(all, func(i instanceAnswer) bool { return !match(i) })
	from, to := p.of(len(all))
	return instanceList{Instances: all[from:to], Total: len(all)}, nil
}

// visible returns what the caller may see, by name.
func (a *api) visible(ctx context.Context, c *call) ([]instanceAnswer, error) {
	instances, err := a.control.Instances(ctx)
	if err != nil {
		return nil, err
	}
	states, err := a.control.InstanceStates(ctx)
	if err != nil {
		return nil, err
	}
	formers, err := a.control.Formers(ctx)
	if err != nil {
		return nil, err
	}
	all := []instanceAnswer{}
	for _, i := range instances {
		if a.allows(c, actionList, i.ID) {
			all = append(all, a.instanceAnswer(i, states[i.ID]))
		}
	}
	for _, f := range formers {
		if a.allows(c, actionList, f.ID) {
			all = append(all, a.formerAnswer(f))
		}
	}
	slices.SortStableFunc(all, func(a, b instanceAnswer) int { return cmp.Compare(a.Name, b.Name) })
	return all, nil
}

func (a *api) instanceAnswer(i upgrade.Instance, s control.InstanceState) instanceAnswer {
	state := stateActive
	if s.Upgrade != nil {
		if state = stateModifying; s.Upgrade.Phase == upgrade.PhaseSwitchover || s.Upgrade.Phase == upgrade.PhaseSwitchback {
			state = stateSwitchover
		}
	}
	answer := a.clusterAnswer(i.UUID, i.ID, state, i.Cluster)
	answer.Created = a.clock.format(i.CreatedAt)
	if i.Endpoint.Driver != "" {
		reached := a.control.Reached(i.Cluster.Host, i.Endpoint.Listen)
		answer.Port, answer.PrivateIPs = reached.Port, []string{reached.Host}
	}
	if w := i.Window; w != nil {
		answer.MaintenanceWindow = fmt.Sprintf("%02d:%02d-%02d:%02d", w.Start/60, w.Start%60, w.End/60, w.End%60)
	}
	answer.Updated = answer.Created
	return answer
}

// formerAnswer shows the source that an upgrade left. It listens where its own cluster does.
func (a *api) formerAnswer(f control.Former) instanceAnswer {
	state := stateActive
	if f.RetiredAt != nil {
		state = stateShutdown
	}
	answer := a.clusterAnswer(strings.TrimSuffix(formerID(f.ID), instanceSuffix), f.ID, state, f.Cluster)
	answer.Created = a.clock.format(f.Since)
	answer.Updated = answer.Created
	if f.RetiredAt != nil {
		answer.Updated = a.clock.format(*f.RetiredAt)
	}
	return answer
}

// clusterAnswer is what instances and former ones have in common.
func (a *api) clusterAnswer(uuid, name, state string, cluster upgrade.Cluster) instanceAnswer {
	return instanceAnswer{
		ID: uuid + instanceSuffix, Name: name, Status: state, Type: "Single",
		PrivateIPs: []string{a.control.Reached(cluster.Host, upgrade.Address{Host: upgrade.Loopback}).Host}, PublicIPs: []string{}, Port: cluster.Port, UserName: cluster.Superuser,
		Datastore: datastore{
			Type: "PostgreSQL", Version: strconv.Itoa(int(cluster.Version.Major())), CompleteVersion: cluster.Version.String(),
		},
		Nodes: []node{{
			ID: uuid + nodeSuffix, Name: name + "_node0", Role: "master", Status: state, AvailabilityZone: cluster.Host,
		}},
		RelatedInstance: []related{}, Tags: []tag{}, EnterpriseProjectID: "0", Region: a.region,
	}
}

// instanceFilter reads what the caller looks for. What no instance here has, such as a VPC, tags, or a group (the
// vendor's only one is "flexus", of another kind of servers), chooses none.
func instanceFilter(c *call) (func(instanceAnswer) bool, *failure) {
	kind, bad := choice(c.query, "type", "", "Single", "Ha", "Replica")
	if bad != nil {
		return nil, bad
	}
	engine, bad := choice(c.query, "datastore_type", "", "PostgreSQL", "MySQL", "SQLServer", "MariaDB")
	if bad != nil {
		return nil, bad
	}
	id, name := c.query.Get("id"), c.query.Get("name")
	part, fuzzy := strings.CutPrefix(name, "*")
	elsewhere := c.query.Get("vpc_id") != "" || c.query.Get("subnet_id") != "" || c.query.Get("tags") != "" || c.query.Get("group_type") != "" ||
		!slices.Contains([]string{"", "0", "all_granted_eps"}, c.query.Get("eps_id"))
	return func(i instanceAnswer) bool {
		return !elsewhere &&
			(kind == "" || kind == i.Type) &&
			(engine == "" || engine == i.Datastore.Type) &&
			(id == "" || id == i.ID || id == i.Name) &&
			(name == "" || name == i.Name || fuzzy && strings.Contains(i.Name, part))
	}, nil
}
