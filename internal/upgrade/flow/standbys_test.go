package flow

import (
	"slices"
	"strings"
	"testing"

	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/internal/upgrade/step"
)

// Standbys that cannot be made are told, and the upgrade goes on; they are tried again when clients are at
// the target. Only who asked for it waits for them.
func TestStandbysThatCannotBeMade(t *testing.T) {
	w := newWorld(t)
	w.switchWhenSynchronizing()
	w.does[step.BuildStandbys] = refuse("no space left; make room")
	outcome := w.run(t, testPlan)
	if outcome.Status != upgrade.StatusSucceeded {
		t.Errorf("outcome: %+v", outcome)
	}
	if told := w.told(upgrade.LevelError); len(told) != 2 || !strings.Contains(told[0], "no space left") {
		t.Errorf("errors that were told: %q", told)
	}
	var serving []bool
	for _, args := range w.standbys {
		serving = append(serving, args.Serving)
		if args.Required {
			t.Error("a standby is required that nobody asked to wait for")
		}
	}
	if !slices.Equal(serving, []bool{false, true}) {
		t.Errorf("made while clients are at the target: %v", serving)
	}
}
