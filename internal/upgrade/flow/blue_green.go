package flow

import (
	"fmt"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/internal/upgrade/step"
)

// BlueGreen makes a new instance of a physical clone of the source: beside it, or in its place. Whatever
// fails before the switch's commit point ends with the source as it was.
func BlueGreen(ctx workflow.Context, args step.BlueGreenArgs) (upgrade.Outcome, error) {
	t := newTask(ctx, args.Plan)
	if t.isOver(ctx) {
		return neverBegun()
	}
	t.knowStandbys(ctx)
	work := t.untilCancelled(ctx)
	if args.Options.CloneOnly {
		made, err := t.makeClone(work)
		if err != nil {
			return t.giveUp(ctx, err)
		}
		return t.completeClone(ctx, made)
	}
	switched, err := t.towardsClone(work, args.Window)
	if switched == nil {
		return t.giveUp(ctx, err)
	}
	return t.completeSwitch(ctx, *switched)
}

// makeClone upgrades a clone that runs beside the source. The result tells when.
func (t *task) makeClone(ctx workflow.Context) (upgrade.Switchover, error) {
	made := upgrade.Switchover{Reason: "only a clone was wanted", TargetPort: t.plan.Target.Port}
	if err := t.precheck(ctx); err != nil {
		return made, err
	}
	if err := t.phase(ctx, upgrade.PhasePrepare, step.PrepareCloning); err != nil {
		return made, err
	}
	if err := t.phase(ctx, upgrade.PhaseBaseBackup, step.BaseBackup, step.StreamClone); err != nil {
		return made, err
	}
	made.StartedAt = workflow.Now(ctx).UTC()
	err := t.phase(ctx, upgrade.PhaseUpgrade, step.DetachClone, step.InitTarget, step.PgUpgrade, step.StartUpgraded)
	made.EndedAt = workflow.Now(ctx).UTC()
	return made, err
}

// completeClone is what follows when the clone runs: what cannot be done is told.
func (t *task) completeClone(ctx workflow.Context, made upgrade.Switchover) (upgrade.Outcome, error) {
	t.enter(ctx, upgrade.PhaseFinishing)
	t.write(ctx, step.RecordArgs{Switchover: &made})
	t.orTell(ctx, t.do(ctx, step.UpdateExtensions, t.plan))
	t.orTell(ctx, t.do(ctx, step.CollectStatistics, t.plan))
	var finished step.FinishResult
	err := t.untilDone(ctx, step.FinishClone, t.plan, &finished)
	t.orTell(ctx, err)
	t.record(ctx, finished.Events...)
	// Clones of upgrades that were started by an older program are not registered.
	if err == nil && workflow.GetVersion(ctx, "register clone", workflow.DefaultVersion, 1) >= 1 {
		t.registerClone(ctx, finished.Cluster)
	}
	return t.end(ctx, upgrade.Outcome{Status: upgrade.StatusSucceeded, Switchover: &made})
}

// registerClone records the clone as an instance of its own.
func (t *task) registerClone(ctx workflow.Context, cluster upgrade.Cluster) {
	var registered step.Done
	args := step.RegisterCloneArgs{Number: t.plan.Number, Instance: t.plan.Instance, Cluster: cluster}
	t.orTell(ctx, workflow.ExecuteActivity(serverOptions(ctx), step.RegisterClone, args).Get(ctx, &registered))
	t.record(ctx, registered.Events...)
	t.moved = true
	t.recordFindings(ctx)
}

// towardsClone is the upgrade up to and including the switch. Without a switch there is an error.
func (t *task) towardsClone(ctx workflow.Context, window *upgrade.Window) (*upgrade.Switchover, error) {
	if t.plan.Options.SwitchInWindow && window == nil {
		return nil, t.noWindow()
	}
	if err := t.precheck(ctx); err != nil {
		return nil, err
	}
	if err := t.phase(ctx, upgrade.PhasePrepare, step.PrepareCloning); err != nil {
		return nil, err
	}
	if !t.plan.Options.SwitchInWindow {
		window = nil
	}
	return t.followAndSwitch(ctx, window)
}

