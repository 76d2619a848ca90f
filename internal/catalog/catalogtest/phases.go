package catalogtest

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/pgleap/pgleap/internal/catalog"
	"github.com/pgleap/pgleap/internal/upgrade"
)

func phases(t *testing.T, open func(t *testing.T) *catalog.Catalog) {
	t.Run("follow each other", func(t *testing.T) {
		c := withInstances(t, open(t), orders())
		created(t, c, anUpgrade("orders"))
		for i, phase := range []upgrade.Phase{
			upgrade.PhaseSynchronizing, upgrade.PhaseSwitchover, upgrade.PhaseSwitchover, upgrade.PhaseSynchronizing,
		} {
			must(t, c.EnterPhase(t.Context(), 1, phase, after(i)))
		}
		task := taskNow(t, c, 1)
		second, fourth := keptAfter(1), keptAfter(3)
		same(t, "phase", task.Phase, upgrade.PhaseSynchronizing)
		same(t, "spans", task.Phases, []upgrade.PhaseSpan{
			{Phase: upgrade.PhaseSynchronizing, StartedAt: kept, EndedAt: &second},
			{Phase: upgrade.PhaseSwitchover, StartedAt: second, EndedAt: &fourth},
			{Phase: upgrade.PhaseSynchronizing, StartedAt: fourth},
		})
	})

	// The times come from clocks that differ, so they may go back.
	t.Run("never overlap, whatever the clocks say", func(t *testing.T) {
		c := withInstances(t, open(t), orders())
		seed := rand.Uint64() //nolint:gosec // a test draws its cases from it
		t.Logf("seed %d", seed)
		random := rand.New(rand.NewPCG(seed, 0)) //nolint:gosec // so that a failure can be repeated
		for range 5 {
			task := created(t, c, anUpgrade("orders"))
			for range 12 {
				phase := upgrade.Phases()[random.IntN(len(upgrade.Phases()))]
				must(t, c.EnterPhase(t.Context(), task.Number, phase, after(random.IntN(200)-100)))
				checkSpans(t, taskNow(t, c, task.Number))
			}
			outcome := upgrade.Outcome{Status: upgrade.StatusCancelled}
			must(t, c.EndTask(t.Context(), task.Number, outcome, after(random.IntN(200)-100)))
			checkSpans(t, taskNow(t, c, task.Number))
		}
	})
}

// checkSpans holds for every task at any moment: its spans are ordered and touch each other, only
// the last one of a running task is open, and the last one is the task's phase.
func checkSpans(t *testing.T, task upgrade.Task) {
	t.Helper()
	before := time.Time{}
	for i, span := range task.Phases {
		last := i == len(task.Phases)-1
		switch {
		case i > 0 && !span.StartedAt.Equal(before), i > 0 && span.Phase == task.Phases[i-1].Phase:
			t.Errorf("span %d does not follow the one before: %+v", i, task.Phases)
		case (span.EndedAt == nil) != (last && !task.Status.Ended()):
			t.Errorf("span %d of a %s task should be open or closed, and is not: %+v", i, task.Status, task.Phases)
		case span.EndedAt != nil && span.EndedAt.Before(span.StartedAt):
			t.Errorf("span %d ends before it starts: %+v", i, task.Phases)
		case last && span.Phase != task.Phase:
			t.Errorf("the task is in phase %q, its last span is %+v", task.Phase, span)
		}
		if span.EndedAt != nil {
			before = *span.EndedAt
		}
	}
	if task.EndedAt != nil && !task.EndedAt.Equal(before) {
		t.Errorf("the task ended at %s, its last span at %s", task.EndedAt, before)
	}
}
