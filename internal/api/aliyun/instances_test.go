package aliyun

import (
	"fmt"
	"strings"
	"testing"

	"github.com/pgleap/pgleap/internal/control"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// seedInstances records instances in several states, a former cluster, and one that was retired.
func seedInstances(b *bed) {
	b.addInstance("orders", 170011)
	b.addInstance("billing", 150018)
	b.addInstance("archive", 140017)
	b.addFormer("orders")
	b.addFormer("orders")
	b.ok(b.record.RetireFormerCluster(b.t.Context(), 2, noon))
	task := b.begin("billing", upgrade.TaskUpgrade, 0, 150018, 17)
	b.enter(task, upgrade.PhaseSynchronizing, 1)
}

func TestInstancesAreDescribed(t *testing.T) {
	b := newBed(t, Options{ExternalHosts: []string{"rds.example.com"}})
	seedInstances(b)
	b.ok(b.record.AddInstance(t.Context(), upgrade.Instance{
		ID: "bare", CreatedAt: noon, Cluster: upgrade.Cluster{Version: 160004, Pgdata: "/srv/bare", Port: 5444},
	}))
	for _, c := range []struct {
		file, action string
		params       params
	}{
		{"instances.json", "DescribeDBInstances", params{"RegionId": "cn-hangzhou"}},
		{"instance_attribute.json", "DescribeDBInstanceAttribute", params{instanceID: "billing"}},
		{"former_attribute.json", "DescribeDBInstanceAttribute", params{instanceID: "orders-old-1"}},
		{"instance_net_info.json", "DescribeDBInstanceNetInfo", params{instanceID: "billing"}},
		{"bare_net_info.json", "DescribeDBInstanceNetInfo", params{instanceID: "bare"}},
		{"regions.json", "DescribeRegions", params{}},
		{"regions_zh.json", "DescribeRegions", params{"AcceptLanguage": "zh-CN"}},
	} {
		t.Run(c.file, func(t *testing.T) {
			golden(t, c.file, written(t, c.action, b.must(c.action, c.params), formatJSON))
		})
	}
}

func TestInstancesThatAreNotDescribed(t *testing.T) {
	b := newBed(t, Options{})
	seedInstances(b)
	for _, c := range []struct {
		action string
		refusal
	}{
		{"DescribeDBInstanceAttribute", refusal{"an unknown one", params{instanceID: "nosuch"}, "InvalidDBInstanceName.NotFound", "Instance nosuch does not exist"}},
		{"DescribeDBInstanceAttribute", refusal{"one that was released", params{instanceID: "orders-old-2"}, "InvalidDBInstanceName.NotFound", "was released at 2026-03-01T12:00:00Z"}},
		{"DescribeDBInstanceAttribute", refusal{"several", params{instanceID: "orders,billing"}, "Parameters.Invalid", "one instance"}},
		{"DescribeDBInstanceAttribute", refusal{"expired perhaps", params{instanceID: "orders", "Expired": "yes"}, "Parameters.Invalid", "Expired"}},
		{"DescribeDBInstanceNetInfo", refusal{"an unknown one", params{instanceID: "nosuch"}, "InvalidDBInstanceName.NotFound", "nosuch"}},
		{"DescribeDBInstanceNetInfo", refusal{"several", params{instanceID: "orders,billing"}, "Parameters.Invalid", "one instance"}},
		{"DescribeRegions", refusal{"a language", params{"AcceptLanguage": "tlh"}, "Parameters.Invalid", "AcceptLanguage"}},
		{"DescribeDBInstances", refusal{"an empty page", params{"PageSize": "0"}, "Parameters.Invalid", "PageSize"}},
		{"DescribeDBInstances", refusal{"too large a page", params{"PageSize": "101"}, "Parameters.Invalid", "PageSize"}},
		{"DescribeDBInstances", refusal{"too many at once", params{"MaxResults": "101"}, "Parameters.Invalid", "MaxResults"}},
		{"DescribeDBInstances", refusal{"a token of somebody else", params{"NextToken": "?"}, "Parameters.Invalid", "NextToken"}},
		{"DescribeDBInstances", refusal{"a version of old", params{"EngineVersion": "9.6"}, "Parameters.Invalid", "EngineVersion"}},
		{"DescribeDBInstances", refusal{"tags that are none", params{"Tags": "team=orders"}, "Parameters.Invalid", "Tags"}},
		{"DescribeDBInstances", refusal{"expired perhaps", params{"Expired": "yes"}, "Parameters.Invalid", "Expired"}},
	} {
		if code, message := b.refused(c.action, c.params); code != c.code || !strings.Contains(message, c.says) {
			t.Errorf("%s of %s: got %s: %s", c.action, c.name, code, message)
		}
	}
}

// ids are what a page lists, and how many there are in all.
func ids(answer any) string {
	list := answer.(instancesPage)
	var found []string
	for _, i := range list.Items.DBInstance {
		found = append(found, i.DBInstanceID)
	}
	return fmt.Sprintf("%s of %d", strings.Join(found, " "), list.TotalRecordCount)
}

func TestInstancesAreFiltered(t *testing.T) {
	b := newBed(t, Options{})
	seedInstances(b)
	for _, c := range []struct {
		params params
		want   string
	}{
		{params{}, "archive billing orders orders-old-1 of 4"},
		{params{instanceID: "orders"}, "orders of 1"},
		{params{instanceID: "orders-old-1"}, "orders-old-1 of 1"},
		{params{instanceID: "orders-old-2"}, " of 0"},
		{params{"Engine": "PostgreSQL"}, "archive billing orders orders-old-1 of 4"},
		{params{"Engine": "MySQL"}, " of 0"},
		{params{"EngineVersion": "15.0"}, "billing orders-old-1 of 2"},
		{params{"EngineVersion": "14"}, "archive of 1"},
		{params{"DBInstanceStatus": "TransingToOthers"}, "billing of 1"},
		{params{"DBInstanceStatus": "Running", "EngineVersion": "15.0"}, "orders-old-1 of 1"},
		{params{"DBInstanceType": "Readonly"}, " of 0"},
		{params{"PayType": "Postpaid", "InstanceNetworkType": "VPC", "ZoneId": "local-a", "Category": "Basic"}, "archive billing orders orders-old-1 of 4"},
		{params{"SearchKey": "rder"}, "orders orders-old-1 of 2"},
		{params{"SearchKey": "upgrade 1 of"}, "orders-old-1 of 1"},
		{params{"ConnectionString": "127.0.0.1", "SearchKey": "a"}, "archive orders-old-1 of 2"},
		{params{"VpcId": "vpc-1"}, " of 0"},
		{params{"Tags": "{}"}, "archive billing orders orders-old-1 of 4"},
		{params{"Tags": `{"team":"orders"}`}, " of 0"},
		{params{"Tag.1.Key": "team", "Tag.1.Value": "orders"}, " of 0"},
		{params{"Expired": "False"}, "archive billing orders orders-old-1 of 4"},
		{params{"Expired": "True"}, " of 0"},
		{params{"PageSize": "3"}, "archive billing orders of 4"},
		{params{"PageSize": "3", "PageNumber": "2"}, "orders-old-1 of 4"},
		{params{"PageSize": "100", "PageNumber": "2147483647"}, " of 4"},
	} {
		if got := ids(b.must("DescribeDBInstances", c.params)); got != c.want {
			t.Errorf("%v: got %s, want %s", c.params, got, c.want)
		}
	}
}

// With tokens nothing is shown twice or left out, even if the instance last seen has gone.
func TestInstancesByToken(t *testing.T) {
	b := newBed(t, Options{})
	seedInstances(b)
	var seen []string
	token := ""
	for range 3 {
		list := b.must("DescribeDBInstances", params{"MaxResults": "2", "NextToken": token}).(instancesPage)
		for _, i := range list.Items.DBInstance {
			seen = append(seen, i.DBInstanceID)
		}
		if token = list.NextToken; token == "" {
			break
		}
	}
	if got := strings.Join(seen, " "); got != "archive billing orders orders-old-1" || token != "" {
		t.Errorf("got %s, then token %q", got, token)
	}
	first := b.must("DescribeDBInstances", params{"MaxResults": "1"}).(instancesPage)
	if _, err := b.control.RemoveInstance(t.Context(), control.Actor{}, "archive", false); err != nil {
		t.Fatal(err)
	}
	if got := ids(b.must("DescribeDBInstances", params{"NextToken": first.NextToken})); got != "billing orders orders-old-1 of 3" {
		t.Errorf("got %s", got)
	}
	if got := b.must("DescribeDBInstances", params{"NextToken": "enp6"}).(instancesPage); len(got.Items.DBInstance) != 0 || got.NextToken != "" {
		t.Errorf("after the last: got %+v", got)
	}
}

func TestInstanceStatus(t *testing.T) {
	for phase, want := range map[upgrade.Phase]string{
		upgrade.PhasePrecheck: "TRANSING", upgrade.PhasePrepare: "TRANSING", upgrade.PhaseBaseBackup: "TRANSING",
		upgrade.PhaseHandover: "TRANSING", upgrade.PhaseUpgrade: "TRANSING", upgrade.PhaseSubscribe: "TRANSING",
		upgrade.PhaseSynchronizing: "TransingToOthers", upgrade.PhaseSwitchover: "SWITCHING",
		upgrade.PhaseFinishing: "SWITCHING", upgrade.PhaseCleanup: "TRANSING",
	} {
		if got := instanceStatus(control.InstanceState{Upgrade: &upgrade.Task{Phase: phase}}); got != want {
			t.Errorf("%s: got %s, want %s", phase, got, want)
		}
	}
	if got := instanceStatus(control.InstanceState{Precheck: &upgrade.Task{}}); got != "Running" {
		t.Errorf("during a precheck: got %s", got)
	}
}

// Servers with one catalogue answer for each other's instances: 127.0.0.1 is where the caller's question went.
func TestInstanceOfAnotherHost(t *testing.T) {
	b := newBed(t, Options{})
	b.ok(b.record.AddInstance(t.Context(), upgrade.Instance{
		ID: "far", Cluster: upgrade.Cluster{Host: "db2", Version: 150018, Pgdata: "/srv/far", Port: 5432},
		Endpoint: upgrade.Endpoint{Driver: upgrade.PgBouncer, Listen: upgrade.Address{Host: "127.0.0.1", Port: 6432}},
	}))
	b.ok(b.record.AddInstance(t.Context(), upgrade.Instance{
		ID: "bare", Cluster: upgrade.Cluster{Host: "db2", Version: 150018, Pgdata: "/srv/bare", Port: 5433},
	}))
	for id, port := range map[string]int{"far": 6432, "bare": 5433} {
		l, err := b.listedByID(t.Context(), id)
		if want := (upgrade.Address{Host: "db2", Port: port}); err != nil || l.address != want {
			t.Errorf("%s is reached at %v, want %v (%v)", id, l.address, want, err)
		}
	}
}
