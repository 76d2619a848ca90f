package flow

import (
	"time"

	"go.temporal.io/sdk/workflow"

	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/internal/upgrade/step"
)

// follow keeps the way back open after a switchover: the source follows the target, until clients have
// gone back, which is returned, or until the user finishes the upgrade, or the way back cannot be kept
// open any longer. Nothing that fails here changes where clients are.
func (t *task) follow(ctx workflow.Context) (*upgrade.Switchover, error) {
	t.rehearsal = nil // it was one of the way here
	t.forgetWishes()
	t.enter(ctx, upgrade.PhaseFollowing)
	t.comparing = t.verifySwitchover(ctx, t.plan)
	t.moveInstance(ctx)
	t.orTell(ctx, t.do(ctx, step.FenceForGood, t.plan))
	collecting := t.collectAfter(ctx)
	back, err := t.wayBack(ctx)
	switch {
	case back == nil && err == nil && t.closeWayBack(ctx):
		t.awaitComparison(ctx) // it is done as the role that Finish removes
		collecting.wait(ctx)
	case back == nil: // there is no time to lose: slots fill the disk of the side that serves
		t.endComparing(ctx)
	}
	collecting.end(ctx)
	return back, err
}

// wayBack opens the way back and keeps it open.
func (t *task) wayBack(ctx workflow.Context) (*upgrade.Switchover, error) {
	if finish, err := t.openWayBack(ctx, t.plan); finish || err != nil {
		return nil, err
	}
	back, finish, err := t.untilSwitched(ctx, &leg{
		plan: t.plan.Back(), phase: upgrade.PhaseFollowing, switching: upgrade.PhaseSwitchback,
		asked: map[wish]workflow.ReceiveChannel{wishSwitch: t.backSignal, wishRehearsal: t.rehearseSignal, wishFinish: t.finishSignal},
	})
	if back == nil && !finish {
		t.tell(ctx, upgrade.LevelError, "the way back is closed, and the upgrade finished")
	}
	return back, err
}

// closeWayBack drops the slots of a way back that the user has given up. What comes before the end takes hours, and
// nobody looks after them meanwhile: if they cannot be dropped, there is no time for it. In upgrades that were started
// by an older program they are dropped at the end.
func (t *task) closeWayBack(ctx workflow.Context) (closed bool) {
	if workflow.GetVersion(ctx, "close the way back first", workflow.DefaultVersion, 1) < 1 {
		return true
	}
	t.enter(ctx, upgrade.PhaseFinishing)
	err := t.do(ctx, step.CloseWayBack, t.plan)
	t.orTell(ctx, err)
	return err == nil
}

// openAgain is the time after which the way back is tried to be opened again. It doubles, up to the other one.
const openAgain, openAgainAtMost = 30 * time.Second, 10 * time.Minute

// openWayBack tries until the side that clients have left follows, or until the user wants the upgrade
// to finish, or ctx ends: that side may be down for a while. What only the user could mend is an error.
func (t *task) openWayBack(ctx workflow.Context, plan upgrade.Plan) (finish bool, err error) {
	pause, told := openAgain, ""
	for {
		err := t.do(ctx, step.OpenWayBack, step.OpenWayBackArgs{Plan: plan, Attempt: t.attempts})
		if err == nil || isRefused(err) || ctx.Err() != nil {
			return false, err
		}
		// The engine ends a workflow whose history has 51,200 events. That side may be stopped for weeks.
		sparing := workflow.GetVersion(ctx, "way back less and less often", workflow.DefaultVersion, 1) >= 1
		asked := forget(t.backSignal)
		asked = forget(t.rehearseSignal) || asked
		if reason := sentence(err); !sparing || asked || reason != told {
			t.tell(ctx, upgrade.LevelWarning, "the side that clients have left does not follow yet, which is tried again; what was asked for meanwhile is not done: "+reason)
			told = reason
		}
		selector := workflow.NewSelector(ctx)
		timing, stopTimer := workflow.WithCancel(ctx)
		selector.AddFuture(workflow.NewTimer(timing, pause), func(workflow.Future) {})
		if sparing {
			pause = min(2*pause, openAgainAtMost)
			for _, wish := range []workflow.ReceiveChannel{t.backSignal, t.rehearseSignal} { // nobody is to wait for so long
				selector.AddReceive(wish, func(workflow.ReceiveChannel, bool) {}) // it is done when the way is open
			}
		}
		if !plan.Reversed {
			selector.AddReceive(t.finishSignal, func(c workflow.ReceiveChannel, _ bool) {
				c.Receive(ctx, &t.finishing)
				finish = true
			})
		}
		selector.Select(ctx)
		if sparing {
			stopTimer()
		}
		if finish {
			return true, nil
		}
	}
}

// backAtSource is what follows a switchback: the target follows the source again. The user may cancel the
// upgrade meanwhile.
func (t *task) backAtSource(ctx, work workflow.Context) {
	t.returned, t.rehearsal = true, nil
	back := t.plan.Back()
	t.comparing = t.verifySwitchover(ctx, back)
	t.orTell(ctx, t.post(ctx, step.MoveInstance, step.MoveInstanceArgs{
		Instance: t.plan.Instance, Cluster: t.plan.Source, Endpoint: t.plan.Endpoint,
		Number: t.plan.Number, Returned: true,
	}))
	t.orTell(ctx, t.do(ctx, step.FenceForGood, back))
	t.forgetWishes()
	t.enter(ctx, upgrade.PhaseSynchronizing)
	if _, err := t.openWayBack(work, back); work.Err() == nil {
		t.orTell(ctx, err)
	}
}

// awaitComparison waits for the end of the verification that is under way.
func (t *task) awaitComparison(ctx workflow.Context) {
	if t.comparing != nil {
		t.takeIn(ctx, t.comparing.result(ctx))
	}
}

// collection is that of the target's statistics, while clients are there already.
type collection struct {
	done   workflow.Future
	cancel workflow.CancelFunc
}

// collectAfter begins it, if the user wants them after the switchover.
func (t *task) collectAfter(ctx workflow.Context) collection {
	ctx, cancel := workflow.WithCancel(ctx)
	done, settable := workflow.NewFuture(ctx)
	if t.plan.Options.Statistics != upgrade.StatisticsAfter || t.returned {
		settable.SetValue(nil)
		return collection{done, cancel}
	}
	workflow.Go(ctx, func(ctx workflow.Context) {
		err := t.do(ctx, step.CollectStatistics, t.plan)
		if ctx.Err() == nil {
			t.orTell(ctx, err)
		}
		settable.SetValue(nil)
	})
	return collection{done, cancel}
}

func (c collection) wait(ctx workflow.Context) { _ = c.done.Get(ctx, nil) }

// end makes an end of it: clients have gone.
func (c collection) end(ctx workflow.Context) {
	c.cancel()
	c.wait(ctx)
}
