package aliyun

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pgleap/pgleap/internal/control"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// with adds to the parameters of an upgrade that is going to begin.
func with(more params) params {
	p := params{instanceID: "orders", "TargetMajorVersion": "17.0", "UpgradeMode": zeroDownTimeUpgrade, "PayType": "Postpaid"}
	for name, value := range more {
		if p[name] = value; value == "" {
			delete(p, name)
		}
	}
	return p
}

func TestRequestedUpgrade(t *testing.T) {
	request := func(target upgrade.Major, mode upgrade.Mode, statistics upgrade.Statistics) control.UpgradeRequest {
		return control.UpgradeRequest{
			Instance: "orders", Target: target, Mode: mode, RequireReport: true,
			Options: upgrade.Options{Statistics: statistics, Switch: upgrade.SwitchManual},
		}
	}
	blueGreen := func(target upgrade.Major, options upgrade.Options) control.UpgradeRequest {
		r := request(target, upgrade.BlueGreen, upgrade.StatisticsAfter)
		options.Statistics = upgrade.StatisticsAfter
		r.Options = options
		return r
	}
	for _, c := range []struct {
		name   string
		params params
		want   control.UpgradeRequest
	}{
		{"the least makes a copy", params{instanceID: "orders", "TargetMajorVersion": "16"}, blueGreen(16, upgrade.Options{Switch: upgrade.SwitchManual, CloneOnly: true})},
		{
			"blue-green that switches", with(params{"UpgradeMode": "blueGreenDeployment", "SwitchOver": "true"}),
			blueGreen(17, upgrade.Options{Switch: upgrade.SwitchAuto}),
		},
		{
			"blue-green that switches in the window",
			with(params{"UpgradeMode": "blueGreenDeployment", "SwitchOver": "true", "SwitchTimeMode": "MaintainTime"}),
			blueGreen(17, upgrade.Options{Switch: upgrade.SwitchAuto, SwitchInWindow: true}),
		},
		{
			"blue-green that does not switch, whatever the window",
			with(params{"UpgradeMode": "blueGreenDeployment", "SwitchOver": "false", "SwitchTimeMode": "MaintainTime"}),
			blueGreen(17, upgrade.Options{Switch: upgrade.SwitchManual, CloneOnly: true}),
		},
		{"in-place, as the vendor has it", with(params{"UpgradeMode": "inPlaceUpgrade", "SwitchOver": "true"}), request(17, upgrade.InPlace, upgrade.StatisticsAfter)},
		{"zero-downtime", with(nil), request(17, upgrade.ZeroDowntime, upgrade.StatisticsAfter)},
		{"in-place", with(params{"UpgradeMode": "inPlaceUpgrade"}), request(17, upgrade.InPlace, upgrade.StatisticsAfter)},
		{"statistics before", with(params{"CollectStatMode": "Before"}), request(17, upgrade.ZeroDowntime, upgrade.StatisticsBefore)},
		{"statistics after", with(params{"CollectStatMode": "After"}), request(17, upgrade.ZeroDowntime, upgrade.StatisticsAfter)},
		{
			"all that a cloud wants to know",
			with(params{
				"SwitchOver": "true", "SwitchTimeMode": "MaintainTime", "SwitchTime": "2026-03-01T18:00:00Z", "AllowDDL": "false",
				"DBInstanceClass": "pg.x8.large.2c", "DBInstanceStorage": "500", "DBInstanceStorageType": "cloud_essd",
				"InstanceNetworkType": "VPC", "VPCId": "vpc-1", "VSwitchId": "vsw-1,vsw-2", "PrivateIpAddress": "172.16.0.3",
				"ZoneId": "cn-hangzhou-h", "Period": "Year", "UsedTime": "1", "CustomExtraInfo": "x",
			}),
			request(17, upgrade.ZeroDowntime, upgrade.StatisticsAfter),
		},
	} {
		got, err := requestedUpgrade(c.params)
		if diff := cmp.Diff(c.want, got); err != nil || diff != "" {
			t.Errorf("%s: %v (-want +got):\n%s", c.name, err, diff)
		}
	}
}

