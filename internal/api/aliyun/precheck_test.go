package aliyun

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/pgleap/pgleap/internal/control"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// report records what a precheck found.
func (b *bed) report(task upgrade.Task, notChecked []string, findings ...upgrade.Finding) {
	b.t.Helper()
	b.ok(b.record.SaveReport(b.t.Context(), upgrade.Report{
		Number: task.Number, ID: task.ID, Instance: task.Instance, Mode: task.Mode,
		Source: task.Source, Target: upgrade.VersionNum(task.Target)*10000 + 11,
		Findings: findings, NotChecked: notChecked, CheckedAt: task.StartedAt, ValidUntil: task.StartedAt.Add(upgrade.ReportValidity),
	}))
}

func someFindings() []upgrade.Finding {
	return []upgrade.Finding{
		{
			Check: "pg-upgrade", Title: "pg_upgrade --check complains", Severity: upgrade.Blocker,
			Objects: []string{`could not load library "$libdir/old"`}, Total: 1, Why: "It was run.", Remedy: "Mend what it names.",
		},
		{
			Check: "prepared-transactions", Title: "There are prepared transactions", Severity: upgrade.Blocker,
			Objects: []string{"app.'x'"}, Total: 3, Why: "They stay behind.", Remedy: "Commit them.",
		},
		{
			Check: "replica-identity", Title: "Tables have no replica identity", Severity: upgrade.Blocker,
			Objects: []string{"app.public.log"}, Total: 1, Why: "Updates fail.", Remedy: "Add a key.",
			RemedySQL: []upgrade.RemedySQL{{Database: "app", SQL: "ALTER TABLE public.log\n  REPLICA IDENTITY FULL;"}},
		},
		{
			Check: "memory", Title: "Memory is short", Severity: upgrade.Warning,
			Objects: []string{"shared_buffers = 4.0 GB (2.0 GB available)"}, Total: 1, Why: "Both run.", Remedy: "Lower it.",
		},
		{
			Check: "source-minor", Title: "The source's minor release has faults", Severity: upgrade.Warning,
			Objects: []string{"15.2"}, Total: 1, Why: "Faults.", Remedy: "Update.",
		},
		{Check: "tablespaces", Title: "The source has tablespaces", Severity: upgrade.Info, Objects: []string{"fast"}, Total: 1, Why: "They are copied.", Remedy: "Nothing."},
	}
}

func seedPrechecks(b *bed) {
	b.addInstance("orders", 150018)
	passed := b.begin("orders", upgrade.TaskPrecheck, 0, 150018, 17)
	b.report(passed, nil)
	b.end(passed, 1, upgrade.Outcome{Status: upgrade.StatusSucceeded})
	warned := b.begin("orders", upgrade.TaskPrecheck, 2, 150018, 17)
	b.report(warned, nil, someFindings()[3:]...)
	b.end(warned, 3, upgrade.Outcome{Status: upgrade.StatusSucceeded})
	blocked := b.begin("orders", upgrade.TaskPrecheck, 4, 150018, 16)
	b.report(blocked, []string{"disk-space: no permission"}, someFindings()...)
	b.end(blocked, 5, upgrade.Outcome{Status: upgrade.StatusSucceeded})
	broken := b.begin("orders", upgrade.TaskPrecheck, 6, 150018, 17)
	b.end(broken, 7, upgrade.Outcome{Status: upgrade.StatusFailed, Reason: "the agent went away"})
	running := b.begin("orders", upgrade.TaskPrecheck, 8, 150018, 17)
	b.report(running, nil)
}

