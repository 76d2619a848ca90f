package catalog

import (
	"slices"
	"time"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// The spans of a task follow each other without gaps, and only the last one can be open. The times
// come from several hosts, whose clocks differ: a time before the last known one is taken for it.

// enter closes the open span and opens the next one.
func enter(spans []upgrade.PhaseSpan, phase upgrade.Phase, at time.Time) []upgrade.PhaseSpan {
	spans, at = leave(spans, at)
	return append(spans, upgrade.PhaseSpan{Phase: phase, StartedAt: at})
}

// leave closes the open span, and returns the time that it ended at.
func leave(spans []upgrade.PhaseSpan, at time.Time) ([]upgrade.PhaseSpan, time.Time) {
	if len(spans) == 0 {
		return nil, at
	}
	spans = slices.Clone(spans)
	last := &spans[len(spans)-1]
	at = latest(at, last.StartedAt)
	last.EndedAt = &at
	return spans, at
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
