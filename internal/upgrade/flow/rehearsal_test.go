package flow

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/internal/upgrade/step"
)

// whenSynchronizing does one thing each time that the upgrade synchronizes and compares nothing, and
// cancels it at last.
func (w *world) whenSynchronizing(do ...func()) {
	w.entered = func(phase upgrade.Phase) {
		switch {
		case phase != upgrade.PhaseSynchronizing || w.compares():
		case len(do) == 0:
			w.signal(step.SignalCancel)
		default:
			next := do[0]
			do = do[1:]
			next()
		}
	}
}

// compares tells whether the last rehearsal's comparison goes on.
func (w *world) compares() (yes bool) {
	w.note(func() {
		if n := len(w.rehearsals); n > 0 {
			last := w.rehearsals[n-1]
			yes = last.Outcome.Rehearsed && last.Verification == nil
		}
	})
	return yes
}

func (w *world) rehearse() { w.signal(step.SignalRehearse) }

// An automatic switchover is rehearsed first, and comes only when the data were found identical.
func TestAutomaticSwitchoverIsRehearsed(t *testing.T) {
	auto := planWith(func(o *upgrade.Options) { o.Switch = upgrade.SwitchAuto })
	w := newWorld(t)
	w.ready = true
	if outcome := w.run(t, auto); outcome.Status != upgrade.StatusSucceeded {
		t.Errorf("outcome: %+v", outcome)
	}
	if diff := cmp.Diff([]int{1, 2}, w.verified); diff != "" {
		t.Errorf("attempts that were compared (-want +got):\n%s", diff)
	}
	if last := w.rehearsals[len(w.rehearsals)-1]; !last.Passed() {
		t.Errorf("rehearsal: %+v", last)
	}
	if len(w.verifications) != 1 || !w.verifications[0].Identical {
		t.Errorf("verification of the switchover: %+v", w.verifications)
	}
	phases := w.fromSynchronizing()
	rehearsal, switchover := slices.Index(phases, upgrade.PhaseRehearsal), slices.Index(phases, upgrade.PhaseSwitchover)
	if rehearsal < 0 || switchover < rehearsal {
		t.Errorf("phases: %v", phases)
	}
}

// Data that differ stop the automatic switchover, and any other one until a rehearsal passes.
func TestDifferentDataStopTheSwitchover(t *testing.T) {
	different := upgrade.Verification{Total: 1, Differences: []upgrade.Difference{{Kind: "rows", Object: "public.item", Detail: "1 row is missing"}}}
	w := newWorld(t)
	w.does[step.Verify] = func(n int) (any, error) {
		if n == 1 {
			return different, nil
		}
		return upgrade.Verification{Identical: true}, nil
	}
	switchIt := func() { w.signal(step.SignalSwitch) }
	w.whenSynchronizing(w.rehearse, switchIt, w.rehearse, switchIt)
	outcome := w.run(t, testPlan)
	if outcome.Status != upgrade.StatusSucceeded {
		t.Fatalf("outcome: %+v", outcome)
	}
	refused := "switchover: not switched, clients go on at the source: a rehearsal found that source and target differ"
	var warned bool
	for _, told := range w.told(upgrade.LevelWarning) {
		warned = warned || strings.Contains(strings.TrimPrefix(told, "synchronizing: "), strings.TrimPrefix(refused, "switchover: "))
	}
	if !warned {
		t.Errorf("warnings: %v", w.told(upgrade.LevelWarning))
	}
	if told := w.told(upgrade.LevelError); len(told) != 1 || !strings.Contains(told[0], "public.item: 1 row is missing") {
		t.Errorf("errors that were told: %v", told)
	}
}

