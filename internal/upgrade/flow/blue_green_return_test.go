package flow

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.temporal.io/sdk/activity"

	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/internal/upgrade/step"
)

// Clients go back when the host says so; else they stay, and the upgrade stands as it stood.
func TestReturn(t *testing.T) {
	there := upgrade.Switchover{Switched: true, TargetPort: 5433}
	for name, test := range map[string]struct {
		result upgrade.Switchover
		want   upgrade.Outcome
		calls  []string
		phases []upgrade.Phase
	}{
		"nothing was written": {
			result: upgrade.Switchover{Switched: true, Back: true},
			want: upgrade.Outcome{
				Status: upgrade.StatusCancelled, Switchover: &upgrade.Switchover{Switched: true, Back: true},
				Reason: "clients are back at the source; nothing had been written on the target since the switch",
			},
			calls:  []string{step.ReturnToSource, step.MoveInstance, step.FenceForGood, step.Discard, step.EndTask},
			phases: []upgrade.Phase{upgrade.PhaseSwitchback, upgrade.PhaseCleanup},
		},
		"something was": {
			result: upgrade.Switchover{Back: true, Reason: "something was written"},
			want:   upgrade.Outcome{Status: upgrade.StatusSucceeded, Switchover: &there, Reason: "clients stay at the target: something was written"},
			calls:  []string{step.ReturnToSource, step.EndTask},
			phases: []upgrade.Phase{upgrade.PhaseSwitchback, upgrade.PhaseFinishing},
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			var asked []step.SwitchOverArgs
			w.env.RegisterActivityWithOptions(func(_ context.Context, args step.SwitchOverArgs) (upgrade.Switchover, error) {
				asked = append(asked, args)
				_, err := answer[step.Done](w, step.ReturnToSource)
				return test.result, err
			}, activity.RegisterOptions{Name: step.ReturnToSource})
			plan := planWith(manual)
			plan.Mode = upgrade.BlueGreen
			w.env.ExecuteWorkflow(Return, step.ReturnArgs{Plan: plan, Attempt: 9, Switched: there})
			var outcome upgrade.Outcome
			if err := w.env.GetWorkflowResult(&outcome); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, outcome); diff != "" {
				t.Errorf("outcome (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(test.calls, w.calls); diff != "" {
				t.Errorf("calls (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(test.phases, w.phases); diff != "" {
				t.Errorf("phases (-want +got):\n%s", diff)
			}
			if len(asked) != 1 || asked[0].Attempt != 9 || !asked[0].Plan.Reversed {
				t.Errorf("asked for %+v", asked)
			}
			if test.result.Switched && (len(w.moves) != 1 || !w.moves[0].Returned || w.moves[0].Cluster != plan.Source) {
				t.Errorf("the instance moved to %+v", w.moves)
			}
		})
	}
}
