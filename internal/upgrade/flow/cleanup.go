package flow

import (
	"go.temporal.io/sdk/workflow"

	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/internal/upgrade/step"
)

// Cleanup ends an upgrade whose own workflow was lost, with the engine's file for example. If clients
// are at the source it is undone, if they are at the target it is finished: the host's journals know. One
// that was on its way back may have had no time to record where clients are: then the instance moves.
func Cleanup(ctx workflow.Context, plan upgrade.Plan, goingBack bool) error {
	t := newTask(ctx, plan)
	t.current, t.source = upgrade.PhaseCleanup, "cleanup"
	err := t.do(ctx, step.Discard, plan)
	if err == nil {
		if goingBack { // no cleanup that was recorded before has it
			t.orTell(ctx, t.onServer(ctx, step.MoveInstance, step.MoveInstanceArgs{
				Instance: plan.Instance, Cluster: plan.Source, Endpoint: plan.Endpoint, Number: plan.Number, Returned: true,
			}))
		}
		return nil
	}
	t.tell(ctx, upgrade.LevelWarning, "nothing is undone: "+sentence(err))
	t.current = upgrade.PhaseFinishing
	t.orTell(ctx, t.do(ctx, step.FenceForGood, plan))
	t.orTell(ctx, t.finishOnHost(ctx))
	return nil
}