// What was found is not forgotten because a later rehearsal fails, or is not compared to its end.
func TestDifferentDataAreRemembered(t *testing.T) {
	w := newWorld(t)
	w.does[step.Verify] = func(n int) (any, error) {
		if n == 1 {
			return upgrade.Verification{Total: 1}, nil
		}
		return upgrade.Verification{Problem: "the connection was lost"}, nil
	}
	w.does[step.SwitchOver] = func(n int) (any, error) {
		if n == 2 {
			return notSwitched("a session goes around the endpoint")
		}
		return upgrade.Switchover{Switched: true}, nil // if it comes to that
	}
	switchIt := func() { w.signal(step.SignalSwitch) }
	w.whenSynchronizing(w.rehearse, w.rehearse, switchIt, w.rehearse, switchIt)
	outcome := w.run(t, testPlan)
	if outcome.Status != upgrade.StatusCancelled || len(w.attempts) != 3 {
		t.Errorf("outcome %+v after %d attempts", outcome, len(w.attempts))
	}
	for i, r := range w.rehearsals {
		if i > 0 && r.Difference() == nil {
			t.Errorf("rehearsal %d has forgotten: %+v", i, r)
		}
	}
}

func TestAutomaticSwitchoverStopsAtDifferentData(t *testing.T) {
	w := newWorld(t)
	w.ready = true
	w.does[step.Verify] = func(int) (any, error) { return upgrade.Verification{Total: 1}, nil }
	w.env.RegisterDelayedCallback(func() { w.signal(step.SignalCancel) }, time.Hour)
	outcome := w.run(t, planWith(func(o *upgrade.Options) { o.Switch = upgrade.SwitchAuto }))
	if outcome.Status != upgrade.StatusCancelled || slices.Contains(w.phases, upgrade.PhaseSwitchover) {
		t.Errorf("outcome %+v, phases %v", outcome, w.phases)
	}
	told := w.told(upgrade.LevelWarning)
	if len(told) == 0 || !strings.Contains(told[len(told)-1], "waiting for `pgleap switchover shop switch`") {
		t.Errorf("warnings: %v", told)
	}
}

// A rehearsal that fails is told, and leads back to synchronizing.
func TestRehearsalThatFails(t *testing.T) {
	w := newWorld(t)
	w.does[step.SwitchOver] = func(int) (any, error) { return notSwitched("a transaction stayed open") }
	w.whenSynchronizing(w.rehearse)
	outcome := w.run(t, testPlan)
	if outcome.Status != upgrade.StatusCancelled || len(w.verified) != 0 || len(w.rehearsals) != 1 || w.rehearsals[0].Outcome.Rehearsed {
		t.Errorf("outcome %+v, compared %v, rehearsals %+v", outcome, w.verified, w.rehearsals)
	}
	if told := w.told(upgrade.LevelWarning); len(told) != 1 || !strings.Contains(told[0], "the rehearsal failed, clients go on at the source: a transaction stayed open") {
		t.Errorf("warnings: %v", told)
	}
}

// The user need not wait for a comparison: it is ended before anything else is done.
func TestSwitchDuringComparison(t *testing.T) {
	w := newWorld(t)
	w.does[step.Verify] = func(n int) (any, error) {
		if n == 1 {
			return pending(n)
		}
		return upgrade.Verification{Identical: true}, nil
	}
	w.entered = func(phase upgrade.Phase) {
		switch {
		case phase != upgrade.PhaseSynchronizing:
		case w.compares():
			w.signal(step.SignalSwitch)
		default:
			w.rehearse()
		}
	}
	outcome := w.run(t, testPlan)
	if outcome.Status != upgrade.StatusSucceeded {
		t.Errorf("outcome: %+v", outcome)
	}
	last := w.rehearsals[len(w.rehearsals)-1]
	if last.Verification == nil || last.Verification.Problem == "" || last.Difference() != nil {
		t.Errorf("rehearsal: %+v", last)
	}
}

// What is wrong with a comparison after the switchover is told, and changes nothing.
func TestVerificationOfTheSwitchoverThatFails(t *testing.T) {
	w := newWorld(t)
	w.switchWhenSynchronizing()
	w.does[step.Verify] = refuse("the connection was lost")
	outcome := w.run(t, testPlan)
	if outcome.Status != upgrade.StatusSucceeded || len(w.verifications) != 1 || w.verifications[0].Problem != "the connection was lost" {
		t.Errorf("outcome %+v, verifications %+v", outcome, w.verifications)
	}
}
