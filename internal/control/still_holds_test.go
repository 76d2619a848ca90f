package control

import (
	"slices"
	"strings"
	"testing"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// An upgrade that wants a report says why there is none, and how standbys get into one.
func TestUpgradeIsNotAllowed(t *testing.T) {
	plan := upgrade.Plan{Instance: "orders", Mode: upgrade.BlueGreen, Target: upgrade.Cluster{Version: 170006}}
	blocker := func(check string, objects ...string) upgrade.Finding {
		return upgrade.Finding{Check: check, Severity: upgrade.Blocker, Objects: objects}
	}
	standbys := blocker("standbys", "away", "far")
	for name, test := range map[string]struct {
		report upgrade.Report
		want   string
		cause  upgrade.Cause
	}{
		"no report": {
			upgrade.Report{}, "no valid report allows the upgrade of instance orders to 17 in mode blue-green. Note.; run a precheck", upgrade.CauseNoReport,
		},
		"standbys": {
			upgrade.Report{Number: 7, Findings: []upgrade.Finding{{Severity: upgrade.Warning}, standbys}},
			"instance orders has standbys that pgleap does not make anew: away, far (report 7); once it is planned what becomes of them, accept each on the host: " +
				"pgleap precheck orders --to 17 --mode blue-green --accept standbys:NAME;", upgrade.CauseStandbys,
		},
		"disk space": {
			upgrade.Report{Number: 7, Findings: []upgrade.Finding{blocker("disk-space", "inodes of the target's file system")}},
			"there is too little disk space to upgrade instance orders to 17 in mode blue-green: inodes of the target's file system (report 7); " +
				"make room", upgrade.CauseStorage,
		},
		"standbys among others": {
			upgrade.Report{Number: 7, Findings: []upgrade.Finding{standbys, blocker("disk-space")}}, "no valid report", upgrade.CauseNoReport,
		},
		"standbys, and something that was not checked": {
			upgrade.Report{Number: 7, Findings: []upgrade.Finding{standbys}, NotChecked: []string{"memory"}}, "no valid report", upgrade.CauseNoReport,
		},
	} {
		err := notAllowed(plan, test.report, "Note.")
		if !strings.HasPrefix(err.Error(), test.want) || upgrade.CauseOf(err) != test.cause {
			t.Errorf("%s: %v, because of %q", name, err, upgrade.CauseOf(err))
		}
	}
}

// What was accepted for a report is accepted by the upgrade that relies on it.
func TestAcceptedByAReport(t *testing.T) {
	t.Parallel()
	c := newControl(t)
	addInstance(t, c, "orders")
	accepted := []string{"standbys:away"}
	task, err := c.catalog.CreateTask(t.Context(), upgrade.Task{
		Kind: upgrade.TaskPrecheck, Instance: "orders", Mode: upgrade.BlueGreen, Source: 150012, Target: 17,
		Phase: upgrade.PhasePrecheck, StartedAt: now, Plan: &upgrade.Plan{Instance: "orders", Options: upgrade.Options{Accepted: accepted}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := c.acceptedBy(t.Context(), upgrade.Report{Number: task.Number}); err != nil || !slices.Equal(got, accepted) {
		t.Errorf("accepted: %v, %v", got, err)
	}
	if _, err := c.acceptedBy(t.Context(), upgrade.Report{Number: task.Number + 1}); err == nil {
		t.Error("something was accepted for a report that nobody made")
	}
}

// Whoever upgrades is told exactly why the report does not hold any more.
func TestReportStillHolds(t *testing.T) {
	taken := func(level string) upgrade.Fingerprint {
		t.Helper()
		f, err := upgrade.NewFingerprint([]upgrade.Part{
			{Kind: upgrade.PartSetting, Name: "wal_level", Value: level}, {Kind: upgrade.PartExtension, Database: "shop", Name: "hstore", Value: "1.8"},
		})
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	report := upgrade.Report{Number: 4, Fingerprint: taken("replica").Sum, Parts: taken("replica").Parts}
	old := report
	old.Parts = nil
	for name, test := range map[string]struct {
		report upgrade.Report
		now    upgrade.Fingerprint
		want   string
		holds  bool
	}{
		"unchanged":           {report, taken("replica"), "Report 4 passed, and what it saw is unchanged.", true},
		"an old one":          {old, taken("replica"), "Report 4 passed, and what it saw is unchanged.", true},
		"changed":             {report, taken("logical"), "What report 4 saw has changed since: setting wal_level changed from replica to logical. The precheck will tell anew.", false},
		"changed, an old one": {old, taken("logical"), "What report 4 saw has changed since: what exactly is not known. The precheck will tell anew.", false},
	} {
		if note, holds := stillHolds(test.report, test.now); note != test.want || holds != test.holds {
			t.Errorf("%s: got %t: %s", name, holds, note)
		}
	}
}
