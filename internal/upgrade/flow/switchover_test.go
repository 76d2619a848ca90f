package flow

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/quick"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.temporal.io/sdk/activity"

	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/internal/upgrade/step"
)

// fromSynchronizing are the phases after the target has been made.
func (w *world) fromSynchronizing() []upgrade.Phase {
	return w.phases[slices.Index(w.phases, upgrade.PhaseSynchronizing):]
}

func TestNotSwitchedLeadsBackToSynchronizing(t *testing.T) {
	w := newWorld(t)
	w.switchWhenSynchronizing()
	w.does[step.SwitchOver] = func(n int) (any, error) {
		switch n {
		case 1:
			return notSwitched("a transaction stayed open for 60 s")
		case 2:
			w.settled = upgrade.Switchover{Reason: "the journal cannot be written"}
			return nil, nonRetryable("it is not known how it ended")
		}
		return upgrade.Switchover{Switched: true, Pause: 21 * time.Millisecond}, nil
	}
	outcome := w.run(t, testPlan)
	if outcome.Status != upgrade.StatusSucceeded || outcome.Switchover.Pause != 21*time.Millisecond {
		t.Errorf("outcome: %+v", outcome)
	}
	want := []upgrade.Phase{
		upgrade.PhaseSynchronizing, upgrade.PhaseSwitchover, upgrade.PhaseSynchronizing, upgrade.PhaseSwitchover,
		upgrade.PhaseSynchronizing, upgrade.PhaseSwitchover, upgrade.PhaseFinishing,
	}
	if diff := cmp.Diff(want, w.fromSynchronizing()); diff != "" {
		t.Errorf("phases (-want +got):\n%s", diff)
	}
	told := []string{
		"switchover: not switched, clients go on at the source: a transaction stayed open for 60 s",
		"switchover: not switched, clients go on at the source: the journal cannot be written",
	}
	if diff := cmp.Diff(told, w.told(upgrade.LevelWarning)); diff != "" {
		t.Errorf("warnings (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]int{1, 2, 3}, w.attempts); diff != "" {
		t.Errorf("attempts (-want +got):\n%s", diff)
	}
	if slices.Contains(w.until, true) {
		t.Errorf("a manual switch was waited for by itself: %v", w.until)
	}
}

// Whoever asks for a switchover may give it another timeout, which holds for that attempt only.
func TestTimeoutOfOneSwitchover(t *testing.T) {
	w := newWorld(t)
	asked := 0
	w.entered = func(phase upgrade.Phase) {
		if phase != upgrade.PhaseSynchronizing {
			return
		}
		if asked++; asked == 1 {
			w.env.SignalWorkflow(step.SignalSwitch, step.SwitchRequest{Timeout: 10 * time.Second})
		} else {
			w.signal(step.SignalSwitch) // without a payload, as an older program sends it
		}
	}
	w.does[step.SwitchOver] = func(n int) (any, error) {
		if n == 1 {
			return notSwitched("10 s were not enough")
		}
		return upgrade.Switchover{Switched: true}, nil
	}
	w.run(t, testPlan)
	if diff := cmp.Diff([]time.Duration{10 * time.Second, testPlan.Options.SwitchoverTimeout}, w.timeouts); diff != "" {
		t.Errorf("timeouts (-want +got):\n%s", diff)
	}
}

// A switchover may be tried again by the engine, but it is one attempt with one journal.
func TestSwitchOverIsNotGivenUp(t *testing.T) {
	w := newWorld(t)
	w.switchWhenSynchronizing()
	w.does[step.SwitchOver] = func(n int) (any, error) {
		if n < 9 {
			return nil, errors.New("the target is not reachable, and the commit point is past")
		}
		return upgrade.Switchover{Switched: true}, nil
	}
	w.run(t, testPlan)
	if diff := cmp.Diff(slices.Repeat([]int{1}, 9), w.attempts); diff != "" {
		t.Errorf("attempts (-want +got):\n%s", diff)
	}
}

// A switch that was asked for during a switchover is not meant for the next.
func TestSwitchIsForgottenDuringSwitchover(t *testing.T) {
	w := newWorld(t)
	asked := 0
	w.entered = func(phase upgrade.Phase) {
		if phase == upgrade.PhaseSynchronizing {
			if asked++; asked == 1 {
				w.signal(step.SignalSwitch)
			} else {
				w.env.RegisterDelayedCallback(func() { w.signal(step.SignalCancel) }, time.Hour)
			}
		}
	}
	w.does[step.SwitchOver] = func(int) (any, error) {
		w.signal(step.SignalSwitch)
		return notSwitched("lag")
	}
	if outcome := w.run(t, testPlan); outcome.Status != upgrade.StatusCancelled || len(w.attempts) != 1 {
		t.Errorf("outcome %+v after %d attempts", outcome, len(w.attempts))
	}
}

func TestInterrupt(t *testing.T) {
	w := newWorld(t)
	w.switchWhenSynchronizing()
	w.does[step.SwitchOver] = func(n int) (any, error) {
		if n == 1 {
			w.settled = upgrade.Switchover{Reason: "interrupted before it began"}
			w.signal(step.SignalInterrupt)
			return nil, activity.ErrResultPending
		}
		return upgrade.Switchover{Switched: true}, nil
	}
	outcome := w.run(t, testPlan)
	if outcome.Status != upgrade.StatusSucceeded || len(w.attempts) != 2 {
		t.Errorf("outcome %+v after %d attempts", outcome, len(w.attempts))
	}
	if told := w.told(upgrade.LevelWarning); len(told) != 1 || !strings.Contains(told[0], "interrupted before it began") {
		t.Errorf("warnings: %v", told)
	}
}

// The refresh of materialized views may take hours. It belongs to the switchover, which is interrupted with it; the
// next one begins with it anew.
func TestInterruptDuringRefresh(t *testing.T) {
	for name, refresh := range map[string]func(w *world) (any, error){
		"under way": func(w *world) (any, error) {
			w.signal(step.SignalInterrupt)
			return nil, activity.ErrResultPending
		},
		"as it ends": func(w *world) (any, error) {
			w.env.RegisterDelayedCallback(func() { w.signal(step.SignalInterrupt) }, 0)
			return nil, nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.ready = true
			w.does[step.RefreshMaterializedViews] = func(n int) (any, error) {
				if n == 1 {
					return refresh(w)
				}
				return nil, nil
			}
			w.settled = upgrade.Switchover{Reason: "interrupted before it began"}
			w.does[step.SwitchOver] = func(int) (any, error) {
				if w.attempts[len(w.attempts)-1] == 1 {
					return nil, activity.ErrResultPending // until it is interrupted
				}
				return upgrade.Switchover{Switched: true}, nil
			}
			outcome := w.run(t, planWith(func(o *upgrade.Options) { o.Switch, o.SkipRehearsal = upgrade.SwitchAuto, true }))
			if outcome.Status != upgrade.StatusSucceeded || w.attempts[len(w.attempts)-1] != 2 {
				t.Errorf("outcome %+v after attempts %v", outcome, w.attempts)
			}
			want := []upgrade.Phase{
				upgrade.PhaseSynchronizing, upgrade.PhaseSwitchover, upgrade.PhaseSynchronizing, upgrade.PhaseSwitchover, upgrade.PhaseFinishing,
			}
			if diff := cmp.Diff(want, w.fromSynchronizing()); diff != "" {
				t.Errorf("phases (-want +got):\n%s", diff)
			}
			if told := w.told(upgrade.LevelWarning); len(told) != 1 || !strings.Contains(told[0], "switchover: not switched, clients go on at the source: interrupted") {
				t.Errorf("warnings: %v", told)
			}
			if name == "under way" && w.counts[step.RefreshMaterializedViews] != 2 {
				t.Errorf("refreshed %d times", w.counts[step.RefreshMaterializedViews])
			}
		})
	}
}

