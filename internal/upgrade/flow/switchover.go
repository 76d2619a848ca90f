package flow

import (
	"fmt"
	"time"

	"go.temporal.io/sdk/workflow"

	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/internal/upgrade/step"
)

// maxAutomaticSwitchovers is how often `--switch auto` tries before it waits for the user.
const maxAutomaticSwitchovers = 5

// automaticRetryDelay is the time between two of them.
const automaticRetryDelay = 15 * time.Second

// wish is why synchronizing ended.
type wish int

const (
	wishNothing   wish = iota // the target has caught up, or the step just ended
	wishSwitch                // the user asks for the switchover
	wishRehearsal             // the user asks for a rehearsal
	wishCompared              // the verification of a rehearsal has ended
)

// synchronizeAndSwitch follows the source until a switchover has succeeded. One that did not switch
// leads back to synchronizing, with the reason in the log. Rehearsals come in between: when the user
// asks for one, and before an automatic switchover.
func (t *task) synchronizeAndSwitch(ctx workflow.Context) (*upgrade.Switchover, error) {
	// Upgrades that were started by an older program are not rehearsed.
	t.rehearses = workflow.GetVersion(ctx, "rehearsal", workflow.DefaultVersion, 1) >= 1
	switched, err := t.untilSwitched(ctx)
	t.endComparing(ctx)
	return switched, err
}

func (t *task) untilSwitched(ctx workflow.Context) (*upgrade.Switchover, error) {
	automatic := t.plan.Options.Switch == upgrade.SwitchAuto
	failures := 0 // in a row, of what pgleap began by itself
	for {
		forget(t.switchSignal) // before the phase is recorded: one that comes later counts
		forget(t.rehearseSignal)
		t.enter(ctx, upgrade.PhaseSynchronizing)
		wanted, request, err := t.synchronize(ctx, automatic && t.comparing == nil)
		if err != nil {
			return nil, err
		}
		byItself := wanted == wishNothing
		switch {
		case wanted == wishCompared:
			t.verified(ctx)
			if automatic && !t.rehearsal.Passed() {
				automatic = false
				t.waitForUser(ctx, "the rehearsal did not prove that nothing is lost")
			}
			continue
		case byItself && (!automatic || t.comparing != nil):
			continue // nothing is switched that nobody asked for, or before it is known what was found
		case byItself:
			wanted = t.nextByItself()
		}
		t.endComparing(ctx)
		t.attempts++
		args := t.switchoverArgs(request)
		succeeded := false
		var result upgrade.Switchover
		if wanted == wishRehearsal {
			result, err = t.rehearse(ctx, args)
			succeeded = result.Rehearsed
		} else {
			result, err = t.switchOver(ctx, args)
		}
		if err != nil {
			return nil, err
		}
		if result.Switched {
			return &result, nil
		}
		if t.cancelled {
			return nil, workflow.ErrCanceled
		}
		if succeeded || !automatic {
			failures = 0
			continue
		}
		if failures++; failures >= maxAutomaticSwitchovers {
			automatic = false
			t.waitForUser(ctx, fmt.Sprintf("%d switchovers did not succeed", failures))
		} else if err := workflow.Sleep(ctx, automaticRetryDelay); err != nil {
			return nil, err
		}
	}
}

// nextByItself is what comes next when the target has caught up and nobody needs to be asked.
func (t *task) nextByItself() wish {
	if t.rehearses && !t.plan.Options.SkipRehearsal && (t.rehearsal == nil || !t.rehearsal.Passed()) {
		return wishRehearsal
	}
	return wishSwitch
}

func (t *task) waitForUser(ctx workflow.Context, why string) {
	t.tell(ctx, upgrade.LevelWarning, fmt.Sprintf("%s; waiting for `pgleap switchover %s switch`", why, t.plan.Instance))
}

// switchoverArgs is the plan of the next attempt.
func (t *task) switchoverArgs(request step.SwitchRequest) step.SwitchOverArgs {
	plan := t.plan
	if request.Timeout > 0 {
		plan.Options.SwitchoverTimeout = request.Timeout
	}
	return step.SwitchOverArgs{Plan: plan, Attempt: t.attempts}
}

