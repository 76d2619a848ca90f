package flow

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/internal/upgrade/step"
)

// story is what a zero-downtime upgrade does, in order, when the statistics are collected before.
var story = []string{
	step.Precheck, step.SaveReport,
	step.PrepareSource,
	step.BaseBackup, step.StreamClone,
	step.CreateSlots, step.PromoteClone,
	step.InitTarget, step.PgUpgrade,
	step.StartTarget, step.Subscribe, step.UpdateExtensions, step.CollectStatistics, step.BuildStandbys,
	step.Synchronize,
	step.RefreshMaterializedViews, step.SwitchOver,
	step.MoveInstance, step.FenceForGood, step.Finish, step.MoveInstance, step.BuildStandbys,
	step.EndTask,
}

// switchWhenSynchronizing asks for the switchover every time that the upgrade synchronizes.
func (w *world) switchWhenSynchronizing() {
	w.does[step.Synchronize] = func(int) (any, error) {
		w.signal(step.SignalSwitch)
		return nil, nil
	}
}

func TestStory(t *testing.T) {
	w := newWorld(t)
	w.switchWhenSynchronizing()
	outcome := w.run(t, testPlan)
	if diff := cmp.Diff(story, w.calls); diff != "" {
		t.Errorf("steps (-want +got):\n%s", diff)
	}
	without := func(p upgrade.Phase) bool { return p == upgrade.PhaseFollowing } // testPlan has no way back
	if diff := cmp.Diff(slices.DeleteFunc(upgrade.Phases(), without), w.phases); diff != "" {
		t.Errorf("phases (-want +got):\n%s", diff)
	}
	if outcome.Status != upgrade.StatusSucceeded || !outcome.Switchover.Switched {
		t.Errorf("outcome: %+v", outcome)
	}
	if errs := w.told(upgrade.LevelError); len(errs) > 0 {
		t.Errorf("errors were told: %v", errs)
	}
}

func TestStatisticsAfter(t *testing.T) {
	w := newWorld(t)
	w.switchWhenSynchronizing()
	w.run(t, planWith(func(o *upgrade.Options) { o.Statistics = upgrade.StatisticsAfter }))
	want := slices.DeleteFunc(slices.Clone(story), func(s string) bool { return s == step.CollectStatistics })
	want = slices.Insert(want, slices.Index(want, step.Finish), step.CollectStatistics)
	if diff := cmp.Diff(want, w.calls); diff != "" {
		t.Errorf("steps (-want +got):\n%s", diff)
	}
}

func TestPrecheckStandsInTheWay(t *testing.T) {
	for _, c := range []struct {
		name   string
		report upgrade.Report
		want   string
	}{
		{"a blocker", upgrade.Report{Number: 7, Findings: []upgrade.Finding{
			{Title: "Table without replica identity", Severity: upgrade.Blocker}, {Title: "Just so", Severity: upgrade.Warning},
		}}, "the precheck found what stands in the way: Table without replica identity; see `pgleap task show 7`"},
		{
			"a check that was not carried out",
			upgrade.Report{Number: 7, NotChecked: []string{"disk-space: no statfs"}},
			"the precheck found what stands in the way: disk-space: no statfs; see `pgleap task show 7`",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.report = c.report
			outcome := w.run(t, testPlan)
			if outcome.Status != upgrade.StatusFailed || outcome.Reason != c.want {
				t.Errorf("outcome: %+v", outcome)
			}
			if diff := cmp.Diff([]string{step.Precheck, step.SaveReport, step.Discard, step.EndTask}, w.calls); diff != "" {
				t.Errorf("steps (-want +got):\n%s", diff)
			}
		})
	}
}

// beforeSwitchover are the steps whose failure, or cancel, ends an upgrade.
func beforeSwitchover() []string {
	return story[:slices.Index(story, step.RefreshMaterializedViews)]
}