// A cancel during the refresh ends the upgrade.
func TestCancelDuringRefresh(t *testing.T) {
	w := newWorld(t)
	w.switchWhenSynchronizing()
	w.does[step.RefreshMaterializedViews] = w.signalAndStay(step.SignalCancel)
	w.settled = upgrade.Switchover{Reason: "interrupted before it began"}
	if outcome := w.run(t, testPlan); outcome.Status != upgrade.StatusCancelled || len(w.attempts) > 0 {
		t.Errorf("outcome %+v after %d attempts", outcome, len(w.attempts))
	}
}

// An interrupt that comes while nothing is being switched has no effect on the switchover to come.
func TestInterruptBeforeSwitchover(t *testing.T) {
	w := newWorld(t)
	w.entered = func(phase upgrade.Phase) {
		if phase == upgrade.PhaseSynchronizing {
			w.signal(step.SignalInterrupt)
			w.signal(step.SignalSwitch)
		}
	}
	w.run(t, testPlan)
	if len(w.attempts) != 1 {
		t.Errorf("%d attempts", len(w.attempts))
	}
}

func TestCancelDuringSwitchover(t *testing.T) {
	pending := func() (any, error) { return nil, activity.ErrResultPending }
	for _, c := range []struct {
		name    string
		result  func() (any, error)
		settled upgrade.Switchover
		want    upgrade.Status
	}{
		{"before its commit point", pending, upgrade.Switchover{Reason: "undone"}, upgrade.StatusCancelled},
		{"after its commit point", pending, upgrade.Switchover{Switched: true}, upgrade.StatusSucceeded},
		{"it did not switch", func() (any, error) { return notSwitched("cancelled") }, upgrade.Switchover{}, upgrade.StatusCancelled},
		{"it had switched", func() (any, error) { return upgrade.Switchover{Switched: true}, nil }, upgrade.Switchover{Switched: true}, upgrade.StatusSucceeded},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.settled = c.settled
			w.switchWhenSynchronizing()
			w.does[step.SwitchOver] = func(int) (any, error) {
				result, err := c.result()
				if err == nil { // the signal comes when the result is on its way
					w.env.RegisterDelayedCallback(func() { w.signal(step.SignalCancel) }, 0)
				} else {
					w.signal(step.SignalCancel)
				}
				return result, err
			}
			if outcome := w.run(t, testPlan); outcome.Status != c.want {
				t.Errorf("outcome: %+v", outcome)
			}
		})
	}
}

