package flow

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/internal/upgrade/step"
)

// A task whose workflow was lost runs until nothing of it is left to be undone, and ends as the host says.
func TestCleanupEndsItsTask(t *testing.T) {
	lost := step.Lost{Reason: "The workflow of this upgrade is gone."}
	reopened := step.Lost{Reason: lost.Reason, Reopened: true}
	there := upgrade.Switchover{Switched: true, TargetPort: 5433}
	atTarget := func(w *world) {
		w.does[step.Discard] = refuse("clients write to the target")
		w.does[step.Finish] = func(int) (any, error) { return step.FinishResult{Switchover: &there}, nil }
	}
	cleanup, finishing := []upgrade.Phase{upgrade.PhaseCleanup}, []upgrade.Phase{upgrade.PhaseCleanup, upgrade.PhaseFinishing}
	for name, test := range map[string]struct {
		mode   upgrade.Mode
		lost   step.Lost
		does   func(*world)
		want   upgrade.Outcome
		phases []upgrade.Phase
	}{
		"clients are at the source": {
			upgrade.ZeroDowntime, lost, func(*world) {},
			upgrade.Outcome{Status: upgrade.StatusFailed, Reason: lost.Reason + " What it had made is removed."},
			cleanup,
		},
		"clients are at the target": {
			upgrade.ZeroDowntime, lost, atTarget,
			upgrade.Outcome{Status: upgrade.StatusSucceeded, Reason: finishedWithout, Switchover: &there},
			finishing,
		},
		"it was upgraded in place": {
			upgrade.InPlace, lost, func(w *world) {
				atTarget(w)
				w.settled = served
			},
			upgrade.Outcome{Status: upgrade.StatusSucceeded, Reason: finishedWithout, Switchover: &served},
			finishing,
		},
		"the host can do neither": {
			upgrade.ZeroDowntime, lost, func(w *world) {
				w.does[step.Discard], w.does[step.Finish] = refuse("there is no such user"), refuse("clients are at the source")
			},
			upgrade.Outcome{Status: upgrade.StatusFailed, Reason: lost.Reason + " It could not be undone; its log tells why."},
			finishing,
		},
		"it had succeeded, and clients have not gone back": {
			upgrade.BlueGreen, reopened, atTarget,
			upgrade.Outcome{Status: upgrade.StatusSucceeded, Reason: "clients stay at the target: " + lost.Reason},
			finishing,
		},
		"it had succeeded, and clients have gone back": {
			upgrade.BlueGreen, reopened, func(*world) {},
			upgrade.Outcome{Status: upgrade.StatusCancelled, Reason: lost.Reason + " Clients are back at the source."},
			cleanup,
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newInPlaceWorld(t)
			test.does(w)
			plan := testPlan
			plan.Mode = test.mode
			w.env.ExecuteWorkflow(Cleanup, plan, test.lost.Reopened, test.lost)
			if err := w.env.GetWorkflowError(); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]upgrade.Outcome{test.want}, w.ends); diff != "" {
				t.Errorf("ended (-want +got):\n%s", diff)
			}
			if !slices.Equal(w.phases, test.phases) || w.calls[len(w.calls)-1] != step.EndTask {
				t.Errorf("phases %v, calls %v", w.phases, w.calls)
			}
		})
	}
}