func TestDescribeUpgradeMajorVersionPrecheckTask(t *testing.T) {
	const action = "DescribeUpgradeMajorVersionPrecheckTask"
	b := newBed(t, Options{})
	seedPrechecks(b)
	golden(t, "prechecks.json", written(t, action, b.must(action, params{instanceID: "orders"}), formatJSON))
	for _, c := range []struct {
		params params
		want   string
	}{
		{params{instanceID: "orders"}, "5 Running, 4 Fail, 3 Fail, 2 warning, 1 Success of 5"},
		{params{instanceID: "orders", "TaskId": "2"}, "2 warning of 1"},
		{params{instanceID: "orders", "TargetMajorVersion": "16.0"}, "3 Fail of 1"},
		{params{instanceID: "orders", "PageSize": "50", "PageNumber": "2"}, " of 5"},
	} {
		got := b.must(action, c.params).(prechecks)
		var results []string
		for _, item := range got.Items {
			results = append(results, fmt.Sprintf("%d %s", item.TaskID, item.Result))
		}
		if text := fmt.Sprintf("%s of %d", strings.Join(results, ", "), got.TotalRecordCount); text != c.want {
			t.Errorf("%v: got %s, want %s", c.params, text, c.want)
		}
	}
	for _, c := range []refusal{
		{"an unknown task", params{instanceID: "orders", "TaskId": "99"}, "Request.NotFound", "no task 99"},
		{"an unknown instance", params{instanceID: "nosuch"}, "InvalidDBInstanceName.NotFound", "nosuch"},
		{"too large a page", params{instanceID: "orders", "PageSize": "101"}, "Parameters.Invalid", "PageSize"},
	} {
		if code, message := b.refused(action, c.params); code != c.code || !strings.Contains(message, c.says) {
			t.Errorf("%s: got %s: %s", c.name, code, message)
		}
	}
}

func TestReportDetailUsesTheConfiguredSeparator(t *testing.T) {
	b := newBed(t, Options{DetailNewline: `\n`})
	seedPrechecks(b)
	for _, item := range b.must("DescribeUpgradeMajorVersionPrecheckTask", params{instanceID: "orders"}).(prechecks).Items {
		if strings.Contains(item.Detail, "\n") || !strings.Contains(item.Detail, `\n`) {
			t.Errorf("got %q", item.Detail)
		}
	}
}

func TestPrecheckIsRefused(t *testing.T) {
	b := newBed(t, Options{})
	b.addInstance("orders", 150018)
	for _, c := range []refusal{
		{"an unknown mode", params{"UpgradeMode": "jump"}, "InvalidUpgradeMode", "zeroDownTimeUpgrade"},
		{"no version", params{"TargetMajorVersion": "latest"}, "InvalidEngineVersion", "17.0"},
		{"an old version", params{"TargetMajorVersion": "9.6"}, "InvalidEngineVersion", "17.0"},
		{"the same version", params{"TargetMajorVersion": "15.0"}, "InvalidEngineVersion", "Instance orders runs PostgreSQL 15.18"},
		{"an unknown instance", params{instanceID: "nosuch"}, "InvalidDBInstanceName.NotFound", "Instance nosuch does not exist"},
	} {
		p := params{instanceID: "orders", "TargetMajorVersion": "17.0"}
		for name, value := range c.params {
			p[name] = value
		}
		if code, message := b.refused("UpgradeDBInstanceMajorVersionPrecheck", p); code != c.code || !strings.Contains(message, c.says) {
			t.Errorf("%s: got %s: %s", c.name, code, message)
		}
	}
}

func TestWhatStartsIsAnswered(t *testing.T) {
	golden(t, "precheck_started.json", written(t, "UpgradeDBInstanceMajorVersionPrecheck",
		precheckStarted{DBInstanceName: "orders", TargetMajorVersion: "17.0", TaskID: "12"}, formatJSON))
	golden(t, "upgrade_started.json", written(t, "UpgradeDBInstanceMajorVersion",
		upgradeStarted{DBInstanceID: "orders", TaskID: 13, OrderID: "13"}, formatJSON))
	golden(t, "switched_over.json", written(t, "SwitchOverMajorVersionUpgrade", empty{}, formatJSON))
	golden(t, "deleted.json", written(t, "DeleteDBInstance", deleted{RegionID: "local"}, formatJSON))
}

func TestRecommendedSizesAreTheEstimates(t *testing.T) {
	size := upgrade.Size{DiskGB: 240, MemoryGB: 16, LeastMemoryGB: 9}
	report := upgrade.Report{Estimate: &upgrade.Estimate{Recommended: size}}
	var summary control.Summary
	summary.Status = upgrade.StatusSucceeded
	got := newPrecheckTask(summary, report, true, "\n")
	if got.RecommendDiskSize != 240 || got.RecommendMemSize != 16 || got.RecommendLeastMemSize != 9 {
		t.Errorf("got %+v", got)
	}
	for name, none := range map[string]precheckTask{
		"no report yet":            newPrecheckTask(summary, report, false, "\n"),
		"a report of earlier days": newPrecheckTask(summary, upgrade.Report{}, true, "\n"),
	} {
		text, err := json.Marshal(none)
		if err != nil || strings.Contains(string(text), "Recommend") {
			t.Errorf("%s: got %s, %v", name, text, err)
		}
	}
}
