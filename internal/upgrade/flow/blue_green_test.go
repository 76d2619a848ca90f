package flow

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.temporal.io/sdk/activity"

	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/internal/upgrade/step"
)

// cloneWorld is a world for blue-green upgrades.
type cloneWorld struct {
	*world
	switchedAt []time.Time // the workflow's time when SwitchToClone was called
	settles    int
	toldBefore []map[string]int // as FollowSource was given it
}

func newCloneWorld(t *testing.T) *cloneWorld {
	t.Helper()
	w := &cloneWorld{world: newWorld(t)}
	register := func(name string, do any) {
		w.env.RegisterActivityWithOptions(do, activity.RegisterOptions{Name: name})
	}
	for _, name := range []string{step.PrepareCloning, step.DetachClone, step.StartUpgraded} {
		register(name, func(context.Context, upgrade.Plan) (step.Done, error) { return answer[step.Done](w.world, name) })
	}
	register(step.FinishClone, func(context.Context, upgrade.Plan) (step.FinishResult, error) {
		return answer[step.FinishResult](w.world, step.FinishClone)
	})
	register(step.FollowSource, func(_ context.Context, args step.SynchronizeArgs) (step.Synchronized, error) {
		w.note(func() { w.until, w.toldBefore = append(w.until, args.UntilReady), append(w.toldBefore, args.Told) })
		done, err := answer[step.Synchronized](w.world, step.FollowSource)
		if err == nil && !args.UntilReady && done.Told == nil {
			err = activity.ErrResultPending // it goes on until it is cancelled
		}
		return done, err
	})
	register(step.SwitchToClone, func(ctx context.Context, args step.SwitchOverArgs) (step.CloneSwitch, error) {
		if args.SettleOnly {
			w.note(func() { w.settles++ })
			return step.CloneSwitch{Switchover: w.settled}, nil
		}
		w.note(func() {
			w.attempts = append(w.attempts, args.Attempt)
			w.timeouts = append(w.timeouts, args.Plan.Options.SwitchoverTimeout)
			w.switchedAt = append(w.switchedAt, w.env.Now().UTC())
			w.notAfter = append(w.notAfter, args.NotAfter.UTC())
		})
		if w.does[step.SwitchToClone] == nil {
			_, err := answer[step.Done](w.world, step.SwitchToClone)
			return step.CloneSwitch{Switchover: upgrade.Switchover{Switched: true}}, err
		}
		result, err := answer[step.CloneSwitch](w.world, step.SwitchToClone)
		return result, w.slowly(ctx, t, step.SwitchToClone, result, err)
	})
	return w
}

// run lets the workflow come to its end.
func (w *cloneWorld) run(t *testing.T, window *upgrade.Window, change func(*upgrade.Options)) upgrade.Outcome {
	t.Helper()
	plan := planWith(change)
	plan.Mode = upgrade.BlueGreen
	w.env.ExecuteWorkflow(BlueGreen, step.BlueGreenArgs{Plan: plan, Window: window})
	if err := w.env.GetWorkflowError(); err != nil {
		t.Fatalf("the workflow failed: %v\ncalls: %v", err, w.calls)
	}
	var outcome upgrade.Outcome
	if err := w.env.GetWorkflowResult(&outcome); err != nil {
		t.Fatal(err)
	}
	w.check(t, outcome)
	return outcome
}

func (w *cloneWorld) wantCalls(t *testing.T, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, w.calls); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
}

// signalWhen sends a signal as soon as a phase has been entered so many times.
func (w *cloneWorld) signalWhen(phase upgrade.Phase, times int, signal string) {
	w.entered = func(entered upgrade.Phase) {
		if entered == phase {
			if times--; times == 0 {
				w.signal(signal)
			}
		}
	}
}

func manual(*upgrade.Options) {}

func auto(o *upgrade.Options) { o.Switch = upgrade.SwitchAuto }

func inWindow(o *upgrade.Options) { o.SwitchInWindow = true }

// notYet is an attempt that did not switch.
func notYet(spent bool) (any, error) {
	return step.CloneSwitch{Switchover: upgrade.Switchover{Reason: "not yet"}, Spent: spent}, nil
}

