package aliyun

import (
	"strings"
	"testing"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// A clone is an instance of its own: it is being made while its upgrade runs, and is listed then.
func TestCloneIsAnInstance(t *testing.T) {
	b := newBed(t, Options{})
	b.addInstance("orders", 150018)
	plan := upgrade.Plan{
		Instance: "orders", Mode: upgrade.BlueGreen, Options: upgrade.Options{CloneOnly: true}.WithDefaults(),
		Target: upgrade.Cluster{Host: "h1", Version: 170011, Pgdata: "/data/clone", Port: 5499},
	}
	task, err := b.record.CreateTask(t.Context(), upgrade.Task{
		Kind: upgrade.TaskUpgrade, Instance: "orders", Mode: upgrade.BlueGreen, Source: 150018, Target: 17,
		Plan: &plan, Phase: upgrade.PhaseBaseBackup, StartedAt: noon,
	})
	b.ok(err)
	id := upgrade.CloneID("orders", task.Number)
	status := func(want string) {
		t.Helper()
		answer := b.must("DescribeDBInstanceAttribute", params{instanceID: id}).(instanceAttributes)
		if got := answer.Items.DBInstanceAttribute[0].DBInstanceStatus; got != want {
			t.Errorf("the clone is %s, want %s", got, want)
		}
		all := b.must("DescribeDBInstances", params{"RegionId": "local"}).(instancesPage)
		if rows := all.Items.DBInstance; len(rows) != 2 || rows[1].DBInstanceID != id || rows[1].DBInstanceStatus != want {
			t.Errorf("listed are %+v, want the clone to be %s", rows, want)
		}
	}
	target := func() {
		t.Helper()
		tasks := b.must("DescribeUpgradeMajorVersionTasks", params{instanceID: "orders"}).(upgradeTasks)
		if got := tasks.items[0]; got.source != "orders" || got.target != id || got.mode != upgradeModeClone {
			t.Errorf("listed as %s from %s to %s, want %s", got.mode, got.source, got.target, id)
		}
	}
	status("Creating")
	target()
	clone := upgrade.Instance{ID: id, Cluster: plan.Target, CreatedAt: noon}
	b.ok(b.record.AddClone(t.Context(), task.Number, clone))
	b.ok(b.record.AddClone(t.Context(), task.Number, clone)) // as after a crash
	b.ok(b.record.EndTask(t.Context(), task.Number, upgrade.Outcome{Status: upgrade.StatusSucceeded}, noon))
	status("Running")
	target()
	if code, message := b.refused("DeleteDBInstance", params{instanceID: id}); code != "InvalideStatus.Format" || !strings.Contains(message, "pgleap instance remove "+id) {
		t.Errorf("delete the clone: %s: %s", code, message)
	}
	if code, _ := b.refused("DescribeDBInstanceAttribute", params{instanceID: upgrade.CloneID("orders", task.Number+1)}); code != "InvalidDBInstanceName.NotFound" {
		t.Errorf("a clone that nobody makes: %s", code)
	}
}

// What an upgrade was to make stays what it was to make, also when it failed.
func TestCloneThatFailed(t *testing.T) {
	b := newBed(t, Options{})
	b.addInstance("orders", 150018)
	task, err := b.record.CreateTask(t.Context(), upgrade.Task{
		Kind: upgrade.TaskUpgrade, Instance: "orders", Mode: upgrade.BlueGreen, Source: 150018, Target: 17, StartedAt: noon,
		Plan: &upgrade.Plan{Instance: "orders", Mode: upgrade.BlueGreen, Options: upgrade.Options{CloneOnly: true}},
	})
	b.ok(err)
	shown := func() string {
		got := b.must("DescribeUpgradeMajorVersionTasks", params{instanceID: "orders"}).(upgradeTasks).items[0]
		return got.mode + " to " + got.target
	}
	running := shown()
	b.ok(b.record.EndTask(t.Context(), task.Number, upgrade.Outcome{Status: upgrade.StatusFailed}, noon))
	if failed := shown(); failed != running || failed != "clone to orders-clone-1" {
		t.Errorf("while it ran %s, then %s", running, failed)
	}
}