func TestFailureAtEachStep(t *testing.T) {
	for i, name := range beforeSwitchover() {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.does[name] = refuse("no space left; make room")
			outcome := w.run(t, planWith(func(o *upgrade.Options) { o.WaitForStandbys = true }))
			if outcome.Status != upgrade.StatusFailed || outcome.Reason != "no space left; make room" {
				t.Errorf("outcome: %+v", outcome)
			}
			want := append(slices.Clone(story[:i+1]), step.Discard, step.EndTask)
			if diff := cmp.Diff(want, w.calls); diff != "" {
				t.Errorf("steps (-want +got):\n%s", diff)
			}
			if last := w.phases[len(w.phases)-1]; last != upgrade.PhaseCleanup {
				t.Errorf("last phase: %s", last)
			}
			if told := w.told(upgrade.LevelError); !slices.Contains(told, "cleaning up: no space left; make room") {
				t.Errorf("errors that were told: %v", told)
			}
		})
	}
}

func TestCancelAtEachStep(t *testing.T) {
	for i, name := range beforeSwitchover() {
		if name == step.SaveReport { // it takes milliseconds and ends by itself
			continue
		}
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.does[name] = w.signalAndStay(step.SignalCancel)
			outcome := w.run(t, testPlan)
			if outcome.Status != upgrade.StatusCancelled || outcome.Reason != "cancelled by the user" {
				t.Errorf("outcome: %+v", outcome)
			}
			want := append(slices.Clone(story[:i+1]), step.Discard, step.EndTask)
			if diff := cmp.Diff(want, w.calls); diff != "" {
				t.Errorf("steps (-want +got):\n%s", diff)
			}
		})
	}
}

// What fails by chance is tried again, since a step goes on from what is true; not for ever.
func TestStepsAreTriedAgain(t *testing.T) {
	failing := func(times int) func(int) (any, error) {
		return func(n int) (any, error) {
			if n <= times {
				return nil, errors.New("connection refused")
			}
			return step.Done{}, nil
		}
	}
	for _, c := range []struct {
		name  string
		step  string
		times int
		want  upgrade.Status
	}{
		{"four times", step.BaseBackup, 4, upgrade.StatusSucceeded},
		{"five times", step.BaseBackup, 5, upgrade.StatusFailed},
		{"the end, for as long as it takes", step.Finish, 20, upgrade.StatusSucceeded},
		{"the record, for as long as it takes", step.EndTask, 6, upgrade.StatusSucceeded},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.switchWhenSynchronizing()
			w.does[c.step] = failing(c.times)
			w.env.ExecuteWorkflow(ZeroDowntime, testPlan)
			var outcome upgrade.Outcome
			if err := w.env.GetWorkflowResult(&outcome); err != nil {
				t.Fatal(err)
			}
			if outcome.Status != c.want {
				t.Errorf("outcome: %+v", outcome)
			}
			if c.want == upgrade.StatusFailed && outcome.Reason != "connection refused" {
				t.Errorf("reason: %q", outcome.Reason)
			}
		})
	}
}

// Clients are on the target: whatever fails now is told and changes nothing.
func TestFailuresInFinishing(t *testing.T) {
	for _, name := range []string{step.MoveInstance, step.FenceForGood, step.CollectStatistics, step.Finish} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.switchWhenSynchronizing()
			w.does[name] = refuse("it cannot be done")
			outcome := w.run(t, planWith(func(o *upgrade.Options) { o.Statistics = upgrade.StatisticsAfter }))
			if outcome.Status != upgrade.StatusSucceeded {
				t.Errorf("outcome: %+v", outcome)
			}
			if told := w.told(upgrade.LevelError); len(told) == 0 || told[0] != "finishing: it cannot be done" {
				t.Errorf("errors that were told: %v", told)
			}
		})
	}
}

func TestDiscardThatFailsIsTold(t *testing.T) {
	w := newWorld(t)
	w.does[step.PgUpgrade] = refuse("pg_upgrade failed")
	w.does[step.Discard] = refuse("the source is down; start it")
	outcome := w.run(t, testPlan)
	if outcome.Reason != "pg_upgrade failed" {
		t.Errorf("outcome: %+v", outcome)
	}
	if told := strings.Join(w.told(upgrade.LevelError), "\n"); !strings.Contains(told, "the source is down; start it") {
		t.Errorf("errors that were told: %s", told)
	}
}