func TestUpgradeIsRefused(t *testing.T) {
	b := newBed(t, Options{})
	b.addInstance("orders", 150018)
	b.ok(b.record.AddInstance(t.Context(), upgrade.Instance{
		ID: "bare", CreatedAt: noon, Cluster: upgrade.Cluster{Host: "db1", Version: 150018, Pgdata: "/srv/bare", Port: 5434},
	}))
	for _, c := range []refusal{
		{"no instance", with(params{instanceID: ""}), "RequiredParam.NotFound", "DBInstanceId"},
		{"no version", with(params{"TargetMajorVersion": ""}), "RequiredParam.NotFound", "TargetMajorVersion"},
		{"a version that is none", with(params{"TargetMajorVersion": "next"}), "InvalidEngineVersion", "17.0"},
		{"a version of old", with(params{"TargetMajorVersion": "9.6"}), "InvalidEngineVersion", "17.0"},
		{"the same version", with(params{"TargetMajorVersion": "15.0"}), "InvalidEngineVersion", "choose a major version above 15"},
		{"an unknown mode", with(params{"UpgradeMode": "inplaceupgrade"}), "InvalidUpgradeMode", "inPlaceUpgrade, blueGreenDeployment or zeroDownTimeUpgrade"},
		{"in-place without a switch", with(params{"UpgradeMode": "inPlaceUpgrade", "SwitchOver": "false"}), "InvalidSwitchOver", "upgrades the instance itself"},
		{"in-place in a window that there is not", with(params{"UpgradeMode": "inPlaceUpgrade", "SwitchTimeMode": "MaintainTime"}), "Parameters.Invalid", "no maintenance window"},
		{
			"in-place, with statistics that nobody could wait for",
			with(params{instanceID: "bare", "UpgradeMode": "inPlaceUpgrade", "CollectStatMode": "Before"}), "Parameters.Invalid", "no endpoint",
		},
		{"a window that is not set", with(params{"UpgradeMode": "blueGreenDeployment", "SwitchOver": "1", "SwitchTimeMode": "MaintainTime"}), "Parameters.Invalid", "no maintenance window"},
		{"another payment", with(params{"PayType": "Cash"}), "InvalidPayType", "Postpaid"},
		{"SwitchOver", with(params{"SwitchOver": "maybe"}), "InvalidSwitchOver", "true or false"},
		{"SwitchTimeMode", with(params{"SwitchTimeMode": "Later"}), "InvalidSwitchTimeMode", "MaintainTime"},
		{"SwitchTime", with(params{"SwitchTime": "2026-03-01 18:00:00"}), "InvalidSwitchTime", "2026-03-01T18:00:00Z"},
		{"CollectStatMode", with(params{"CollectStatMode": "during"}), "InvalidCollectStats", "Before or After"},
		{"perhaps DDL", with(params{"AllowDDL": "2"}), "Parameters.Invalid", "AllowDDL"},
		{"storage that is no number", with(params{"DBInstanceStorage": "20GB"}), "InvalidDBInstanceStorage", "gigabytes"},
		{"no storage", with(params{"DBInstanceStorage": "0"}), "InvalidDBInstanceStorage", "gigabytes"},
		{"a kind of storage", with(params{"DBInstanceStorageType": "tape"}), "InvalidDBInstanceStorageType", "cloud_essd"},
		{"a kind of network", with(params{"InstanceNetworkType": "Classic"}), "VpcNetworkTypeNotSupport", "must be VPC"},
		{"a network", with(params{"VPCId": "vpc 1"}), "InvalidVPCId", "letters"},
		{"a switch", with(params{"VSwitchId": "vsw-1,"}), "InvalidVswitchId", "comma"},
		{"three switches", with(params{"VSwitchId": "a,b,c"}), "InvalidVswitchId", "comma"},
		{"an address", with(params{"PrivateIpAddress": "172.16.0"}), "Parameters.Invalid", "IP address"},
		{"an unknown instance", with(params{instanceID: "nosuch"}), "InvalidDBInstanceName.NotFound", "nosuch"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if code, message := b.refused("UpgradeDBInstanceMajorVersion", c.params); code != c.code || !strings.Contains(message, c.says) {
				t.Errorf("got %s: %s", code, message)
			}
		})
	}
}

// While an upgrade runs there is no second one. What the vendor calls it depends on whether the
// target has come into being.
func TestUpgradeBesideAnother(t *testing.T) {
	b := newBed(t, Options{})
	b.addInstance("orders", 150018)
	task := b.begin("orders", upgrade.TaskUpgrade, 0, 150018, 17)
	for _, c := range []struct {
		phase upgrade.Phase
		code  string
	}{
		{upgrade.PhasePrecheck, "InvalideStatus.Format"},
		{upgrade.PhasePrepare, "InvalideStatus.Format"},
		{upgrade.PhaseBaseBackup, "MirrorInsExists"},
		{upgrade.PhaseSynchronizing, "MirrorInsExists"},
		{upgrade.PhaseFinishing, "MirrorInsExists"},
	} {
		b.enter(task, c.phase, 1)
		code, message := b.refused("UpgradeDBInstanceMajorVersion", with(nil))
		if code != c.code || !strings.Contains(message, "Upgrade 1 of instance orders is running") {
			t.Errorf("%s: got %s: %s", c.phase, code, message)
		}
		if code, _ := b.refused("UpgradeDBInstanceMajorVersionPrecheck", with(nil)); code != "InvalideStatus.Format" {
			t.Errorf("precheck in %s: got %s", c.phase, code)
		}
	}
}

