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
// that was on its way back may have had no time to record where clients are: then the instance moves. Its task ends with
// it: a next upgrade of the instance would be taken apart by what is still to be undone of this one.
func Cleanup(ctx workflow.Context, plan upgrade.Plan, goingBack bool, lost step.Lost) error {
	t := newTask(ctx, plan)
	// It may have been lost itself: what it records is not what another one has.
	t.current, t.source = upgrade.PhaseCleanup, "cleanup-"+workflow.GetInfo(ctx).WorkflowExecution.RunID+"-"
	if lost == (step.Lost{}) { // an older program had ended the task before
		t.cleanUp(ctx, goingBack, lost)
		return t.awaitRecord(ctx)
	}
	t.enter(ctx, upgrade.PhaseCleanup)
	outcome := t.cleanUp(ctx, goingBack, lost)
	_, err := t.end(ctx, outcome)
	return err
}

// cleanUp undoes or finishes what was lost. The outcome of an upgrade that had ended before, and was to lead clients back,
// is where they are.
func (t *task) cleanUp(ctx workflow.Context, goingBack bool, lost step.Lost) upgrade.Outcome {
	plan := t.plan
	err := t.do(ctx, step.Discard, plan)
	if err == nil {
		if goingBack { // no cleanup that was recorded before has it
			t.orTell(ctx, t.post(ctx, step.MoveInstance, step.MoveInstanceArgs{
				Instance: plan.Instance, Cluster: plan.Source, Endpoint: plan.Endpoint, Number: plan.Number, Returned: true,
			}))
		}
		if lost.Reopened {
			return upgrade.Outcome{Status: upgrade.StatusCancelled, Reason: lost.Reason + " Clients are back at the source."}
		}
		return upgrade.Outcome{Status: upgrade.StatusFailed, Reason: lost.Reason + " What it had made is removed."}
	}
	t.tell(ctx, upgrade.LevelWarning, "nothing is undone: "+sentence(err))
	t.current = upgrade.PhaseFinishing
	if lost != (step.Lost{}) {
		t.enter(ctx, upgrade.PhaseFinishing)
	}
	// One that was begun by an older program does no more than what the replication needs, or amends nothing.
	version := workflow.GetVersion(ctx, "finish what was lost", workflow.DefaultVersion, 2)
	t.standbys, t.amends = version >= 1, version >= 2 && lost == (step.Lost{})
	finish := t.finishLost
	if t.standbys && plan.Mode == upgrade.InPlace {
		finish = t.finishLostInPlace
	}
	switched, atTarget := finish(ctx)
	switch {
	case !atTarget:
		return upgrade.Outcome{Status: upgrade.StatusFailed, Reason: lost.Reason + " It could not be undone; its log tells why."}
	case lost.Reopened: // the record has the switchover
		return upgrade.Outcome{Status: upgrade.StatusSucceeded, Reason: "clients stay at the target: " + lost.Reason}
	}
	t.amend(ctx, switched)
	return upgrade.Outcome{Status: upgrade.StatusSucceeded, Switchover: switched, Reason: finishedWithout}
}

// finishedWithout is the reason of the success of an upgrade whose workflow was lost.
const finishedWithout = "The workflow of this upgrade was lost when clients were at the target already; it was finished without it."

// finishLost does what follows a switchover. Finish refuses if clients are not at the target: then the
// instance stays where it is recorded.
func (t *task) finishLost(ctx workflow.Context) (switched *upgrade.Switchover, atTarget bool) {
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
		return nil, false
	}
	t.moved = true
	t.recordFindings(ctx)
	t.completeStandbys(ctx)
	return finished.Switchover, true
}

// amend records that the upgrade was finished, if it was taken for failed when its workflow was lost.
func (t *task) amend(ctx workflow.Context, switched *upgrade.Switchover) {
	if !t.amends {
		return
	}
	t.orTell(ctx, t.onServer(ctx, step.AmendTask, step.EndTaskArgs{
		Number: t.plan.Number, Outcome: upgrade.Outcome{Status: upgrade.StatusSucceeded, Switchover: switched, Reason: finishedWithout},
	}))
}

// finishLostInPlace does what follows an outage that ended with the target serving, if that is how it ended.
func (t *task) finishLostInPlace(ctx workflow.Context) (switched *upgrade.Switchover, atTarget bool) {
	result, err := t.upgradeInPlace(ctx, step.InPlaceArgs{Plan: t.plan, SettleOnly: true})
	if err != nil || !result.Switchover.Switched {
		t.orTell(ctx, err)
		return nil, false
	}
	t.tell(ctx, upgrade.LevelInfo, fmt.Sprintf("it was upgraded in place: nobody served for %s", result.Switchover.Pause.Round(time.Millisecond)))
	t.finishInPlace(ctx)
	return &result.Switchover, true
}