// followAndSwitch lets a clone follow the source until a switch to it has succeeded. One that did not
// switch leads back to following, with another clone if it was spent.
func (t *task) followAndSwitch(ctx workflow.Context, window *upgrade.Window) (*upgrade.Switchover, error) {
	automatic := t.plan.Options.Switch == upgrade.SwitchAuto || window != nil
	cloned, failures := false, 0
	l := &leg{plan: t.plan}
	for {
		if !cloned {
			if err := t.phase(ctx, upgrade.PhaseBaseBackup, step.BaseBackup); err != nil {
				return nil, err
			}
			cloned = true
		}
		args, err := t.awaitSwitch(ctx, l, automatic, window)
		if err != nil {
			return nil, err
		}
		if args == nil {
			continue
		}
		result, err := t.switchToClone(ctx, *args)
		if err != nil {
			return nil, err
		}
		t.recordSwitchToClone(ctx, result)
		cloned = !result.Spent
		switch {
		case result.Switchover.Switched:
			return &result.Switchover, nil
		case t.cancelled:
			return nil, workflow.ErrCanceled
		case result.Late: // no failure, and the next window is waited for
			if err := workflow.Sleep(ctx, args.NotAfter.Sub(workflow.Now(ctx))); err != nil { // the agent's clock is ahead
				return nil, err
			}
			continue
		case !automatic:
			continue
		}
		if failures++; result.Spent || failures >= maxAutomaticSwitchovers {
			automatic = false
			t.waitForUser(ctx, fmt.Sprintf("%d switchovers did not succeed", failures))
		} else if err := workflow.Sleep(ctx, automaticRetryDelay); err != nil {
			return nil, err
		}
	}
}

// awaitSwitch follows the source until the user wants the switch or, if nobody needs to be asked, the
// window is open and the clone has caught up. A switch that nobody asked for is to begin before the window closes.
// It may return without one: then it is to be called again.
func (t *task) awaitSwitch(ctx workflow.Context, l *leg, automatic bool, window *upgrade.Window) (*step.SwitchOverArgs, error) {
	forget(t.switchSignal) // before the phase is recorded: one that comes later counts
	t.enter(ctx, upgrade.PhaseSynchronizing)
	closed := untilOpen(ctx, window)
	waits := automatic && closed > 0
	if waits {
		t.tell(ctx, upgrade.LevelInfo, fmt.Sprintf("the switchover waits for the maintenance window %s, or for `pgleap switchover %s switch`", window, t.plan.Instance))
	} else {
		closed = 0
	}
	why := wishTold
	var request step.SwitchRequest
	for why == wishTold {
		var err error
		if why, request, err = t.followSource(ctx, l, automatic && !waits, closed); err != nil {
			return nil, err
		}
		if closed = untilOpen(ctx, window); !waits {
			closed = 0
		} else if closed == 0 {
			break
		}
	}
	asked, byItself := why == wishSwitch, why == wishNothing && automatic && !waits && untilOpen(ctx, window) == 0
	if !asked && !byItself {
		return nil, nil //nolint:nilnil // nothing is to be done
	}
	t.attempts++
	args := t.switchoverArgs(t.plan, request)
	if byItself && window != nil {
		args.NotAfter = window.Closes(workflow.Now(ctx))
	}
	return &args, nil
}

// recordSwitchToClone records how an attempt ended. One that came too late was none.
func (t *task) recordSwitchToClone(ctx workflow.Context, result step.CloneSwitch) {
	t.record(ctx, result.Events...)
	if result.Late {
		t.tell(ctx, upgrade.LevelWarning, result.Switchover.Reason)
	} else {
		t.recordSwitchover(ctx, result.Switchover)
	}
}

// noWindow is why nothing waits for a window that does not exist.
func (t *task) noWindow() error {
	return temporal.NewNonRetryableApplicationError(fmt.Sprintf(
		"instance %s has no maintenance window to switch in; set one, or choose another time to switch", t.plan.Instance), "Refused", nil)
}