func TestAutomaticSwitchover(t *testing.T) {
	auto := planWith(func(o *upgrade.Options) { o.Switch = upgrade.SwitchAuto })
	t.Run("as soon as the target has caught up", func(t *testing.T) {
		w := newWorld(t)
		w.ready = true
		w.run(t, planWith(func(o *upgrade.Options) { o.Switch, o.SkipRehearsal = upgrade.SwitchAuto, true }))
		if diff := cmp.Diff([]bool{true}, w.until); diff != "" {
			t.Errorf("UntilReady (-want +got):\n%s", diff)
		}
		if len(w.rehearsals) > 0 {
			t.Errorf("it was rehearsed: %+v", w.rehearsals)
		}
	})
	t.Run("five times at most, then the user is waited for", func(t *testing.T) {
		w := newWorld(t)
		w.ready = true
		w.does[step.Synchronize] = func(n int) (any, error) {
			if n > maxAutomaticSwitchovers {
				w.signal(step.SignalSwitch)
			}
			return nil, nil
		}
		w.does[step.SwitchOver] = func(n int) (any, error) {
			if n <= maxAutomaticSwitchovers {
				return notSwitched("a long transaction")
			}
			return upgrade.Switchover{Switched: true}, nil
		}
		w.run(t, auto)
		if diff := cmp.Diff([]bool{true, true, true, true, true, false}, w.until); diff != "" {
			t.Errorf("UntilReady (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff([]int{1, 2, 3, 4, 5, 6}, w.attempts); diff != "" {
			t.Errorf("attempts (-want +got):\n%s", diff)
		}
		told := w.told(upgrade.LevelWarning)
		if last := told[len(told)-1]; !strings.Contains(last, "waiting for `pgleap switchover shop switch`") {
			t.Errorf("last warning: %s", last)
		}
	})
	t.Run("the user need not wait for it", func(t *testing.T) {
		w := newWorld(t)
		w.switchWhenSynchronizing()
		if outcome := w.run(t, auto); outcome.Status != upgrade.StatusSucceeded {
			t.Errorf("outcome: %+v", outcome)
		}
	})
	t.Run("cancelled between two", func(t *testing.T) {
		w := newWorld(t)
		w.ready = true
		w.does[step.SwitchOver] = func(int) (any, error) {
			w.env.RegisterDelayedCallback(func() { w.signal(step.SignalCancel) }, automaticRetryDelay/2)
			return notSwitched("lag")
		}
		if outcome := w.run(t, auto); outcome.Status != upgrade.StatusCancelled || len(w.attempts) != 1 {
			t.Errorf("outcome %+v after %d attempts", outcome, len(w.attempts))
		}
	})
}

// Whatever is signalled, and whenever: a task ends once, and nothing is switched that was discarded
// (see world.check).
func TestAnySignals(t *testing.T) {
	signals := []string{step.SignalSwitch, step.SignalInterrupt, step.SignalCancel, step.SignalRehearse}
	run := func(order []uint8, delays []uint16, results []bool, auto bool) bool {
		w := newWorld(t)
		var at time.Duration
		for i, choice := range order {
			if i < len(delays) {
				at += time.Duration(delays[i]%2000) * time.Millisecond
			}
			w.env.RegisterDelayedCallback(func() { w.signal(signals[int(choice)%len(signals)]) }, at)
		}
		w.env.RegisterDelayedCallback(func() { w.signal(step.SignalCancel) }, at+time.Hour) // it shall end
		w.does[step.SwitchOver] = func(n int) (any, error) {
			if n < len(results) && !results[n] {
				return pending(n)
			}
			if n >= len(results) || n%2 == 0 {
				return notSwitched("again")
			}
			return upgrade.Switchover{Switched: true}, nil
		}
		plan := testPlan
		if auto {
			plan.Options.Switch, w.ready = upgrade.SwitchAuto, true
		}
		w.run(t, plan)
		return !t.Failed()
	}
	if err := quick.Check(run, &quick.Config{MaxCount: 60}); err != nil {
		t.Error(err)
	}
}
