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

// synchronizeAndSwitch follows the source until a switchover has succeeded. One that did not switch
// leads back to synchronizing, with the reason in the log.
func (t *task) synchronizeAndSwitch(ctx workflow.Context) (*upgrade.Switchover, error) {
	automatic := t.plan.Options.Switch == upgrade.SwitchAuto
	for attempt := 1; ; attempt++ {
		forget(t.switchSignal) // before the phase is recorded: one that comes later counts
		t.enter(ctx, upgrade.PhaseSynchronizing)
		request, err := t.synchronize(ctx, automatic)
		if err != nil {
			return nil, err
		}
		if request == nil && !automatic {
			continue // nothing is switched that nobody asked for
		}
		switched, err := t.switchOver(ctx, t.switchoverArgs(attempt, request))
		if err != nil {
			return nil, err
		}
		if switched.Switched {
			return &switched, nil
		}
		if t.cancelled {
			return nil, workflow.ErrCanceled
		}
		if automatic && attempt >= maxAutomaticSwitchovers {
			automatic = false
			t.tell(ctx, upgrade.LevelWarning,
				fmt.Sprintf("%d switchovers did not succeed; waiting for `pgleap switchover %s switch`", attempt, t.plan.Instance))
		}
		if automatic {
			if err := workflow.Sleep(ctx, automaticRetryDelay); err != nil {
				return nil, err
			}
		}
	}
}

// switchoverArgs is the plan of one attempt.
func (t *task) switchoverArgs(attempt int, request *step.SwitchRequest) step.SwitchOverArgs {
	plan := t.plan
	if request != nil && request.Timeout > 0 {
		plan.Options.SwitchoverTimeout = request.Timeout
	}
	return step.SwitchOverArgs{Plan: plan, Attempt: attempt}
}

// synchronize follows the lag until the user asks for the switchover, which it returns, or, when it
// is automatic, until it can be expected to succeed.
func (t *task) synchronize(ctx workflow.Context, automatic bool) (request *step.SwitchRequest, err error) {
	following, stop := workflow.WithCancel(ctx)
	defer stop()
	future := workflow.ExecuteActivity(t.hostOptions(following, step.Synchronize), step.Synchronize,
		step.SynchronizeArgs{Plan: t.plan, UntilReady: automatic})
	selector := workflow.NewSelector(ctx)
	selector.AddFuture(future, func(f workflow.Future) { err = f.Get(ctx, nil) })
	selector.AddReceive(t.switchSignal, func(c workflow.ReceiveChannel, _ bool) {
		request = &step.SwitchRequest{}
		c.Receive(ctx, request)
	})
	selector.Select(ctx)
	if request == nil {
		return nil, err
	}
	stop()
	_ = future.Get(ctx, nil) // it ends because it was stopped
	return request, ctx.Err()
}

// switchOver is one attempt. Its activity is not given up on: it must end in one of two ways.
func (t *task) switchOver(ctx workflow.Context, args step.SwitchOverArgs) (upgrade.Switchover, error) {
	forget(t.interruptSignal)
	t.enter(ctx, upgrade.PhaseSwitchover)
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
		if result, err = t.settle(ctx, args); err != nil {
			return result, err
		}
	}
	t.recordSwitchover(ctx, result)
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