func TestCloneOnly(t *testing.T) {
	w := newCloneWorld(t)
	outcome := w.run(t, nil, func(o *upgrade.Options) { o.CloneOnly = true })
	w.wantCalls(t, step.Precheck, step.SaveReport, step.PrepareCloning, step.BaseBackup, step.StreamClone,
		step.DetachClone, step.InitTarget, step.PgUpgrade, step.StartUpgraded,
		step.UpdateExtensions, step.CollectStatistics, step.FinishClone, step.EndTask)
	if diff := cmp.Diff(upgrade.BlueGreenPhases(true), w.phases); diff != "" {
		t.Errorf("phases (-want +got):\n%s", diff)
	}
	made := outcome.Switchover
	if made == nil || made.Switched || made.StartedAt.IsZero() || made.EndedAt.IsZero() || made.TargetPort != testPlan.Target.Port {
		t.Errorf("the outcome does not tell when and where the clone was made: %+v", made)
	}
}

func TestCloneFails(t *testing.T) {
	w := newCloneWorld(t)
	w.does[step.PgUpgrade] = refuse("it cannot be upgraded")
	outcome := w.run(t, nil, func(o *upgrade.Options) { o.CloneOnly = true })
	if outcome.Status != upgrade.StatusFailed || outcome.Reason != "it cannot be upgraded" {
		t.Errorf("outcome %+v", outcome)
	}
}

func TestSwitchToCloneWhenAsked(t *testing.T) {
	w := newCloneWorld(t)
	w.does[step.FollowSource] = w.signalAndStay(step.SignalSwitch)
	outcome := w.run(t, nil, func(o *upgrade.Options) { o.Statistics = upgrade.StatisticsAfter })
	if outcome.Status != upgrade.StatusSucceeded || outcome.Switchover == nil || !outcome.Switchover.Switched {
		t.Errorf("outcome %+v", outcome)
	}
	w.wantCalls(t, step.Precheck, step.SaveReport, step.PrepareCloning, step.BaseBackup, step.FollowSource, step.SwitchToClone,
		step.MoveInstance, step.FenceForGood, step.UpdateExtensions, step.CollectStatistics, step.Finish, step.MoveInstance, step.BuildStandbys, step.EndTask)
	if diff := cmp.Diff(upgrade.BlueGreenPhases(false), w.phases); diff != "" {
		t.Errorf("phases (-want +got):\n%s", diff)
	}
}

// By itself it switches when the clone has caught up. Statistics are collected while clients wait.
func TestSwitchToCloneByItself(t *testing.T) {
	w := newCloneWorld(t)
	w.run(t, nil, auto)
	w.wantCalls(t, step.Precheck, step.SaveReport, step.PrepareCloning, step.BaseBackup, step.FollowSource, step.SwitchToClone,
		step.MoveInstance, step.FenceForGood, step.UpdateExtensions, step.Finish, step.MoveInstance, step.BuildStandbys, step.EndTask)
	if !slices.Equal(w.until, []bool{true}) {
		t.Errorf("followed until ready: %v", w.until)
	}
}

// An attempt that was refused is repeated with the same clone; then the user is asked.
func TestSwitchToCloneRefused(t *testing.T) {
	w := newCloneWorld(t)
	w.does[step.SwitchToClone] = func(n int) (any, error) {
		if n <= maxAutomaticSwitchovers {
			return notYet(false)
		}
		return step.CloneSwitch{Switchover: upgrade.Switchover{Switched: true}}, nil
	}
	w.signalWhen(upgrade.PhaseSynchronizing, maxAutomaticSwitchovers+1, step.SignalSwitch)
	outcome := w.run(t, nil, auto)
	if outcome.Status != upgrade.StatusSucceeded || w.counts[step.BaseBackup] != 1 {
		t.Errorf("outcome %+v after %d base backups", outcome, w.counts[step.BaseBackup])
	}
	if diff := cmp.Diff([]int{1, 2, 3, 4, 5, 6}, w.attempts); diff != "" {
		t.Errorf("attempts (-want +got):\n%s", diff)
	}
	if told := strings.Join(w.told(upgrade.LevelWarning), "\n"); !strings.Contains(told, "5 switchovers did not succeed; waiting for `pgleap switchover shop switch`") {
		t.Errorf("told:\n%s", told)
	}
}

// A clone that was promoted in vain costs clients their time: another one is made, and the user is asked.
func TestSwitchToCloneSpent(t *testing.T) {
	w := newCloneWorld(t)
	w.does[step.SwitchToClone] = func(n int) (any, error) {
		if n == 1 {
			return notYet(true)
		}
		return step.CloneSwitch{Switchover: upgrade.Switchover{Switched: true}}, nil
	}
	w.does[step.FollowSource] = func(n int) (any, error) {
		if n == 1 {
			return step.Done{}, nil
		}
		return w.signalAndStay(step.SignalSwitch)(n)
	}
	outcome := w.run(t, nil, auto)
	if outcome.Status != upgrade.StatusSucceeded || w.counts[step.BaseBackup] != 2 {
		t.Errorf("outcome %+v after %d base backups", outcome, w.counts[step.BaseBackup])
	}
	if !slices.Equal(w.until, []bool{true, false}) {
		t.Errorf("followed until ready: %v", w.until)
	}
}

