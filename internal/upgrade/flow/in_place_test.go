package flow

import (
	"context"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"

	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/internal/upgrade/step"
)

// newInPlaceWorld is a world with the activities of an upgrade in place.
func newInPlaceWorld(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	register := func(name string, do any) {
		w.env.RegisterActivityWithOptions(do, activity.RegisterOptions{Name: name})
	}
	for _, name := range []string{step.UpdateInPlace, step.AnalyzeInPlace, step.DiscardInPlace} {
		register(name, func(context.Context, upgrade.Plan) (step.Done, error) { return answer[step.Done](w, name) })
	}
	register(step.PrepareInPlace, func(ctx context.Context, _ upgrade.Plan) (step.Done, error) {
		done, err := answer[step.Done](w, step.PrepareInPlace)
		return done, w.slowly(ctx, t, step.PrepareInPlace, done, err)
	})
	register(step.FinishInPlace, func(context.Context, upgrade.Plan) (step.FinishResult, error) {
		return answer[step.FinishResult](w, step.FinishInPlace)
	})
	register(step.UpgradeInPlace, func(_ context.Context, args step.InPlaceArgs) (step.InPlaceResult, error) {
		if args.SettleOnly {
			w.note(func() { w.calls = append(w.calls, "settle") })
			return step.InPlaceResult{Switchover: w.settled}, nil
		}
		w.note(func() { w.notAfter = append(w.notAfter, args.NotAfter) })
		return answer[step.InPlaceResult](w, step.UpgradeInPlace)
	})
	return w
}

// outageEnds is an outage that ended in one of the two ways.
func outageEnds(result upgrade.Switchover) func(int) (any, error) {
	return func(int) (any, error) { return step.InPlaceResult{Switchover: result}, nil }
}

func (w *world) runInPlace(t *testing.T) upgrade.Outcome {
	t.Helper()
	plan := testPlan
	plan.Mode = upgrade.InPlace
	w.env.ExecuteWorkflow(InPlace, step.InPlaceUpgradeArgs{Plan: plan})
	if err := w.env.GetWorkflowError(); err != nil {
		t.Fatalf("the workflow failed: %v\ncalls: %v", err, w.calls)
	}
	var outcome upgrade.Outcome
	if err := w.env.GetWorkflowResult(&outcome); err != nil {
		t.Fatal(err)
	}
	if len(w.ends) != 1 || w.ends[0].Status != outcome.Status || w.ends[0].Reason != outcome.Reason || w.calls[len(w.calls)-1] != step.EndTask {
		t.Errorf("EndTask: got %+v in %v, the outcome is %+v", w.ends, w.calls, outcome)
	}
	return outcome
}

var (
	served       = upgrade.Switchover{Switched: true, TargetPort: 5432}
	untilOutage  = []string{step.Precheck, step.SaveReport, step.PrepareInPlace, step.UpgradeInPlace}
	afterOutage  = []string{step.MoveInstance, step.FinishInPlace, step.MoveInstance, step.AnalyzeInPlace, step.UpdateInPlace, step.BuildStandbys, step.EndTask}
	afterFailure = []string{step.DiscardInPlace, step.EndTask}
)

