package flow

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/internal/upgrade/step"
)

var returningPlan = planWith(func(o *upgrade.Options) { o.SkipSwitchback = false })

// script does one thing each time that the upgrade waits for its user, comparing nothing.
func (w *world) script(do ...func()) {
	w.entered = func(phase upgrade.Phase) {
		if phase != upgrade.PhaseSynchronizing && phase != upgrade.PhaseFollowing || w.compares() || len(do) == 0 {
			return
		}
		next := do[0]
		do = do[1:]
		next()
	}
}

func (w *world) says(name string) func() { return func() { w.signal(name) } }

func (w *world) hasSwitched() (yes bool) {
	w.note(func() { yes = len(w.switchovers) > 0 })
	return yes
}

// nothing lets a moment pass: following is entered before the way back is open.
func nothing() {}

// Clients go there, back, there again, and the upgrade is finished.
func TestThereAndBack(t *testing.T) {
	w := newWorld(t)
	w.script(w.says(step.SignalSwitch), nothing, w.says(step.SignalBack), w.says(step.SignalSwitch), nothing, w.says(step.SignalFinish))
	outcome := w.run(t, returningPlan)
	if outcome.Status != upgrade.StatusSucceeded || outcome.Switchover == nil || !outcome.Switchover.OnTarget() {
		t.Fatalf("outcome: %+v", outcome)
	}
	var ways []bool
	for _, s := range w.switchovers {
		ways = append(ways, s.Back)
	}
	if diff := cmp.Diff([]bool{false, true, false}, ways); diff != "" {
		t.Errorf("switchovers back (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]bool{false, true, false}, w.fenced); diff != "" {
		t.Errorf("fences of the target (-want +got):\n%s", diff)
	}
	var opened []int
	for _, args := range w.opened {
		if args.Plan.Reversed != (args.Attempt == 2) {
			t.Errorf("the way back of attempt %d was opened with the plan of the other direction", args.Attempt)
		}
		opened = append(opened, args.Attempt)
	}
	if diff := cmp.Diff([]int{1, 2, 3}, opened); diff != "" {
		t.Errorf("ways that were opened (-want +got):\n%s", diff)
	}
	var at []int
	var returned []bool
	for _, move := range w.moves {
		at, returned = append(at, move.Cluster.Port), append(returned, move.Returned)
	}
	if diff := cmp.Diff([]int{5433, 5432, 5433, 0}, at); diff != "" { // the last is what Finish said
		t.Errorf("ports of the instance (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]bool{false, true, false, false}, returned); diff != "" {
		t.Errorf("returned (-want +got):\n%s", diff)
	}
}

// A switchback that is refused leaves clients on the target, and the way back open.
func TestSwitchbackThatIsRefused(t *testing.T) {
	w := newWorld(t)
	w.does[step.SwitchOver] = func(n int) (any, error) {
		if n == 2 {
			return notSwitched("a transaction stayed open")
		}
		return upgrade.Switchover{Switched: true}, nil
	}
	w.script(w.says(step.SignalSwitch), nothing, w.says(step.SignalBack), w.says(step.SignalFinish))
	outcome := w.run(t, returningPlan)
	if outcome.Status != upgrade.StatusSucceeded || !outcome.Switchover.OnTarget() || len(w.moves) != 2 {
		t.Errorf("outcome %+v after moves %+v", outcome, w.moves)
	}
	want := "switchback: not switched back, clients go on at the target: a transaction stayed open"
	if told := w.told(upgrade.LevelWarning); !slices.Contains(told, want) {
		t.Errorf("warnings: %q, want %q", told, want)
	}
}

// Whoever does not need the source any more has it stopped.
func TestFinishThatRetires(t *testing.T) {
	w := newWorld(t)
	w.script(w.says(step.SignalSwitch), nothing, func() { w.env.SignalWorkflow(step.SignalFinish, step.FinishRequest{Retire: true}) })
	outcome := w.run(t, returningPlan)
	want := []string{step.Finish, step.MoveInstance, step.BuildStandbys, step.RetireCluster, step.RetireFormer, step.EndTask}
	if diff := cmp.Diff(want, w.calls[len(w.calls)-6:]); diff != "" || outcome.Status != upgrade.StatusSucceeded {
		t.Errorf("outcome %+v, last calls (-want +got):\n%s", outcome, diff)
	}
}

// What a way back keeps is dropped as soon as nobody wants it any more, and not after hours of comparing and collecting.
func TestFinishClosesTheWayBackFirst(t *testing.T) {
	collecting := planWith(func(o *upgrade.Options) { o.SkipSwitchback, o.Statistics = false, upgrade.StatisticsAfter })
	t.Run("the rest is waited for", func(t *testing.T) {
		w := newWorld(t)
		closed := false
		w.does[step.CloseWayBack] = func(int) (any, error) {
			closed = true
			return nil, nil
		}
		w.does[step.CollectStatistics] = func(int) (any, error) {
			if !closed {
				return nil, errors.New("it goes on while the way back is open")
			}
			return step.Done{Events: []upgrade.Event{{Level: upgrade.LevelInfo, Text: "statistics collected"}}}, nil
		}
		w.script(w.says(step.SignalSwitch), nothing, w.says(step.SignalFinish))
		outcome := w.run(t, collecting)
		if outcome.Status != upgrade.StatusSucceeded || !closed || !w.before(step.CloseWayBack, step.Finish) ||
			w.phases[len(w.phases)-1] != upgrade.PhaseFinishing || w.phases[len(w.phases)-2] != upgrade.PhaseFollowing {
			t.Errorf("outcome %+v, phases %v, calls %v", outcome, w.phases, w.calls)
		}
	})
	t.Run("unless it cannot be", func(t *testing.T) {
		w := newWorld(t)
		w.does[step.CloseWayBack] = refuse("the target lets nobody in")
		w.does[step.CollectStatistics] = pending
		w.script(w.says(step.SignalSwitch), nothing, w.says(step.SignalFinish))
		outcome := w.run(t, collecting)
		if outcome.Status != upgrade.StatusSucceeded || !w.before(step.CloseWayBack, step.Finish) || len(w.told(upgrade.LevelError)) != 1 {
			t.Errorf("outcome %+v, told %v, calls %v", outcome, w.told(upgrade.LevelError), w.calls)
		}
	})
}

// What the user wants while the way back is being opened is done when it is open.
func TestFinishWhileOpening(t *testing.T) {
	w := newWorld(t)
	w.does[step.OpenWayBack] = func(int) (any, error) {
		w.signal(step.SignalFinish)
		return nil, nil
	}
	w.script(w.says(step.SignalSwitch))
	if outcome := w.run(t, returningPlan); outcome.Status != upgrade.StatusSucceeded {
		t.Errorf("outcome: %+v", outcome)
	}
}

// Back at the source, the upgrade can be cancelled as at any time before the switchover.
func TestCancelAfterSwitchback(t *testing.T) {
	w := newWorld(t)
	w.script(w.says(step.SignalSwitch), nothing, w.says(step.SignalBack), w.says(step.SignalCancel))
	outcome := w.run(t, returningPlan)
	if outcome.Status != upgrade.StatusCancelled || !slices.Contains(w.calls, step.Discard) {
		t.Errorf("outcome %+v, calls %v", outcome, w.calls)
	}
}

// A cancel that comes when clients are on the target has no effect, then or later.
func TestCancelOnTheTarget(t *testing.T) {
	w := newWorld(t)
	w.script(w.says(step.SignalSwitch), nothing, func() { w.signal(step.SignalCancel); w.signal(step.SignalBack) },
		w.says(step.SignalSwitch), nothing, w.says(step.SignalFinish))
	outcome := w.run(t, returningPlan)
	if outcome.Status != upgrade.StatusSucceeded || len(w.switchovers) != 3 {
		t.Errorf("outcome %+v after %d switchovers", outcome, len(w.switchovers))
	}
}

// What ends the following of the source, its cap above all, ends the upgrade, with clients on the target.
func TestWayBackThatCannotBeKept(t *testing.T) {
	w := newWorld(t)
	w.does[step.Synchronize] = func(n int) (any, error) {
		if !w.hasSwitched() {
			return nil, nil
		}
		return refuse("it keeps 17000 MiB of WAL for the way back")(n)
	}
	w.script(w.says(step.SignalSwitch))
	outcome := w.run(t, returningPlan)
	told := w.told(upgrade.LevelError)
	if outcome.Status != upgrade.StatusSucceeded || len(told) != 2 || !strings.Contains(told[0], "the way back is closed") {
		t.Errorf("outcome %+v, errors %q", outcome, told)
	}
}

// What an older agent warns of is recorded, too, and following goes on.
func TestWarningsOfAnOlderAgent(t *testing.T) {
	w := newWorld(t)
	warning := step.Synchronized{Done: step.Done{Events: []upgrade.Event{{Level: upgrade.LevelWarning, Text: "it keeps much"}}}}
	told := 0
	w.does[step.Synchronize] = func(int) (any, error) {
		if !w.hasSwitched() {
			return nil, nil
		}
		if told++; told <= 2 {
			return warning, nil
		}
		w.signal(step.SignalFinish)
		return nil, nil
	}
	w.script(w.says(step.SignalSwitch))
	if outcome := w.run(t, returningPlan); outcome.Status != upgrade.StatusSucceeded {
		t.Errorf("outcome: %+v", outcome)
	}
	if warnings := w.told(upgrade.LevelWarning); len(warnings) != 2 || !strings.HasSuffix(warnings[0], "it keeps much") {
		t.Errorf("told %q", warnings)
	}
}

// What was told is not told again in the same leg, however often following ends to tell something, and may be
// forgotten: then it is told again. It does not go with clients to the other side.
func TestWhatWasTold(t *testing.T) {
	w := newWorld(t)
	event := upgrade.Event{Level: upgrade.LevelWarning, Text: "it keeps much"}
	news := []step.Synchronized{
		{Done: step.Done{Events: []upgrade.Event{event}}, Told: map[string]int{"(wal)": 1}},
		{Done: step.Done{Events: []upgrade.Event{event}}, Told: map[string]int{"(wal)": 1, "lake": 1}},
		{Told: map[string]int{"(wal)": 0, "lake": 1}}, // all is well again: there is no event
		{Done: step.Done{Events: []upgrade.Event{event}}, Told: map[string]int{"(wal)": 3}},
	}
	told := 0
	w.does[step.Synchronize] = func(int) (any, error) {
		if !w.hasSwitched() {
			return nil, nil
		}
		if told++; told <= len(news) {
			return news[told-1], nil
		}
		w.signal(step.SignalFinish)
		return nil, nil
	}
	w.script(w.says(step.SignalSwitch))
	if outcome := w.run(t, returningPlan); outcome.Status != upgrade.StatusSucceeded {
		t.Errorf("outcome: %+v", outcome)
	}
	want := []map[string]int{nil, news[0].Told, news[1].Told, news[2].Told, news[3].Told}
	if diff := cmp.Diff(want, w.toldBefore[len(w.toldBefore)-len(want):]); diff != "" {
		t.Errorf("followed with what was told (-want +got):\n%s", diff)
	}
	if warnings := w.told(upgrade.LevelWarning); len(warnings) != 3 {
		t.Errorf("told %q", warnings)
	}
}

// What following tells of itself is recorded, good news too, and following goes on.
func TestNewsOfTheLag(t *testing.T) {
	w := newWorld(t)
	event := upgrade.Event{Level: upgrade.LevelInfo, Text: "the lag can be measured again"}
	told := 0
	w.does[step.Synchronize] = func(int) (any, error) {
		if told++; told == 1 {
			return step.Synchronized{Done: step.Done{Events: []upgrade.Event{event}}, Told: map[string]int{"(lag)": 2}}, nil
		}
		w.signal(step.SignalCancel)
		return nil, nil
	}
	if outcome := w.run(t, returningPlan); outcome.Status != upgrade.StatusCancelled {
		t.Errorf("outcome: %+v", outcome)
	}
	if !slices.Contains(w.told(upgrade.LevelInfo), ": "+event.Text) || len(w.toldBefore) != 2 || w.toldBefore[1]["(lag)"] != 2 {
		t.Errorf("told %q, followed with %v", w.told(upgrade.LevelInfo), w.toldBefore)
	}
}

// A side that cannot follow yet is tried again, until the user gives the way back up.
func TestWayBackThatDoesNotOpen(t *testing.T) {
	w := newWorld(t)
	w.does[step.OpenWayBack] = func(n int) (any, error) {
		if n == 11 { // each time it is tried five times
			w.signal(step.SignalFinish)
		}
		return nil, errors.New("connection refused")
	}
	w.script(w.says(step.SignalSwitch))
	outcome := w.run(t, returningPlan)
	if outcome.Status != upgrade.StatusSucceeded || len(w.opened) != 15 || len(w.told(upgrade.LevelWarning)) != 1 {
		t.Errorf("outcome %+v after %d attempts to open, warnings %q", outcome, len(w.opened), w.told(upgrade.LevelWarning))
	}
}

// An old server that is stopped for days must not fill the workflow's history, which has an end.
func TestWayBackIsTriedLessAndLessOften(t *testing.T) {
	w := newWorld(t)
	const rounds, tries = 21, 5
	var began, ended time.Time
	w.does[step.OpenWayBack] = func(n int) (any, error) {
		switch n {
		case 1:
			began = w.env.Now()
		case rounds*tries - 1:
			ended = w.env.Now()
			w.signal(step.SignalFinish)
		}
		return nil, errors.New("connection refused")
	}
	w.script(w.says(step.SignalSwitch))
	outcome := w.run(t, returningPlan)
	if outcome.Status != upgrade.StatusSucceeded || len(w.opened) != rounds*tries || len(w.told(upgrade.LevelWarning)) != 1 {
		t.Errorf("outcome %+v after %d attempts to open, warnings %q", outcome, len(w.opened), w.told(upgrade.LevelWarning))
	}
	if took := ended.Sub(began); took < (rounds-6)*openAgainAtMost {
		t.Errorf("%d rounds within %s", rounds, took)
	}
}

// Whoever wants to go back does not wait until it is tried anyway, and learns that it is not done.
func TestWayBackIsTriedWhenItIsWanted(t *testing.T) {
	w := newWorld(t)
	const rounds, tries = 8, 5
	var failed, again time.Time
	w.does[step.OpenWayBack] = func(n int) (any, error) {
		switch n {
		case (rounds - 1) * tries:
			failed = w.env.Now()
			w.env.RegisterDelayedCallback(func() { w.signal(step.SignalBack) }, 2*time.Second)
		case (rounds-1)*tries + 1:
			again = w.env.Now()
		case rounds * tries:
			w.signal(step.SignalFinish)
		}
		return nil, errors.New("connection refused")
	}
	w.script(w.says(step.SignalSwitch))
	outcome := w.run(t, returningPlan)
	if waited := again.Sub(failed); waited > time.Minute {
		t.Errorf("tried again after %s", waited)
	}
	if outcome.Status != upgrade.StatusSucceeded || len(w.told(upgrade.LevelWarning)) != 2 {
		t.Errorf("outcome %+v, warnings %q", outcome, w.told(upgrade.LevelWarning))
	}
}

// The switchback is rehearsed as the switchover is.
func TestRehearsedSwitchback(t *testing.T) {
	w := newWorld(t)
	w.script(w.says(step.SignalSwitch), nothing, w.rehearse, w.says(step.SignalFinish))
	outcome := w.run(t, returningPlan)
	if outcome.Status != upgrade.StatusSucceeded || len(w.rehearsals) != 2 || !w.rehearsals[1].Passed() || !w.rehearsals[1].Outcome.Back {
		t.Errorf("outcome %+v, rehearsals %+v", outcome, w.rehearsals)
	}
}
