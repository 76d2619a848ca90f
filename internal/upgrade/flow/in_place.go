package flow

import (
	"fmt"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/internal/upgrade/step"
)

// InPlace upgrades the data directory of an instance where it is, in one outage. Whatever fails before
// the target has begun to write ends with the source serving as before.
func InPlace(ctx workflow.Context, plan upgrade.Plan) (upgrade.Outcome, error) {
	t := newTask(ctx, plan)
	t.knowStandbys(ctx)
	work := t.untilCancelled(ctx)
	if err := t.prepareInPlace(work); err != nil {
		return t.giveUpInPlace(ctx, err)
	}
	upgraded, err := t.outage(work)
	if err != nil {
		return t.giveUpInPlace(ctx, err)
	}
	return t.completeInPlace(ctx, upgraded)
}

// prepareInPlace is all that can be done, and can fail, while the source serves.
func (t *task) prepareInPlace(ctx workflow.Context) error {
	if err := t.precheck(ctx); err != nil {
		return err
	}
	return t.phase(ctx, upgrade.PhasePrepareTarget, step.PrepareInPlace)
}

// outage stops the source and starts the target. Not upgrading is an error here, which tells why.
func (t *task) outage(ctx workflow.Context) (upgrade.Switchover, error) {
	t.enter(ctx, upgrade.PhaseUpgrade)
	result, err := t.upgradeInPlace(ctx, step.InPlaceArgs{Plan: t.plan})
	if err != nil {
		// It was cancelled, or its agent was not heard of: nothing goes on before it is clear who serves.
		ctx, _ = workflow.NewDisconnectedContext(ctx)
		if result, err = t.upgradeInPlace(ctx, step.InPlaceArgs{Plan: t.plan, SettleOnly: true}); err != nil {
			return result.Switchover, err
		}
	}
	t.record(ctx, result.Events...)
	t.recordOutage(ctx, result.Switchover)
	if !result.Switchover.Switched {
		return result.Switchover, temporal.NewNonRetryableApplicationError(result.Switchover.Reason, "Refused", nil)
	}
	return result.Switchover, nil
}

func (t *task) upgradeInPlace(ctx workflow.Context, args step.InPlaceArgs) (result step.InPlaceResult, err error) {
	err = t.untilDone(ctx, step.UpgradeInPlace, args, &result)
	return result, err
}

// untilDone carries out a step that is not given up on, but for what only the user can mend: its retries
// end what an earlier attempt left in the middle.
func (t *task) untilDone(ctx workflow.Context, name string, args, result any) error {
	options := workflow.WithRetryPolicy(t.hostOptions(ctx, name), temporal.RetryPolicy{
		InitialInterval: time.Second, BackoffCoefficient: 2, MaximumInterval: 30 * time.Second,
		NonRetryableErrorTypes: []string{"Refused"},
	})
	return workflow.ExecuteActivity(options, name, args).Get(ctx, result)
}

func (t *task) recordOutage(ctx workflow.Context, result upgrade.Switchover) {
	event := upgrade.Event{At: workflow.Now(ctx).UTC(), Level: upgrade.LevelInfo, Phase: t.current}
	event.Text = fmt.Sprintf("upgraded in place: nobody served for %s", result.Pause.Round(time.Millisecond))
	if !result.Switched {
		event.Level, event.Text = upgrade.LevelWarning, "not upgraded: "+result.Reason
	}
	t.write(ctx, step.RecordArgs{Switchover: &result, Events: []upgrade.Event{event}})
}

// completeInPlace is what follows when the target serves. Nothing here can change the outcome, and what
// cannot be done is told.
func (t *task) completeInPlace(ctx workflow.Context, upgraded upgrade.Switchover) (upgrade.Outcome, error) {
	t.enter(ctx, upgrade.PhaseFinishing)
	t.orTell(ctx, t.onServer(ctx, step.MoveInstance, step.MoveInstanceArgs{
		Instance: t.plan.Instance, Cluster: t.plan.Target, Endpoint: t.plan.Endpoint,
		Number: t.plan.Number, Former: &t.plan.Source,
	}))
	var finished step.FinishResult
	if err := t.untilDone(ctx, step.FinishInPlace, t.plan, &finished); err != nil {
		t.orTell(ctx, err)
	} else {
		t.record(ctx, finished.Events...)
		t.orTell(ctx, t.onServer(ctx, step.MoveInstance, step.MoveInstanceArgs{
			Instance: t.plan.Instance, Cluster: finished.Cluster, Endpoint: finished.Endpoint,
		}))
	}
	for _, name := range []string{step.AnalyzeInPlace, step.UpdateInPlace} {
		t.orTell(ctx, t.do(ctx, name, t.plan))
	}
	t.completeStandbys(ctx)
	return t.end(ctx, upgrade.Outcome{Status: upgrade.StatusSucceeded, Switchover: &upgraded})
}

// giveUpInPlace removes the target. The source serves as it did before.
func (t *task) giveUpInPlace(ctx workflow.Context, reason error) (upgrade.Outcome, error) {
	outcome := upgrade.Outcome{Status: upgrade.StatusFailed, Reason: sentence(reason)}
	if t.cancelled {
		outcome = upgrade.Outcome{Status: upgrade.StatusCancelled, Reason: "cancelled by the user"}
	}
	t.enter(ctx, upgrade.PhaseCleanup)
	t.tell(ctx, upgrade.LevelError, outcome.Reason)
	var done step.Done
	t.orTell(ctx, t.untilDone(ctx, step.DiscardInPlace, t.plan, &done))
	t.record(ctx, done.Events...)
	return t.end(ctx, outcome)
}
