package upgrade

import "time"

// Comparison is an estimate beside what came true of it. It is made when an upgrade has succeeded.
type Comparison struct {
	Report   int64            `json:"report"` // the number of the report with the estimate
	Estimate Estimate         `json:"estimate"`
	Phases   []PhaseCompared  `json:"phases"`
	Total    DurationCompared `json:"total"` // of these phases
	Pause    DurationCompared `json:"pause"`
}

// PhaseCompared is the time that a phase was to take, and took.
type PhaseCompared struct {
	Phase Phase `json:"phase"`
	DurationCompared
}

// DurationCompared is an estimated duration and the true one.
type DurationCompared struct {
	Estimated time.Duration `json:"estimated"`
	Actual    time.Duration `json:"actual"`
}

// Compare lays the truth beside the estimate of a report. A phase that was entered several times counts with
// all of them.
func Compare(r Report, t Task) *Comparison {
	if r.Estimate == nil {
		return nil
	}
	took := map[Phase]time.Duration{}
	for _, span := range t.Phases {
		if span.EndedAt != nil {
			took[span.Phase] += span.EndedAt.Sub(span.StartedAt)
		}
	}
	c := &Comparison{Report: r.Number, Estimate: *r.Estimate, Pause: DurationCompared{Estimated: r.Estimate.Pause}}
	c.Estimate.Ways = nil // the other ways were not taken
	for _, p := range r.Estimate.Phases {
		compared := DurationCompared{Estimated: p.Duration, Actual: took[p.Phase]}
		c.Phases = append(c.Phases, PhaseCompared{p.Phase, compared})
		c.Total.Estimated += compared.Estimated
		c.Total.Actual += compared.Actual
	}
	if t.Switchover != nil {
		c.Pause.Actual = t.Switchover.Pause
	}
	return c
}
