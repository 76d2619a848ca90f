package flow

import (
	"fmt"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/internal/upgrade/step"
)

// InPlace upgrades the data directory of an instance where it is, in one outage, which may have to wait
// for a window. Whatever fails before the target has begun to write ends with the source serving as before.
func InPlace(ctx workflow.Context, args step.InPlaceUpgradeArgs) (upgrade.Outcome, error) {
	t := newTask(ctx, args.Plan)
	if t.isOver(ctx) {
		return neverBegun()
	}
	t.knowStandbys(ctx)
	work := t.untilCancelled(ctx)
	if err := t.prepareInPlace(work); err != nil {
		return t.giveUpInPlace(ctx, err)
	}
	upgraded, err := t.outageInTime(work, args.Window)
	if err != nil {
		return t.giveUpInPlace(ctx, err)
	}
	return t.completeInPlace(ctx, upgraded)
}

// prepareInPlace is all that can be done, and can fail, while the source serves.
func (t *task) prepareInPlace(ctx workflow.Context) error {
	began := workflow.Now(ctx)
	defer func() { t.preparing = workflow.Now(ctx).Sub(began) }()
	if err := t.precheck(ctx); err != nil {
		return err
	}
	return t.phase(ctx, upgrade.PhasePrepareTarget, step.PrepareInPlace)
}

// outageInTime is the outage, which waits for the window if it is to. It does not begin when the window has closed
// while it was made ready, or while its agent was away: it waits for the next one then.
func (t *task) outageInTime(ctx workflow.Context, window *upgrade.Window) (upgrade.Switchover, error) {
	if !t.plan.Options.SwitchInWindow {
		upgraded, _, err := t.outage(ctx, time.Time{})
		return upgraded, err
	}
	if window == nil {
		return upgrade.Switchover{}, t.noWindow()
	}
	// Upgrades that were started by an older program looked at the window once.
	again := workflow.GetVersion(ctx, "outage within the window", workflow.DefaultVersion, 1) >= 1
	for {
		asked, err := t.awaitWindow(ctx, window, again)
		if err != nil {
			return upgrade.Switchover{}, err
		}
		var end time.Time
		if again && !asked {
			end = window.Closes(workflow.Now(ctx))
		}
		upgraded, late, err := t.outage(ctx, end)
		if err != nil || !late {
			return upgraded, err
		}
		if err := workflow.Sleep(ctx, end.Sub(workflow.Now(ctx))); err != nil { // the agent's clock is ahead
			return upgrade.Switchover{}, err
		}
	}
}

// soon is how long what is prepared may wait for the window: nothing of the schema is looked at again.
const soon = 15 * time.Minute

// awaitWindow waits until the window is open, or until the user says that he does not want to wait, which is returned.
// What was prepared may not fit any more then, and is made anew, so early that it should be done when the window opens. If
// the window has closed meanwhile, it waits again.
func (t *task) awaitWindow(ctx workflow.Context, window *upgrade.Window, again bool) (asked bool, err error) {
	for untilOpen(ctx, window) > 0 {
		var early time.Duration
		if again {
			early = t.preparing
		}
		if asked, err = t.untilOpenOrAsked(ctx, window, early); err != nil {
			return false, err
		}
		if err := t.do(ctx, step.DiscardInPlace, t.plan); err != nil {
			return false, err
		}
		if err := t.prepareInPlace(ctx); err != nil || asked || !again {
			return asked, err
		}
		switch wait := untilOpen(ctx, window); {
		case wait > early:
			t.tell(ctx, upgrade.LevelWarning, fmt.Sprintf(
				"it took %s to make the outage ready, and the maintenance window closed meanwhile: the next one is waited for", t.preparing.Round(time.Second)))
		case wait > max(2*t.preparing, soon) && workflow.GetVersion(ctx, "prepared close to the window", workflow.DefaultVersion, 1) >= 1:
			// It was quicker than before, and much may change until the window opens: once more, then.
		case wait > 0: // it opens soon
			return t.untilOpenOrAsked(ctx, window, 0)
		}
	}
	return false, nil
}

// untilOpenOrAsked does the waiting, up to some time before the window opens.
func (t *task) untilOpenOrAsked(ctx workflow.Context, window *upgrade.Window, early time.Duration) (asked bool, err error) {
	forget(t.switchSignal) // before the phase is recorded: one that comes later counts
	t.enter(ctx, upgrade.PhaseWaiting)
	t.tell(ctx, upgrade.LevelInfo, fmt.Sprintf("the outage waits for the maintenance window %s, or for `pgleap switchover %s switch`", window, t.plan.Instance))
	waiting, stop := workflow.WithCancel(ctx)
	defer stop()
	for !asked && untilOpen(ctx, window) > early {
		workflow.NewSelector(ctx).
			AddReceive(t.switchSignal, func(c workflow.ReceiveChannel, _ bool) {
				c.Receive(ctx, nil)
				asked = true
			}).
			AddFuture(workflow.NewTimer(waiting, untilOpen(ctx, window)-early), func(workflow.Future) {}).
			Select(ctx)
		if ctx.Err() != nil {
			return false, ctx.Err()
		}
	}
	return asked, nil
}

