package catalogtest

import (
	"testing"
	"time"

	"github.com/pgleap/pgleap/internal/catalog"
	"github.com/pgleap/pgleap/internal/upgrade"
)

func comparisons(t *testing.T, open func(t *testing.T) *catalog.Catalog) {
	t.Run("lay the truth beside the estimate", func(t *testing.T) { compared(t, open(t)) })
	t.Run("are not made of what has not succeeded, or was not estimated", func(t *testing.T) { notCompared(t, open(t)) })
}

// anEstimate is that of the report of a task.
func anEstimate() *upgrade.Estimate {
	return &upgrade.Estimate{
		Disk: 5 << 40, Memory: 2 << 30, LeastMemory: 1 << 30, Pause: 40 * time.Millisecond, Total: 20 * time.Second,
		Phases: []upgrade.PhaseEstimate{
			{Phase: upgrade.PhasePrepare, Duration: 5 * time.Second}, {Phase: upgrade.PhaseBaseBackup, Duration: 15 * time.Second},
		},
		Workload:    upgrade.Workload{DataBytes: 5 << 40, Relations: 7, WALRate: 1.5},
		Speed:       upgrade.Speed{ReadRate: 1e9, SchemaUpgrade: time.Second},
		Recommended: upgrade.Size{DiskGB: 10240, MemoryGB: 4, LeastMemoryGB: 2},
	}
}

func estimatedReport(number int64) upgrade.Report {
	return upgrade.Report{
		Number: number, Instance: "orders", Mode: upgrade.ZeroDowntime, Target: 170011, CheckedAt: kept, ValidUntil: keptAfter(60),
		Findings: []upgrade.Finding{}, Estimate: anEstimate(),
	}
}

func compared(t *testing.T, c *catalog.Catalog) {
	withInstances(t, c, orders())
	task := created(t, c, anUpgrade("orders"))
	must(t, c.SaveReport(t.Context(), estimatedReport(task.Number)))
	report, err := c.Report(t.Context(), task.Number)
	must(t, err)
	same(t, "the estimate", report.Estimate, anEstimate())

	must(t, c.EnterPhase(t.Context(), task.Number, upgrade.PhasePrepare, after(1)))
	must(t, c.EnterPhase(t.Context(), task.Number, upgrade.PhaseBaseBackup, after(4)))
	must(t, c.EnterPhase(t.Context(), task.Number, upgrade.PhaseFinishing, after(24)))
	switched := upgrade.Switchover{Switched: true, Pause: 30 * time.Millisecond, StartedAt: keptAfter(24), EndedAt: keptAfter(24)}
	must(t, c.SetSwitchover(t.Context(), task.Number, switched))
	if running := taskNow(t, c, task.Number); running.Comparison != nil {
		t.Errorf("compared while it runs: %+v", running.Comparison)
	}
	must(t, c.EndTask(t.Context(), task.Number, upgrade.Outcome{Status: upgrade.StatusSucceeded}, after(30)))

	want := &upgrade.Comparison{
		Report: task.Number, Estimate: *anEstimate(),
		Phases: []upgrade.PhaseCompared{
			{Phase: upgrade.PhasePrepare, DurationCompared: upgrade.DurationCompared{Estimated: 5 * time.Second, Actual: 3 * time.Second}},
			{Phase: upgrade.PhaseBaseBackup, DurationCompared: upgrade.DurationCompared{Estimated: 15 * time.Second, Actual: 20 * time.Second}},
		},
		Total: upgrade.DurationCompared{Estimated: 20 * time.Second, Actual: 23 * time.Second},
		Pause: upgrade.DurationCompared{Estimated: 40 * time.Millisecond, Actual: 30 * time.Millisecond},
	}
	same(t, "by number", taskNow(t, c, task.Number).Comparison, want)
	byID, err := c.TaskByID(t.Context(), task.ID)
	must(t, err)
	same(t, "by id", byID.Comparison, want)
}

func notCompared(t *testing.T, c *catalog.Catalog) {
	withInstances(t, c, orders())
	for name, make := range map[string]func() int64{
		"a precheck": func() int64 {
			task := created(t, c, aPrecheck("orders"))
			must(t, c.SaveReport(t.Context(), estimatedReport(task.Number)))
			ended(t, c, task.Number, upgrade.StatusSucceeded)
			return task.Number
		},
		"an upgrade that failed": func() int64 {
			task := created(t, c, anUpgrade("orders"))
			must(t, c.SaveReport(t.Context(), estimatedReport(task.Number)))
			ended(t, c, task.Number, upgrade.StatusFailed)
			return task.Number
		},
		"an upgrade without a report": func() int64 {
			task := created(t, c, anUpgrade("orders"))
			ended(t, c, task.Number, upgrade.StatusSucceeded)
			return task.Number
		},
		"an upgrade whose report has no estimate": func() int64 {
			task := created(t, c, anUpgrade("orders"))
			report := estimatedReport(task.Number)
			report.Estimate = nil
			must(t, c.SaveReport(t.Context(), report))
			ended(t, c, task.Number, upgrade.StatusSucceeded)
			return task.Number
		},
	} {
		if got := taskNow(t, c, make()); got.Comparison != nil {
			t.Errorf("%s: got %+v", name, got.Comparison)
		}
	}
}