// What is told of WAL while the clone follows is recorded, and no reason to switch; what was told is not told again.
func TestFollowSourceTells(t *testing.T) {
	window, err := upgrade.ParseWindow("22:00Z-02:00Z")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		change func(*upgrade.Options)
		until  []bool
		waits  string
	}{
		"by itself":     {auto, []bool{true, true, true}, ""},
		"in the window": {inWindow, []bool{false, false, false, true}, "the switchover waits for the maintenance window"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newCloneWorld(t)
			w.env.SetStartTime(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))
			told := []map[string]int{{"(wal)": 1}, {"(wal)": 3}}
			w.does[step.FollowSource] = func(n int) (any, error) {
				if n > len(told) {
					return step.Synchronized{}, nil
				}
				event := upgrade.Event{Level: upgrade.LevelWarning, Text: "the server at port 5432 keeps WAL"}
				return step.Synchronized{Done: step.Done{Events: []upgrade.Event{event}}, Told: told[n-1]}, nil
			}
			outcome := w.run(t, &window, c.change)
			if outcome.Status != upgrade.StatusSucceeded || !slices.Equal(w.attempts, []int{1}) {
				t.Errorf("outcome %+v, attempts %v", outcome, w.attempts)
			}
			if warned := w.told(upgrade.LevelWarning); len(warned) != len(told) {
				t.Errorf("warned: %q", warned)
			}
			if !slices.Equal(w.until, c.until) {
				t.Errorf("followed until ready: %v, want %v", w.until, c.until)
			}
			if diff := cmp.Diff(append([]map[string]int{nil}, told...), w.toldBefore[:3]); diff != "" {
				t.Errorf("what FollowSource knew (-want +got):\n%s", diff)
			}
			if said := strings.Count(strings.Join(w.told(upgrade.LevelInfo), "\n"), "waits for the maintenance window"); said != min(1, len(c.waits)) {
				t.Errorf("told %d times that it waits", said)
			}
		})
	}
}

func TestSwitchInWindow(t *testing.T) {
	window, err := upgrade.ParseWindow("22:00Z-02:00Z")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, start, want string
		window            *upgrade.Window
	}{
		{"before it", "2026-03-01T12:00:00Z", "2026-03-01T22:00:00Z", &window},
		{"within it", "2026-03-01T23:30:00Z", "2026-03-01T23:30:00Z", &window},
		{"within it, after midnight", "2026-03-01T01:30:00Z", "2026-03-01T01:30:00Z", &window},
		{"there is none", "2026-03-01T01:30:00Z", "", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newCloneWorld(t)
			start, err := time.Parse(time.RFC3339, c.start)
			if err != nil {
				t.Fatal(err)
			}
			w.env.SetStartTime(start)
			outcome := w.run(t, c.window, inWindow)
			if c.want == "" {
				if outcome.Status != upgrade.StatusFailed || !strings.Contains(outcome.Reason, "no maintenance window") || w.counts[step.Precheck] > 0 {
					t.Errorf("outcome %+v", outcome)
				}
				return
			}
			if len(w.switchedAt) != 1 || w.switchedAt[0].Truncate(time.Minute).Format(time.RFC3339) != c.want {
				t.Errorf("switched at %v, want %s", w.switchedAt, c.want)
			}
		})
	}
}

