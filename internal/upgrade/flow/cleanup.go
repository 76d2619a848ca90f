package flow

import (
	"fmt"
	"time"

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
	// One that was begun by an older program does no more than what the replication needs, or amends nothing.
	version := workflow.GetVersion(ctx, "finish what was lost", workflow.DefaultVersion, 2)
	t.standbys, t.amends = version >= 1, version >= 2
	if t.standbys && plan.Mode == upgrade.InPlace {
		t.finishLostInPlace(ctx)
		return nil
	}
	t.finishLost(ctx)
	return nil
}

// finishLost does what follows a switchover. Finish refuses if clients are not at the target: then the
// instance stays where it is recorded.
func (t *task) finishLost(ctx workflow.Context) {
	t.orTell(ctx, t.do(ctx, step.FenceForGood, t.plan))
	if t.standbys && t.plan.Mode == upgrade.BlueGreen {
		t.orTell(ctx, t.do(ctx, step.UpdateExtensions, t.plan))
	}
	if t.standbys && t.plan.Options.Statistics == upgrade.StatisticsAfter {
		t.orTell(ctx, t.do(ctx, step.CollectStatistics, t.plan))
	}
	finished, err := t.finishOnHost(ctx)
	if err != nil {
		t.orTell(ctx, err)
		return
	}
	t.moved = true
	t.recordFindings(ctx)
	t.completeStandbys(ctx)
	t.amend(ctx, finished.Switchover)
}

// amend records that the upgrade was finished: it was taken for failed when its workflow was lost.
func (t *task) amend(ctx workflow.Context, switched *upgrade.Switchover) {
	if !t.amends {
		return
	}
	t.orTell(ctx, t.onServer(ctx, step.AmendTask, step.EndTaskArgs{Number: t.plan.Number, Outcome: upgrade.Outcome{
		Status: upgrade.StatusSucceeded, Switchover: switched,
		Reason: "The workflow of this upgrade was lost when clients were at the target already; it was finished without it.",
	}}))
}

// finishLostInPlace does what follows an outage that ended with the target serving, if that is how it ended.
func (t *task) finishLostInPlace(ctx workflow.Context) {
	result, err := t.upgradeInPlace(ctx, step.InPlaceArgs{Plan: t.plan, SettleOnly: true})
	if err != nil || !result.Switchover.Switched {
		t.orTell(ctx, err)
		return
	}
	t.tell(ctx, upgrade.LevelInfo, fmt.Sprintf("it was upgraded in place: nobody served for %s", result.Switchover.Pause.Round(time.Millisecond)))
	t.finishInPlace(ctx)
	t.amend(ctx, &result.Switchover)
}