// While the way back is open the target is there, and the deletion of the source is the way on.
func TestUpgradeWhileTheWayBackIsOpen(t *testing.T) {
	b := newBed(t, Options{})
	b.addInstance("orders", 150018)
	task := b.begin("orders", upgrade.TaskUpgrade, 0, 150018, 17)
	b.ok(b.record.SetSwitchover(t.Context(), task.Number, upgrade.Switchover{Switched: true, StartedAt: noon, EndedAt: noon}))
	for _, phase := range []upgrade.Phase{upgrade.PhaseFollowing, upgrade.PhaseRehearsal} {
		b.enter(task, phase, 1)
		code, message := b.refused("UpgradeDBInstanceMajorVersion", with(nil))
		if code != "MirrorInsExists" || !strings.Contains(message, "elete instance orders-old-1") {
			t.Errorf("%s: got %s: %s", phase, code, message)
		}
	}
}

func TestTargetThatIsNotInstalled(t *testing.T) {
	b := newBed(t, Options{})
	b.addInstance("orders", 150018)
	cause := &upgrade.Refused{Reason: "PostgreSQL 17 is not installed", Cause: upgrade.CauseTarget}
	for target, want := range map[upgrade.Major]string{15: "InvalidEngineVersion", 17: "TargetEngineVersion.Parameters.NotFound"} {
		e, ok := errors.AsType[*Error](translate(b.targetRefused(t.Context(), "orders", target, cause)))
		if !ok || e.Code != want || e.Message != "PostgreSQL 17 is not installed." {
			t.Fatalf("%d: got %v", target, e)
		}
		raised(t, e.Code)
	}
}

func TestSwitchOverIsRefused(t *testing.T) {
	b := newBed(t, Options{})
	b.addInstance("orders", 150018)
	b.addInstance("quiet", 150018)
	task := b.begin("orders", upgrade.TaskUpgrade, 0, 150018, 17)
	b.enter(task, upgrade.PhaseBaseBackup, 1)
	for _, c := range []refusal{
		{"no instance", params{"Type": "switch"}, "RequiredParam.NotFound", "DBInstanceName"},
		{"another parameter for it", params{instanceID: "orders", "Type": "switch"}, "RequiredParam.NotFound", "DBInstanceName"},
		{"no verb", params{instanceName: "orders"}, "RequiredParam.NotFound", "Type"},
		{"an unknown verb", params{instanceName: "orders", "Type": "Switch"}, "Parameters.Invalid", "switch, cancel, interrupt"},
		{"too short a time", params{instanceName: "orders", "Type": "switch", "SwitchoverTimeout": "9"}, "Parameters.Invalid", "10 to 3600"},
		{"too long a time", params{instanceName: "orders", "Type": "switch", "SwitchoverTimeout": "3601"}, "Parameters.Invalid", "10 to 3600"},
		{"an unknown instance", params{instanceName: "nosuch", "Type": "switch"}, "InvalidDBInstanceName.NotFound", "nosuch"},
		{"a task's number for an instance", params{instanceName: "1", "Type": "cancel"}, "InvalidDBInstanceName.NotFound", "Instance 1"},
		{"no upgrade", params{instanceName: "quiet", "Type": "cancel"}, "InvalideStatus.Format", "No upgrade of instance quiet is running"},
		{"a switchover too early", params{instanceName: "orders", "Type": "switch", "SwitchoverTimeout": "10"}, "InvalideStatus.Format", "base backup"},
		{"nothing to interrupt", params{instanceName: "orders", "Type": "interrupt", "RegionId": "Y24="}, "InvalideStatus.Format", "no switchover"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if code, message := b.refused("SwitchOverMajorVersionUpgrade", c.params); code != c.code || !strings.Contains(message, c.says) {
				t.Errorf("got %s: %s", code, message)
			}
		})
	}
}