// A switch begins within the window, or in the next one: an attempt that came too late, since its agent was away or it was
// made ready for long, is no failure, and its clone is used again. Whoever asks for the switch waits for nothing.
func TestSwitchTooLate(t *testing.T) {
	at := func(day, hour int) time.Time { return time.Date(2026, 3, day, hour, 0, 0, 0, time.UTC) }
	window := &upgrade.Window{Start: 22 * 60, End: 2 * 60}
	const windows = maxAutomaticSwitchovers + 1
	for name, c := range map[string]struct {
		takes time.Duration // what an attempt that comes too late does: it ends when the window has closed, or a bit before
		asked bool
	}{
		"after the window":          {5 * time.Hour, false},
		"the agent's clock is fast": {time.Hour, false},
		"asked in the end":          {5 * time.Hour, true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newCloneWorld(t)
			w.env.SetStartTime(at(1, 12))
			w.takes = map[string]map[int]time.Duration{step.SwitchToClone: {}}
			for n := 1; n < windows; n++ {
				w.takes[step.SwitchToClone][n] = c.takes
			}
			w.does[step.SwitchToClone] = func(n int) (any, error) {
				if n < windows {
					return step.CloneSwitch{Switchover: upgrade.Switchover{Reason: "the maintenance window closed"}, Late: true}, nil
				}
				return step.CloneSwitch{Switchover: upgrade.Switchover{Switched: true}}, nil
			}
			if c.asked { // twice it synchronizes in each window: until that opens, and in it
				w.signalWhen(upgrade.PhaseSynchronizing, 2*windows-1, step.SignalSwitch)
			}
			outcome := w.run(t, window, inWindow)
			if outcome.Status != upgrade.StatusSucceeded || w.counts[step.BaseBackup] != 1 || len(w.switchovers) != 1 {
				t.Errorf("outcome %+v after %d base backups and %d switchovers", outcome, w.counts[step.BaseBackup], len(w.switchovers))
			}
			begun, until := at(windows, 22), at(windows+1, 2)
			if c.asked {
				begun, until = at(windows, 2), time.Time{}
			}
			if got := w.switchedAt[windows-1]; got.Before(begun) || got.After(begun.Add(2*time.Hour)) {
				t.Errorf("switched at %s, want %s", got, begun)
			}
			if got := w.notAfter[windows-1]; !got.Equal(until) {
				t.Errorf("it was to begin until %s, want %s", got, until)
			}
		})
	}
}

// The user need not wait for the window.
func TestSwitchBeforeWindow(t *testing.T) {
	window, err := upgrade.ParseWindow("22:00Z-02:00Z")
	if err != nil {
		t.Fatal(err)
	}
	w := newCloneWorld(t)
	start := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	w.env.SetStartTime(start)
	w.signalWhen(upgrade.PhaseSynchronizing, 1, step.SignalSwitch)
	w.run(t, &window, inWindow)
	if len(w.switchedAt) != 1 || w.switchedAt[0].Sub(start) > time.Hour {
		t.Errorf("switched at %v", w.switchedAt)
	}
}

// Interrupted, it follows again; cancelled, it is discarded.
func TestSwitchToCloneInterruptedAndCancelled(t *testing.T) {
	w := newCloneWorld(t)
	w.settled = upgrade.Switchover{Reason: "the switchover was interrupted"}
	w.does[step.SwitchToClone] = func(n int) (any, error) {
		if n == 1 {
			return w.signalAndStay(step.SignalInterrupt)(n)
		}
		return w.signalAndStay(step.SignalCancel)(n)
	}
	w.entered = func(phase upgrade.Phase) {
		if phase == upgrade.PhaseSynchronizing {
			w.signal(step.SignalSwitch)
		}
	}
	outcome := w.run(t, nil, manual)
	if outcome.Status != upgrade.StatusCancelled || w.settles != 2 {
		t.Errorf("outcome %+v after %d settlements", outcome, w.settles)
	}
	if diff := cmp.Diff([]int{1, 2}, w.attempts); diff != "" {
		t.Errorf("attempts (-want +got):\n%s", diff)
	}
}

func TestFollowingEnds(t *testing.T) {
	for name, c := range map[string]struct {
		follow func(*cloneWorld) func(int) (any, error)
		want   upgrade.Status
	}{
		"cancelled":        {func(w *cloneWorld) func(int) (any, error) { return w.signalAndStay(step.SignalCancel) }, upgrade.StatusCancelled},
		"too much is kept": {func(*cloneWorld) func(int) (any, error) { return refuse("the source keeps too much") }, upgrade.StatusFailed},
	} {
		t.Run(name, func(t *testing.T) {
			w := newCloneWorld(t)
			w.does[step.FollowSource] = c.follow(w)
			if outcome := w.run(t, nil, auto); outcome.Status != c.want || len(w.attempts) > 0 {
				t.Errorf("outcome %+v, attempts %v", outcome, w.attempts)
			}
		})
	}
}

// What cannot be done after the switch is told, and changes nothing.
func TestAfterSwitchToClone(t *testing.T) {
	w := newCloneWorld(t)
	for _, name := range []string{step.FenceForGood, step.UpdateExtensions, step.Finish} {
		w.does[name] = func(int) (any, error) { return nil, errors.New(name + " failed") }
	}
	if outcome := w.run(t, nil, auto); outcome.Status != upgrade.StatusSucceeded {
		t.Errorf("outcome %+v", outcome)
	}
	if told := w.told(upgrade.LevelError); len(told) < 2 {
		t.Errorf("told: %v", told)
	}
}
