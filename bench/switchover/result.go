package main

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// The bars that ours has to meet (issue 1).
const (
	maxPause = 100 // milliseconds
	minRatio = 8
)

// result is what is printed. All times are in milliseconds.
type result struct {
	From      int     `json:"from"`
	To        int     `json:"to"`
	Rounds    int     `json:"rounds"`
	Rate      int     `json:"rate"`
	Clients   int     `json:"clients"`
	Ours      figures `json:"ours"`
	Naive     figures `json:"naive"`
	Usual     spread  `json:"usual_latency_ms"`     // of all transactions
	RatioSeen float64 `json:"ratio_client_latency"` // of the medians, naive to ours
	Ratio     float64 `json:"ratio_pause"`
}

// figures are those of one contestant.
type figures struct {
	Seen  spread `json:"client_latency_ms"`
	Pause spread `json:"pause_ms"`
	Steps []step `json:"steps_ms"`
}

type step struct {
	Name string `json:"step"`
	spread
}

type spread struct {
	Median float64 `json:"median"`
	P95    float64 `json:"p95"`
	Max    float64 `json:"max"`
}

func sumUp(o options, usual []time.Duration, ours, naive []round) result {
	r := result{From: o.from, To: o.to, Rounds: o.rounds, Rate: o.rate, Clients: o.clients, Usual: spreadOf(usual), Ours: figuresOf(ours), Naive: figuresOf(naive)}
	r.RatioSeen = r.Naive.Seen.Median / r.Ours.Seen.Median
	r.Ratio = r.Naive.Pause.Median / r.Ours.Pause.Median
	return r
}

func figuresOf(rounds []round) figures {
	var seen, pause []time.Duration
	var names []string
	steps := map[string][]time.Duration{}
	for _, r := range rounds {
		seen, pause = append(seen, r.Seen), append(pause, r.Pause)
		for _, s := range r.Steps {
			if !slices.Contains(names, s.Step) {
				names = append(names, s.Step)
			}
			steps[s.Step] = append(steps[s.Step], s.Duration)
		}
	}
	f := figures{Seen: spreadOf(seen), Pause: spreadOf(pause)}
	for _, name := range names {
		f.Steps = append(f.Steps, step{name, spreadOf(steps[name])})
	}
	return f
}

func spreadOf(durations []time.Duration) spread {
	sorted := slices.Sorted(slices.Values(durations))
	at := func(quantile float64) float64 { // nearest rank
		i := int(math.Ceil(quantile*float64(len(sorted)))) - 1
		return float64(sorted[max(0, i)].Microseconds()) / 1000
	}
	return spread{Median: at(0.5), P95: at(0.95), Max: at(1)}
}

// missed tells which bars were not met.
func (r result) missed() error {
	var said []string
	if r.Ours.Seen.Median > maxPause {
		said = append(said, fmt.Sprintf("clients waited %.0f ms, more than %d", r.Ours.Seen.Median, maxPause))
	}
	if ratio := min(r.Ratio, r.RatioSeen); ratio < minRatio {
		said = append(said, fmt.Sprintf("the naive recipe took %.1f times as long, less than %d", ratio, minRatio))
	}
	if len(said) == 0 {
		return nil
	}
	return fmt.Errorf("bars missed: %s", strings.Join(said, "; "))
}

func (r result) print(out io.Writer) error {
	fmt.Fprintf(out, "PostgreSQL %d to %d, %d rounds each in turn, %d transactions/s of %d clients; milliseconds\n", r.From, r.To, r.Rounds, r.Rate, r.Clients)
	fmt.Fprintf(out, "usual latency of a transaction: median %.1f, p95 %.1f\n\n", r.Usual.Median, r.Usual.P95)
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(table, "\tours: median\tp95\tmax\tnaive: median\tp95\tmax\tratio\t\n")
	row := func(name string, ours, naive *spread) {
		cells := []string{name}
		for _, s := range []*spread{ours, naive} {
			if s == nil {
				cells = append(cells, "", "", "")
				continue
			}
			for _, value := range []float64{s.Median, s.P95, s.Max} {
				cells = append(cells, fmt.Sprintf("%.1f", value))
			}
		}
		cells = append(cells, "")
		if ours != nil && naive != nil {
			cells[len(cells)-1] = fmt.Sprintf("%.1f", naive.Median/ours.Median)
		}
		fmt.Fprint(table, strings.Join(cells, "\t")+"\t\n")
	}
	row("longest latency of a client", &r.Ours.Seen, &r.Naive.Seen)
	row("PAUSE to RESUME", &r.Ours.Pause, &r.Naive.Pause)
	naive := map[string]*spread{}
	for i := range r.Naive.Steps {
		naive[r.Naive.Steps[i].Name] = &r.Naive.Steps[i].spread
	}
	for i := range r.Ours.Steps {
		s := &r.Ours.Steps[i]
		row(s.Name, &s.spread, naive[s.Name])
	}
	return table.Flush()
}