// untilOpen is how long the window stays closed. Without one it is always open.
func untilOpen(ctx workflow.Context, window *upgrade.Window) time.Duration {
	if window == nil {
		return 0
	}
	return window.Until(workflow.Now(ctx))
}

// followSource lets the clone follow the source until the user asks for the switch, until something was told, until
// the limit, if there is one, or, if asked to, until the clone has caught up.
func (t *task) followSource(ctx workflow.Context, l *leg, untilReady bool, limit time.Duration) (why wish, request step.SwitchRequest, err error) {
	following, stop := workflow.WithCancel(ctx)
	defer stop()
	future := workflow.ExecuteActivity(t.unlimited(following, step.FollowSource), step.FollowSource,
		step.SynchronizeArgs{Plan: t.plan, UntilReady: untilReady, Told: l.told, TellNews: true})
	ended := false
	selector := workflow.NewSelector(ctx)
	selector.AddFuture(future, func(f workflow.Future) {
		var done step.Synchronized
		if err = f.Get(ctx, &done); t.takeNews(ctx, l, done) {
			why = wishTold
		}
		ended = true
	})
	selector.AddReceive(t.switchSignal, func(c workflow.ReceiveChannel, _ bool) {
		c.Receive(ctx, &request)
		why = wishSwitch
	})
	if limit > 0 {
		selector.AddFuture(workflow.NewTimer(following, limit), func(workflow.Future) {})
	}
	selector.Select(ctx)
	if ended {
		return why, request, err
	}
	stop()
	_ = future.Get(ctx, nil) // it ends because it was stopped
	return why, request, ctx.Err()
}

// switchToClone is one attempt to switch. Its activity is not given up on: it must end in one of two
// ways, whatever the user wants meanwhile.
func (t *task) switchToClone(ctx workflow.Context, args step.SwitchOverArgs) (result step.CloneSwitch, err error) {
	forget(t.interruptSignal)
	t.enter(ctx, upgrade.PhaseSwitchover)
	switching, interrupt := workflow.WithCancel(ctx)
	defer interrupt()
	done := workflow.ExecuteActivity(t.unlimited(switching, step.SwitchToClone), step.SwitchToClone, args)
	selector := workflow.NewSelector(ctx)
	selector.AddReceive(t.interruptSignal, func(c workflow.ReceiveChannel, _ bool) {
		c.Receive(ctx, nil)
		interrupt()
	})
	selector.AddFuture(done, func(workflow.Future) {})
	selector.Select(ctx)
	disconnected, _ := workflow.NewDisconnectedContext(ctx)
	if err := done.Get(disconnected, &result); err == nil {
		return result, nil
	}
	args.SettleOnly = true
	err = t.untilDone(disconnected, step.SwitchToClone, args, &result)
	return result, err
}

// completeSwitch is what follows a switch. Clients are on the target: nothing here can change the
// outcome, and what cannot be done is told.
func (t *task) completeSwitch(ctx workflow.Context, switched upgrade.Switchover) (upgrade.Outcome, error) {
	t.enter(ctx, upgrade.PhaseFinishing)
	t.moveInstance(ctx)
	t.orTell(ctx, t.do(ctx, step.FenceForGood, t.plan))
	t.orTell(ctx, t.do(ctx, step.UpdateExtensions, t.plan))
	if t.plan.Options.Statistics == upgrade.StatisticsAfter {
		t.orTell(ctx, t.do(ctx, step.CollectStatistics, t.plan))
	}
	_, err := t.finishOnHost(ctx)
	t.orTell(ctx, err)
	t.completeStandbys(ctx)
	return t.end(ctx, upgrade.Outcome{Status: upgrade.StatusSucceeded, Switchover: &switched})
}

// unlimited are the options of a step that is tried again for as long as it takes.
func (t *task) unlimited(ctx workflow.Context, name string) workflow.Context {
	ctx = t.hostOptions(ctx, name)
	options := workflow.GetActivityOptions(ctx)
	options.RetryPolicy.MaximumAttempts = 0
	return workflow.WithActivityOptions(ctx, options)
}