// synchronize follows the lag until the user wants something, which it returns, until a verification
// has ended, or, if it is to end by itself, until a switchover can be expected to succeed.
func (t *task) synchronize(ctx workflow.Context, untilReady bool) (wanted wish, request step.SwitchRequest, err error) {
	following, stop := workflow.WithCancel(ctx)
	defer stop()
	future := workflow.ExecuteActivity(t.hostOptions(following, step.Synchronize), step.Synchronize,
		step.SynchronizeArgs{Plan: t.plan, UntilReady: untilReady})
	ended := false
	selector := workflow.NewSelector(ctx)
	selector.AddFuture(future, func(f workflow.Future) {
		err = f.Get(ctx, nil)
		ended = true
	})
	for asked, channel := range []workflow.ReceiveChannel{wishSwitch: t.switchSignal, wishRehearsal: t.rehearseSignal} {
		if channel != nil {
			selector.AddReceive(channel, func(c workflow.ReceiveChannel, _ bool) {
				c.Receive(ctx, &request)
				wanted = wish(asked)
			})
		}
	}
	if t.comparing != nil {
		selector.AddFuture(t.comparing.done, func(workflow.Future) { wanted = wishCompared })
	}
	selector.Select(ctx)
	if ended {
		return wishNothing, request, err
	}
	stop()
	_ = future.Get(ctx, nil) // it ends because it was stopped
	return wanted, request, ctx.Err()
}

// switchOver is one attempt to switch. It is refused if the last rehearsal found that the target is
// not the same as the source.
func (t *task) switchOver(ctx workflow.Context, args step.SwitchOverArgs) (upgrade.Switchover, error) {
	if t.rehearsal != nil && t.rehearsal.Difference() != nil {
		t.enter(ctx, upgrade.PhaseSwitchover) // whoever waits for an attempt to end sees one
		result := upgrade.Switchover{Reason: "a rehearsal found that source and target differ, and none has found them identical since; rehearse again, or cancel the upgrade"}
		t.recordSwitchover(ctx, result)
		return result, nil
	}
	args.Keep = t.rehearses
	result, err := t.attempt(ctx, upgrade.PhaseSwitchover, args)
	if err == nil {
		t.recordSwitchover(ctx, result)
	}
	return result, err
}

// attempt is one run of the critical section, real or rehearsed. Its activity is not given up on: it
// must end in one of two ways.
func (t *task) attempt(ctx workflow.Context, phase upgrade.Phase, args step.SwitchOverArgs) (upgrade.Switchover, error) {
	forget(t.interruptSignal)
	t.enter(ctx, phase)
	switching, interrupt := workflow.WithCancel(ctx)
	defer interrupt()
	done := false
	workflow.Go(ctx, func(ctx workflow.Context) {
		selector := workflow.NewSelector(ctx)
		selector.AddReceive(t.interruptSignal, func(c workflow.ReceiveChannel, _ bool) { c.Receive(ctx, nil) })
		selector.AddReceive(switching.Done(), func(workflow.ReceiveChannel, bool) {})
		selector.Select(ctx)
		if !done {
			interrupt()
		}
	})
	var result upgrade.Switchover
	err := workflow.ExecuteActivity(t.hostOptions(switching, step.SwitchOver), step.SwitchOver, args).Get(ctx, &result)
	done = true
	if err != nil {
		return t.settle(ctx, args)
	}
	return result, nil
}

// settle ends an attempt whose activity did not say how it ended: it was cancelled, or its agent
// was not heard of. Nothing goes on before it is clear where clients are, whatever the user wants
// meanwhile: a journal that is left in the middle would be ended by somebody later.
func (t *task) settle(ctx workflow.Context, args step.SwitchOverArgs) (result upgrade.Switchover, err error) {
	ctx, _ = workflow.NewDisconnectedContext(ctx)
	args.SettleOnly = true
	err = t.onHost(ctx, step.SwitchOver, args, &result)
	return result, err
}

// forget empties a channel of signals.
func forget(channel workflow.ReceiveChannel) {
	for channel.ReceiveAsync(nil) {
	}
}