// What the vendor takes depends on the state; what pgleap itself would do beyond that is refused.
func TestVerbsFitTheState(t *testing.T) {
	there, notBack := &upgrade.Switchover{Switched: true}, &upgrade.Switchover{Back: true}
	for _, c := range []struct {
		phase             upgrade.Phase
		switchover        *upgrade.Switchover
		cancel, interrupt bool
	}{
		{upgrade.PhasePrecheck, nil, false, true}, // there is nothing to interrupt: the one door says so
		{upgrade.PhaseBaseBackup, nil, false, true},
		{upgrade.PhaseSubscribe, nil, false, true},
		{upgrade.PhaseSynchronizing, nil, true, true},
		{upgrade.PhaseWaiting, nil, true, true},
		{upgrade.PhaseRehearsal, nil, true, true},
		{upgrade.PhaseSwitchover, nil, false, true},
		{upgrade.PhaseSwitchover, there, true, false}, // it cannot be cancelled: the one door says so
		{upgrade.PhaseFollowing, there, true, false},
		{upgrade.PhaseRehearsal, there, true, false},
		{upgrade.PhaseSwitchback, there, true, false},
		{upgrade.PhaseSwitchback, notBack, true, false},
		{upgrade.PhaseCleanup, nil, false, true},
	} {
		task := upgrade.Task{Kind: upgrade.TaskUpgrade, Mode: upgrade.ZeroDowntime, Phase: c.phase, Switchover: c.switchover}
		if !fits(control.VerbSwitch, task) || fits(control.VerbCancel, task) != c.cancel || fits(control.VerbInterrupt, task) != c.interrupt {
			t.Errorf("%s, %v: switch %t, cancel %t, interrupt %t", c.phase, c.switchover,
				fits(control.VerbSwitch, task), fits(control.VerbCancel, task), fits(control.VerbInterrupt, task))
		}
	}
	b := newBed(t, Options{})
	b.addInstance("orders", 150018)
	task := b.begin("orders", upgrade.TaskUpgrade, 0, 150018, 17)
	for _, phase := range []upgrade.Phase{upgrade.PhaseBaseBackup, upgrade.PhaseSwitchover} {
		b.enter(task, phase, 1)
		code, message := b.refused("SwitchOverMajorVersionUpgrade", params{instanceName: "orders", "Type": "cancel"})
		if code != "InvalideStatus.Format" || !strings.Contains(message, string(phase)) {
			t.Errorf("cancel in %s: %s: %s", phase, code, message)
		}
	}
}

// As long as nobody knows how far the target is behind, the vendor takes a cancel alone.
func TestSwitchOverWhileReplicationIsInterrupted(t *testing.T) {
	b := newBed(t, Options{})
	b.addInstance("orders", 150018)
	task := b.begin("orders", upgrade.TaskUpgrade, 0, 150018, 17)
	b.enter(task, upgrade.PhaseSynchronizing, 1)
	standing := upgrade.Progress{Phase: upgrade.PhaseSynchronizing, Step: "Synchronize", Text: "3 MB behind", Lag: &upgrade.Lag{Bytes: 3 << 20}, At: after(2)}
	b.ok(b.record.SetProgress(t.Context(), task.Number, standing))
	if err := b.permitted(t.Context(), "orders", control.VerbSwitch); err != nil {
		t.Errorf("while the lag is measured: %v", err)
	}
	standing.Text, standing.Lag = "the lag cannot be measured: the source does not answer", nil
	b.ok(b.record.SetProgress(t.Context(), task.Number, standing))
	code, message := b.refused("SwitchOverMajorVersionUpgrade", params{instanceName: "orders", "Type": "switch"})
	if code != "InvalideStatus.Format" || !strings.Contains(message, "the source does not answer.") {
		t.Errorf("while it is not: %s: %s", code, message)
	}
	if err := b.permitted(t.Context(), "orders", control.VerbCancel); err != nil {
		t.Errorf("a cancel: %v", err)
	}
	if lists := b.must("DescribeUpgradeMajorVersionTasks", params{instanceID: "orders"}).(upgradeTasks); lists.items[0].following.lag != nil {
		t.Errorf("it lists a lag that nobody knows: %+v", lists.items[0].following.lag)
	}
}

