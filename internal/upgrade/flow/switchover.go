package flow

import (
	"fmt"
	"slices"
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
	wishNothing   wish = iota // the other side has caught up, or the step just ended
	wishSwitch                // the user asks for the switchover of this leg
	wishRehearsal             // the user asks for a rehearsal
	wishFinish                // the user gives up the way back
	wishCompared              // a verification has ended
	wishTold                  // the user was told something
)

// leg is a stretch of an upgrade: clients are on one side, and the other side follows, until they go
// there.
type leg struct {
	plan      upgrade.Plan  // its source is where clients are
	phase     upgrade.Phase // while the other side follows
	switching upgrade.Phase
	asked     map[wish]workflow.ReceiveChannel
	automatic bool
	refreshed bool           // its materialized views
	failures  int            // in a row, of what pgleap began by itself
	told      map[string]int // see step.Synchronized
}

// takeNews records what following ended for to tell it: of WAL that is kept, or that the lag cannot be measured, or
// can again. Older agents do not say what they have told.
func (t *task) takeNews(ctx workflow.Context, l *leg, done step.Synchronized) (news bool) {
	news = done.Told != nil || slices.ContainsFunc(done.Events, func(e upgrade.Event) bool { return e.Level == upgrade.LevelWarning })
	if !news {
		return false
	}
	t.record(ctx, done.Events...)
	if done.Told != nil {
		l.told = done.Told
	}
	return true
}

// synchronizeAndSwitch follows the source until a switchover has succeeded. One that did not switch
// leads back to synchronizing, with the reason in the log. Rehearsals come in between: when the user
// asks for one, and before an automatic switchover.
func (t *task) synchronizeAndSwitch(ctx workflow.Context) (*upgrade.Switchover, error) {
	// Upgrades that were started by an older program are not rehearsed.
	t.rehearses = workflow.GetVersion(ctx, "rehearsal", workflow.DefaultVersion, 1) >= 1
	switched, _, err := t.untilSwitched(ctx, &leg{
		plan: t.plan, phase: upgrade.PhaseSynchronizing, switching: upgrade.PhaseSwitchover,
		asked:     map[wish]workflow.ReceiveChannel{wishSwitch: t.switchSignal, wishRehearsal: t.rehearseSignal},
		automatic: t.plan.Options.Switch == upgrade.SwitchAuto && !t.returned,
	})
	t.endComparing(ctx)
	return switched, err
}

// untilSwitched goes along a leg until clients have gone over to the other side, or the user wants the
// upgrade to finish.
func (t *task) untilSwitched(ctx workflow.Context, l *leg) (_ *upgrade.Switchover, finish bool, _ error) {
	for {
		if t.current != l.phase {
			t.forgetWishes() // before the phase is recorded: one that comes later counts
		}
		t.enter(ctx, l.phase)
		wanted, request, err := t.synchronize(ctx, l, l.automatic && t.comparing == nil)
		if err != nil {
			return nil, false, err
		}
		byItself := wanted == wishNothing
		switch {
		case wanted == wishFinish:
			return nil, true, nil
		case wanted == wishTold:
			continue
		case wanted == wishCompared:
			t.compared(ctx, l)
			continue
		case byItself && (!l.automatic || t.comparing != nil):
			continue // nothing is switched that nobody asked for, or before it is known what was found
		case byItself:
			wanted = t.nextByItself()
		}
		t.endComparing(ctx)
		result, err := t.carryOut(ctx, l, wanted, request)
		if err != nil {
			return nil, false, err
		}
		if result.Switched {
			return &result, false, nil
		}
		if t.cancelled && ctx.Err() != nil {
			return nil, false, workflow.ErrCanceled
		}
		if err := t.pauseAfter(ctx, l, result); err != nil {
			return nil, false, err
		}
	}
}

// carryOut is one attempt, real or rehearsed.
func (t *task) carryOut(ctx workflow.Context, l *leg, wanted wish, request step.SwitchRequest) (upgrade.Switchover, error) {
	t.attempts++
	if l.plan.Reversed {
		t.untilCancelled(ctx) // a cancel counts that is said when clients may be at the source again
	}
	args := t.switchoverArgs(l.plan, request)
	if wanted == wishRehearsal {
		return t.rehearse(ctx, args)
	}
	if t.refresh(ctx, l, wanted == wishSwitch) {
		result := upgrade.Switchover{Back: l.plan.Reversed, Reason: "interrupted while materialized views were refreshed"}
		t.recordSwitchover(ctx, result)
		return result, nil
	}
	return t.switchOver(ctx, l, args)
}

