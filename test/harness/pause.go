package harness

import (
	"slices"
	"time"
)

// Pause is a switchover as the clients saw it.
type Pause struct {
	// Longest is the longest time that one transaction took, of all that were under way during the
	// switchover: what the unluckiest client waited.
	Longest time.Duration
	// Gap is the longest time around the switchover in which no client got an acknowledgement.
	Gap time.Duration
	// Transactions is the number of those that were under way.
	Transactions int
}

// Seen is the larger of both.
func (p Pause) Seen() time.Duration { return max(p.Longest, p.Gap) }

// PauseBetween looks at the transactions that overlap a time, and at the gaps that do.
func (s Summary) PauseBetween(from, to time.Time) Pause {
	var p Pause
	var last time.Time // the acknowledgement before
	for _, sample := range s.Samples {
		if overlap(sample.Begun, sample.Ended, from, to) {
			p.Transactions++
			p.Longest = max(p.Longest, sample.Ended.Sub(sample.Begun))
		}
		if sample.Outcome != Acknowledged {
			continue
		}
		if !last.IsZero() && overlap(last, sample.Ended, from, to) {
			p.Gap = max(p.Gap, sample.Ended.Sub(last))
		}
		last = sample.Ended
	}
	return p
}

// Held is how long each transaction took that was under way at a moment, the end of a pause for example, in
// ascending order.
func (s Summary) Held(at time.Time) []time.Duration {
	var held []time.Duration
	for _, sample := range s.Samples {
		if overlap(sample.Begun, sample.Ended, at, at) {
			held = append(held, sample.Ended.Sub(sample.Begun))
		}
	}
	slices.Sort(held)
	return held
}

func overlap(begun, ended, from, to time.Time) bool { return !begun.After(to) && !ended.Before(from) }

// Latency returns a quantile of the latencies of all acknowledged transactions.
func (s Summary) Latency(quantile float64) time.Duration {
	var all []time.Duration
	for _, sample := range s.Samples {
		if sample.Outcome == Acknowledged {
			all = append(all, sample.Ended.Sub(sample.Begun))
		}
	}
	if len(all) == 0 {
		return 0
	}
	slices.Sort(all)
	return all[min(len(all)-1, int(quantile*float64(len(all))))]
}

// Count returns how many transactions had an outcome.
func (s Summary) Count(outcome Outcome) int {
	n := 0
	for _, sample := range s.Samples {
		if sample.Outcome == outcome {
			n++
		}
	}
	return n
}