// outage stops the source and starts the target. Not upgrading is an error here, which tells why, unless it is too late
// to begin: an end that is set is that of the window.
func (t *task) outage(ctx workflow.Context, end time.Time) (upgraded upgrade.Switchover, late bool, err error) {
	t.enter(ctx, upgrade.PhaseUpgrade)
	result, err := t.upgradeInPlace(ctx, step.InPlaceArgs{Plan: t.plan, NotAfter: end})
	if err != nil {
		// It was cancelled, or its agent was not heard of: nothing goes on before it is clear who serves.
		ctx, _ = workflow.NewDisconnectedContext(ctx)
		if result, err = t.upgradeInPlace(ctx, step.InPlaceArgs{Plan: t.plan, SettleOnly: true}); err != nil {
			return result.Switchover, false, err
		}
	}
	t.record(ctx, result.Events...)
	if result.Late {
		t.tell(ctx, upgrade.LevelWarning, result.Switchover.Reason)
		return result.Switchover, true, nil
	}
	t.recordOutage(ctx, result.Switchover)
	if !result.Switchover.Switched {
		return result.Switchover, false, temporal.NewNonRetryableApplicationError(result.Switchover.Reason, "Refused", nil)
	}
	return result.Switchover, false, nil
}

func (t *task) upgradeInPlace(ctx workflow.Context, args step.InPlaceArgs) (result step.InPlaceResult, err error) {
	err = t.untilDone(ctx, step.UpgradeInPlace, args, &result)
	return result, err
}

// untilDone carries out a step that is not given up on, but for what only the user can mend: its retries
// end what an earlier attempt left in the middle.
func (t *task) untilDone(ctx workflow.Context, name string, args, result any) error {
	return workflow.ExecuteActivity(t.unlimited(ctx, name), name, args).Get(ctx, result)
}

func (t *task) recordOutage(ctx workflow.Context, result upgrade.Switchover) {
	event := upgrade.Event{At: workflow.Now(ctx).UTC(), Level: upgrade.LevelInfo, Phase: t.current}
	event.Text = fmt.Sprintf("upgraded in place: nobody served for %s", result.Pause.Round(time.Millisecond))
	if !result.Switched {
		event.Level, event.Text = upgrade.LevelWarning, "not upgraded: "+result.Reason
	}
	events := []upgrade.Event{event}
	for _, told := range result.Told {
		events = append(events, upgrade.Event{At: event.At, Level: upgrade.LevelWarning, Phase: t.current, Text: told})
	}
	t.write(ctx, step.RecordArgs{Switchover: &result, Events: events})
}

// completeInPlace is what follows when the target serves. Nothing here can change the outcome, and what
// cannot be done is told.
func (t *task) completeInPlace(ctx workflow.Context, upgraded upgrade.Switchover) (upgrade.Outcome, error) {
	t.enter(ctx, upgrade.PhaseFinishing)
	t.finishInPlace(ctx)
	return t.end(ctx, upgrade.Outcome{Status: upgrade.StatusSucceeded, Switchover: &upgraded})
}

func (t *task) finishInPlace(ctx workflow.Context) {
	t.orTell(ctx, t.post(ctx, step.MoveInstance, step.MoveInstanceArgs{
		Instance: t.plan.Instance, Cluster: t.plan.Target, Endpoint: t.plan.Endpoint,
		Number: t.plan.Number, Former: &t.plan.Source,
	}))
	t.moved = true
	var finished step.FinishResult
	if err := t.untilDone(ctx, step.FinishInPlace, t.plan, &finished); err != nil {
		t.orTell(ctx, err)
	} else {
		t.record(ctx, finished.Events...)
		t.orTell(ctx, t.post(ctx, step.MoveInstance, step.MoveInstanceArgs{
			Instance: t.plan.Instance, Cluster: finished.Cluster, Endpoint: finished.Endpoint,
		}))
	}
	for _, name := range []string{step.AnalyzeInPlace, step.UpdateInPlace} {
		t.orTell(ctx, t.do(ctx, name, t.plan))
	}
	t.completeStandbys(ctx)
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