// refresh fills the materialized views of the side that clients go to, as far as the other side has filled
// them: no replication does. On an automatic leg it is done once. It may take hours, and belongs to the
// switchover: the user may interrupt both. In upgrades that were started by an older program it comes before.
func (t *task) refresh(ctx workflow.Context, l *leg, asked bool) (interrupted bool) {
	if !t.refreshes || l.refreshed && l.automatic && !asked {
		return false
	}
	refreshing, interrupt := workflow.WithCancel(ctx)
	defer interrupt()
	selector := workflow.NewSelector(ctx)
	if workflow.GetVersion(ctx, "interruptible refresh", workflow.DefaultVersion, 1) >= 1 {
		t.begin(ctx, l.switching)
		selector.AddReceive(t.interruptSignal, func(c workflow.ReceiveChannel, _ bool) {
			c.Receive(ctx, nil)
			interrupted = true
			interrupt()
		})
	}
	future := workflow.ExecuteActivity(t.hostOptions(refreshing, step.RefreshMaterializedViews), step.RefreshMaterializedViews, l.plan)
	selector.AddFuture(future, func(workflow.Future) {})
	selector.Select(ctx)
	var done step.Done
	err := future.Get(ctx, &done)
	if err == nil {
		t.tellOf(ctx, done)
	} else if refreshing.Err() == nil {
		t.orTell(ctx, err)
	}
	l.refreshed = !interrupted
	return interrupted
}

// pauseAfter tells what follows when clients have not gone over: on an automatic leg another attempt,
// some time later, or none.
func (t *task) pauseAfter(ctx workflow.Context, l *leg, result upgrade.Switchover) error {
	if result.Rehearsed || !l.automatic {
		l.failures = 0
		return nil
	}
	if l.failures++; l.failures >= maxAutomaticSwitchovers {
		l.automatic = false
		t.waitForUser(ctx, fmt.Sprintf("%d switchovers did not succeed", l.failures))
		return nil
	}
	return workflow.Sleep(ctx, automaticRetryDelay)
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
func (t *task) switchoverArgs(plan upgrade.Plan, request step.SwitchRequest) step.SwitchOverArgs {
	if request.Timeout > 0 {
		plan.Options.SwitchoverTimeout = request.Timeout
	}
	return step.SwitchOverArgs{Plan: plan, Attempt: t.attempts}
}

// synchronize follows the lag until the user wants something, which it returns, until a verification
// has ended, or, if it is to end by itself, until a switchover can be expected to succeed.
func (t *task) synchronize(ctx workflow.Context, l *leg, untilReady bool) (wanted wish, request step.SwitchRequest, err error) {
	following, stop := workflow.WithCancel(ctx)
	defer stop()
	future := workflow.ExecuteActivity(t.hostOptions(following, step.Synchronize), step.Synchronize,
		step.SynchronizeArgs{Plan: l.plan, UntilReady: untilReady, Told: l.told})
	ended := false
	selector := workflow.NewSelector(ctx)
	selector.AddFuture(future, func(f workflow.Future) {
		var done step.Synchronized
		err = f.Get(ctx, &done)
		if t.takeNews(ctx, l, done) {
			wanted = wishTold
		}
		ended = true
	})
	for _, asked := range []wish{wishSwitch, wishRehearsal, wishFinish} {
		if channel := l.asked[asked]; channel != nil {
			selector.AddReceive(channel, func(c workflow.ReceiveChannel, _ bool) {
				if asked == wishFinish {
					c.Receive(ctx, &t.finishing)
				} else {
					c.Receive(ctx, &request)
				}
				wanted = asked
			})
		}
	}
	if t.comparing != nil {
		selector.AddFuture(t.comparing.done, func(workflow.Future) { wanted = wishCompared })
	}
	selector.Select(ctx)
	if ended {
		return wanted, request, err
	}
	stop()
	_ = future.Get(ctx, nil) // it ends because it was stopped
	return wanted, request, ctx.Err()
}

// switchOver is one attempt to switch. It is refused if the last rehearsal found that the target is
// not the same as the source.
func (t *task) switchOver(ctx workflow.Context, l *leg, args step.SwitchOverArgs) (upgrade.Switchover, error) {
	if t.rehearsal != nil && t.rehearsal.Difference() != nil {
		if t.current != l.switching {
			t.enter(ctx, l.switching) // whoever waits for an attempt to end sees one
		}
		result := upgrade.Switchover{
			Back:   l.plan.Reversed,
			Reason: "a rehearsal found that source and target differ, and none has found them identical since; rehearse again, or cancel the upgrade",
		}
		t.recordSwitchover(ctx, result)
		return result, nil
	}
	args.Keep = t.rehearses
	result, err := t.attempt(ctx, l.switching, args)
	if err == nil {
		t.recordSwitchover(ctx, result)
	}
	return result, err
}

// attempt is one run of the critical section, real or rehearsed. Its activity is not given up on: it
// must end in one of two ways.
func (t *task) attempt(ctx workflow.Context, phase upgrade.Phase, args step.SwitchOverArgs) (upgrade.Switchover, error) {
	if t.current != phase { // else it has begun with a refresh
		t.begin(ctx, phase)
	}
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

// begin enters the phase of an attempt. An interrupt that came before is not meant for it.
func (t *task) begin(ctx workflow.Context, phase upgrade.Phase) {
	forget(t.interruptSignal)
	t.enter(ctx, phase)
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

// forgetWishes empties the channels of what the user may want of a leg.
func (t *task) forgetWishes() {
	for _, channel := range []workflow.ReceiveChannel{t.switchSignal, t.backSignal, t.rehearseSignal, t.finishSignal} {
		forget(channel)
	}
}

// forget empties a channel of signals, and tells whether there were any.
func forget(channel workflow.ReceiveChannel) (found bool) {
	for channel.ReceiveAsync(nil) {
		found = true
	}
	return found
}