func TestInPlace(t *testing.T) {
	blockedReport := upgrade.Report{Findings: []upgrade.Finding{{Severity: upgrade.Blocker, Title: "it cannot be"}}}
	for _, test := range []struct {
		name    string
		arrange func(*world)
		calls   []string
		status  upgrade.Status
		reason  string
	}{
		{
			"all goes well",
			func(w *world) { w.does[step.UpgradeInPlace] = outageEnds(served) },
			append(untilOutage[:4:4], afterOutage...), upgrade.StatusSucceeded, "",
		},
		{
			"a blocker costs no outage",
			func(w *world) { w.report = blockedReport },
			append(untilOutage[:2:2], afterFailure...), upgrade.StatusFailed, "it cannot be",
		},
		{
			"a target that cannot be prepared costs no outage",
			func(w *world) { w.does[step.PrepareInPlace] = refuse("no room") },
			append(untilOutage[:3:3], afterFailure...), upgrade.StatusFailed, "no room",
		},
		{
			"an outage that was undone is told, and what was made is removed",
			func(w *world) {
				w.does[step.UpgradeInPlace] = outageEnds(upgrade.Switchover{Reason: "pg_upgrade: it failed"})
			},
			append(untilOutage[:4:4], afterFailure...), upgrade.StatusFailed, "pg_upgrade: it failed",
		},
		{
			"an agent that was not heard of is asked how it ended",
			func(w *world) {
				w.settled = upgrade.Switchover{Reason: "the agent that upgraded it died"}
				w.does[step.UpgradeInPlace] = refuse("not heard of")
			},
			append(append(untilOutage[:4:4], "settle"), afterFailure...), upgrade.StatusFailed, "the agent that upgraded it died",
		},
		{
			"a cancel in the outage ends as the host says: put back",
			func(w *world) {
				w.settled = upgrade.Switchover{Reason: "interrupted"}
				w.does[step.UpgradeInPlace] = w.signalAndStay(step.SignalCancel)
			},
			append(append(untilOutage[:4:4], "settle"), afterFailure...), upgrade.StatusCancelled, "cancelled by the user",
		},
		{
			"a cancel that comes too late changes nothing",
			func(w *world) {
				w.settled = served
				w.does[step.UpgradeInPlace] = w.signalAndStay(step.SignalCancel)
			},
			append(append(untilOutage[:4:4], "settle"), afterOutage...), upgrade.StatusSucceeded, "",
		},
		{
			"a cancel while the target is prepared",
			func(w *world) { w.does[step.PrepareInPlace] = w.signalAndStay(step.SignalCancel) },
			append(untilOutage[:3:3], afterFailure...), upgrade.StatusCancelled, "cancelled by the user",
		},
		{
			"what follows the outage cannot fail it",
			func(w *world) {
				w.does[step.UpgradeInPlace] = outageEnds(served)
				w.does[step.FinishInPlace], w.does[step.UpdateInPlace] = refuse("not now"), refuse("nor this")
			},
			append(untilOutage[:4:4], step.MoveInstance, step.FinishInPlace, step.AnalyzeInPlace, step.UpdateInPlace, step.BuildStandbys, step.EndTask),
			upgrade.StatusSucceeded, "",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newInPlaceWorld(t)
			test.arrange(w)
			outcome := w.runInPlace(t)
			if diff := cmp.Diff(test.calls, w.calls); diff != "" {
				t.Errorf("calls (-want +got):\n%s", diff)
			}
			if outcome.Status != test.status || !strings.Contains(outcome.Reason, test.reason) {
				t.Errorf("outcome: %+v, want %s: %s", outcome, test.status, test.reason)
			}
			if (outcome.Switchover != nil) != (test.status == upgrade.StatusSucceeded) {
				t.Errorf("the outcome's switchover: %+v", outcome.Switchover)
			}
		})
	}
}

// An outage is tried for as long as it takes to know how it ended: clients may be waiting.
func TestOutageIsNotGivenUpOn(t *testing.T) {
	w := newInPlaceWorld(t)
	w.does[step.UpgradeInPlace] = func(n int) (any, error) {
		if n < 8 {
			return nil, temporal.NewApplicationError("PgBouncer is away", "Failed")
		}
		return step.InPlaceResult{Switchover: served}, nil
	}
	if outcome := w.runInPlace(t); outcome.Status != upgrade.StatusSucceeded {
		t.Errorf("outcome: %+v; calls: %v", outcome, w.calls)
	}
	want := []upgrade.Phase{upgrade.PhasePrecheck, upgrade.PhasePrepareTarget, upgrade.PhaseUpgrade, upgrade.PhaseFinishing}
	if diff := cmp.Diff(want, w.phases); diff != "" {
		t.Errorf("phases (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(upgrade.InPlacePhases(), w.phases); diff != "" {
		t.Errorf("InPlacePhases (-want +got):\n%s", diff)
	}
}