// The target needs room for what the source uses, which a precheck has told.
func TestDiskThatIsReduced(t *testing.T) {
	b := newBed(t, Options{})
	b.addInstance("orders", 150018)
	check := b.begin("orders", upgrade.TaskPrecheck, 0, 150018, 17)
	b.ok(b.record.SaveReport(t.Context(), upgrade.Report{
		Number: check.Number, ID: check.ID, Instance: "orders", Mode: upgrade.BlueGreen, Source: 150018, Target: 170011,
		CheckedAt: noon, ValidUntil: noon.Add(time.Hour), Estimate: &upgrade.Estimate{Workload: upgrade.Workload{DataBytes: 20<<30 + 1}},
	}))
	b.end(check, 1, upgrade.Outcome{Status: upgrade.StatusSucceeded})
	for _, c := range []struct {
		name, storage string
		instance      string
		mode          upgrade.Mode
		target        upgrade.Major
		refused       bool
	}{
		{"too small", "20", "orders", upgrade.BlueGreen, 17, true},
		{"too small in another mode", "1", "orders", upgrade.ZeroDowntime, 17, true},
		{"just large enough", "21", "orders", upgrade.BlueGreen, 17, false},
		{"as large as can be", "2147483647", "orders", upgrade.BlueGreen, 17, false},
		{"not given", "", "orders", upgrade.BlueGreen, 17, false},
		{"in place", "1", "orders", upgrade.InPlace, 17, false},
		{"without a report", "1", "orders", upgrade.BlueGreen, 18, false},
	} {
		err := b.checkReduced(t.Context(), params{"DBInstanceStorage": c.storage}, control.UpgradeRequest{Instance: c.instance, Target: c.target, Mode: c.mode})
		if e, _ := errors.AsType[*Error](err); (e != nil) != c.refused || e != nil && (e.Code != "InvalidReduceDiskSize" || !strings.Contains(e.Message, "uses 21 GB")) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	code, _ := b.refused("UpgradeDBInstanceMajorVersion", with(params{"DBInstanceStorage": "20"}))
	if code != "InvalidReduceDiskSize" {
		t.Errorf("the operation: %s", code)
	}
}

func TestModifyDBInstanceMaintainTime(t *testing.T) {
	const action = "ModifyDBInstanceMaintainTime"
	b := newBed(t, Options{})
	b.addInstance("orders", 150018)
	got := written(t, action, b.must(action, params{instanceID: "orders", "MaintainTime": "22:00Z-02:00Z"}), formatJSON)
	golden(t, "maintain_time.json", got)
	attribute := b.must("DescribeDBInstanceAttribute", params{instanceID: "orders"}).(instanceAttributes)
	if got := attribute.Items.DBInstanceAttribute[0].MaintainTime; got != "22:00Z-02:00Z" {
		t.Errorf("got %s", got)
	}
	for _, c := range []refusal{
		{"no window", params{instanceID: "orders", "MaintainTime": "at night"}, "Parameters.Invalid", "18:00Z-22:00Z"},
		{"an hour that is none", params{instanceID: "orders", "MaintainTime": "24:00Z-01:00Z"}, "Parameters.Invalid", "18:00Z-22:00Z"},
		{"an unknown instance", params{instanceID: "nosuch", "MaintainTime": "22:00Z-02:00Z"}, "InvalidDBInstanceName.NotFound", "nosuch"},
	} {
		if code, message := b.refused(action, c.params); code != c.code || !strings.Contains(message, c.says) {
			t.Errorf("%s: got %s: %s", c.name, code, message)
		}
	}
}

func TestDeleteDBInstance(t *testing.T) {
	const action = "DeleteDBInstance"
	b := newBed(t, Options{})
	b.addInstance("orders", 170011)
	former := b.addFormer("orders")
	retired := b.addFormer("orders")
	b.ok(b.record.RetireFormerCluster(t.Context(), 2, noon))
	for _, c := range []refusal{
		{"an instance that serves", params{instanceID: "orders"}, "InvalideStatus.Format", "never deletes an instance that serves"},
		{"a policy that is none", params{instanceID: former, "ReleasedKeepPolicy": "Latest"}, "InvalidReleasedKeepPolicy.Format", "Lastest"},
		{"one that was retired", params{instanceID: retired, "ReleasedKeepPolicy": "None"}, "ProductInstanceReleased", "retired already"},
		{"an unknown instance", params{instanceID: "nosuch"}, "InvalidDBInstanceName.NotFound", "Instance nosuch"},
		{"an unknown former cluster", params{instanceID: "orders-old-99"}, "InvalidDBInstanceName.NotFound", "Instance orders-old-99"},
		{"a former cluster of another instance", params{instanceID: "other-old-1"}, "InvalidDBInstanceName.NotFound", "Instance other-old-1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if code, message := b.refused(action, c.params); code != c.code || !strings.Contains(message, c.says) {
				t.Errorf("got %s: %s", code, message)
			}
		})
	}
}

func TestSecond(t *testing.T) {
	zone := time.FixedZone("", 8*3600)
	if got := second(time.Date(2026, 3, 1, 20, 0, 0, 5e8, zone)); got != "2026-03-01T12:00:00Z" {
		t.Errorf("got %s", got)
	}
}
