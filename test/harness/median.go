package harness

import (
	"slices"
	"time"
)

// Median is the middle one of some durations, of which there must be one at least.
func Median(durations []time.Duration) time.Duration {
	return slices.Sorted(slices.Values(durations))[len(durations)/2]
}
