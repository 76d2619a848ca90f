package flow

import (
	"slices"
	"strings"
	"testing"
	"time"

	"go.temporal.io/sdk/activity"

	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/internal/upgrade/step"
)

// takeAway takes the record away. The test environment tries an activity ten times, however long a night is.
func (w *world) takeAway() {
	until := w.env.Now().Add(night)
	w.away = func() bool { return w.env.Now().Before(until) }
}

const night = 3 * recordPatience

// before tells whether a was called, and b only after it.
func (w *world) before(a, b string) bool {
	first, then := slices.Index(w.calls, a), slices.Index(w.calls, b)
	return first >= 0 && (then < 0 || first < then)
}

// The slots of an upgrade that ends go though the record is away for a night, and then it gets to know everything.
func TestARecordThatIsAwayKeepsNoSlots(t *testing.T) {
	w := newWorld(t)
	var gone, undone, ended time.Time
	w.does[step.Synchronize] = func(n int) (any, error) {
		w.takeAway()
		gone = w.env.Now()
		return refuse("the source keeps 20 GiB for the upgrade")(n)
	}
	w.does[step.Discard] = func(int) (any, error) {
		undone = w.env.Now()
		return step.Done{Events: []upgrade.Event{{Level: upgrade.LevelInfo, Text: "undone"}}}, nil
	}
	w.does[step.EndTask] = func(int) (any, error) {
		ended = w.env.Now()
		return nil, nil
	}
	outcome := w.run(t, planWith(manual))
	if outcome.Status != upgrade.StatusFailed || undone.Sub(gone) > recordPatience || ended.Sub(gone) < night {
		t.Errorf("outcome %+v, undone after %s, ended after %s", outcome, undone.Sub(gone), ended.Sub(gone))
	}
	if w.phases[len(w.phases)-1] != upgrade.PhaseCleanup || w.events[len(w.events)-1].Text != "undone" ||
		w.events[len(w.events)-2].Text != outcome.Reason {
		t.Errorf("recorded: phases %v, events %v", w.phases, w.events)
	}
}

// Nor does it keep the way back from being opened, and watched.
func TestARecordThatIsAwayAfterTheSwitch(t *testing.T) {
	w := newWorld(t)
	w.does[step.SwitchOver] = func(int) (any, error) {
		w.takeAway()
		return upgrade.Switchover{Switched: true}, nil
	}
	followed := false
	w.does[step.Synchronize] = func(int) (any, error) {
		if w.away != nil {
			followed = w.away()
			w.env.RegisterDelayedCallback(func() { w.signal(step.SignalFinish) }, 2*night)
		}
		return nil, activity.ErrResultPending
	}
	w.script(w.says(step.SignalSwitch))
	outcome := w.run(t, returningPlan)
	if outcome.Status != upgrade.StatusSucceeded || !followed || len(w.moves) != 2 || !w.before(step.OpenWayBack, step.MoveInstance) {
		t.Errorf("outcome %+v, followed %t, moves %v, calls %v", outcome, followed, w.moves, w.calls)
	}
	if !slices.Equal(w.phases[len(w.phases)-2:], []upgrade.Phase{upgrade.PhaseFollowing, upgrade.PhaseFinishing}) {
		t.Errorf("phases %v", w.phases)
	}
}

// An instance that cannot be recorded at the target, since another one is there, keeps the upgrade from nothing.
func TestAnInstanceThatIsNotMoved(t *testing.T) {
	w := newWorld(t)
	w.does[step.MoveInstance] = refuse("/data/17 is the cluster of instance \"stray\" already")
	w.script(w.says(step.SignalSwitch), nothing, w.says(step.SignalFinish))
	outcome := w.run(t, returningPlan)
	told := w.told(upgrade.LevelError)
	if outcome.Status != upgrade.StatusSucceeded || len(told) != 2 || !strings.Contains(told[0], "stray") ||
		!w.before(step.FenceForGood, step.Finish) || !w.before(step.OpenWayBack, step.Finish) {
		t.Errorf("outcome %+v, told %v, calls %v", outcome, told, w.calls)
	}
}

// A workflow that the engine took so late that its task has ended does nothing: another upgrade may run by now.
func TestAWorkflowWhoseTaskIsOverDoesNothing(t *testing.T) {
	for name, run := range map[string]func(*world){
		"zero-downtime": func(w *world) { w.env.ExecuteWorkflow(ZeroDowntime, testPlan) },
		"blue-green":    func(w *world) { w.env.ExecuteWorkflow(BlueGreen, step.BlueGreenArgs{Plan: testPlan}) },
		"in-place":      func(w *world) { w.env.ExecuteWorkflow(InPlace, step.InPlaceUpgradeArgs{Plan: testPlan}) },
		"the way back":  func(w *world) { w.env.ExecuteWorkflow(Return, step.ReturnArgs{Plan: testPlan}) },
	} {
		w := newWorld(t)
		w.over = true
		run(w)
		if err := w.env.GetWorkflowError(); err != nil || len(w.calls)+len(w.keys) != 0 {
			t.Errorf("%s: %v, calls %v, %d records", name, err, w.calls, len(w.keys))
		}
	}
}
