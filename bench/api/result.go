package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// The bars.
const (
	maxP99    = 10 // milliseconds
	minRatio  = 0.5
	maxGrowth = 1.5
)

// result is what is printed.
type result struct {
	Tasks     int             `json:"tasks"`
	Few       int             `json:"few_tasks"`
	Instances int             `json:"instances"`
	Rate      int             `json:"rate"`
	Seconds   int             `json:"seconds"`
	Rounds    int             `json:"rounds"`
	Clients   int             `json:"clients"`
	Engines   []engineFigures `json:"engines"`
}

type engineFigures struct {
	Engine    string    `json:"engine"`
	SetUp     float64   `json:"set_up_seconds"`
	Questions []figures `json:"questions"`
}

// figures are those of one question about some instances. What is of several rounds is a median.
type figures struct {
	Question    string  `json:"question"`
	Cloud       string  `json:"cloud"`
	Instances   string  `json:"instances"`
	AnswerBytes int     `json:"answer_bytes"`
	Latency     spread  `json:"latency_ms"`
	Stolen      float64 `json:"stolen_percent"`           // of the processors' time, by the machine's host, in the meantime
	ServerShare float64 `json:"server_percent_of_a_core"` // while latency was measured, with the engine
	ClientShare float64 `json:"client_percent_of_a_core"`
	PerSecond   float64 `json:"requests_per_second"`
	Bare        float64 `json:"bare_requests_per_second"`
	Ratio       float64 `json:"ratio"`
	// The costs of a request, in microseconds of processor time: of server and engine, of the bare
	// handler, of this program, and those that growth compares.
	Cost     float64 `json:"cost_us"`
	BareCost float64 `json:"bare_cost_us"`
	OwnCost  float64 `json:"client_cost_us"`
	FewCost  float64 `json:"few_tasks_cost_us"`
	ManyCost float64 `json:"many_tasks_cost_us"`
	Growth   float64 `json:"growth"`
}

type spread struct {
	P50 float64 `json:"p50"`
	P99 float64 `json:"p99"`
	Max float64 `json:"max"`
}

// spreadOf is of durations in order.
func spreadOf(sorted []time.Duration) spread {
	at := func(quantile float64) float64 { // nearest rank
		i := int(math.Ceil(quantile*float64(len(sorted)))) - 1
		return float64(sorted[max(0, i)].Microseconds()) / 1000
	}
	return spread{P50: at(0.5), P99: at(0.99), Max: at(1)}
}

// sumUp takes the rounds, each with the samples of the contestants: the large catalogue, the bare
// handler, the small catalogue, and perhaps the large one once more as it is compared with the small one.
func (f *figures) sumUp(rounds [][]sample) {
	median := func(value func(r []sample) float64) float64 {
		values := make([]float64, len(rounds))
		for i, r := range rounds {
			values[i] = value(r)
		}
		slices.Sort(values)
		return (values[(len(values)-1)/2] + values[len(values)/2]) / 2
	}
	f.PerSecond = median(func(r []sample) float64 { return r[0].perSecond })
	f.Bare = median(func(r []sample) float64 { return r[1].perSecond })
	f.Ratio = median(func(r []sample) float64 { return r[0].perSecond / r[1].perSecond })
	f.Cost = median(func(r []sample) float64 { return r[0].cost })
	f.BareCost = median(func(r []sample) float64 { return r[1].cost })
	f.OwnCost = median(func(r []sample) float64 { return r[0].client })
	if len(rounds[0]) == 2 {
		return
	}
	many := func(r []sample) sample {
		if len(r) > 3 {
			return r[3]
		}
		return r[0]
	}
	f.FewCost = median(func(r []sample) float64 { return r[2].cost })
	f.ManyCost = median(func(r []sample) float64 { return many(r).cost })
	f.Growth = median(func(r []sample) float64 { return many(r).cost / r[2].cost })
}

// missed tells which bars were not met.
func (r result) missed() error {
	var said []error
	for _, e := range r.Engines {
		for _, f := range e.Questions {
			miss := func(format string, args ...any) {
				said = append(said, fmt.Errorf("%s, %s, %s: "+format, append([]any{e.Engine, f.Question, f.Instances}, args...)...))
			}
			if f.Latency.P99 >= maxP99 {
				miss("p99 %.1f ms, not below %d, with %.1f %% of the processors' time stolen", f.Latency.P99, maxP99, f.Stolen)
			}
			if f.Ratio < minRatio {
				miss("%.2f times the throughput of the bare handler, less than %.1f", f.Ratio, minRatio)
			}
			if f.Growth > maxGrowth {
				miss("%.2f times the cost with few tasks, more than %.1f", f.Growth, maxGrowth)
			}
		}
	}
	if len(said) > 0 {
		return fmt.Errorf("bars missed:\n%w", errors.Join(said...))
	}
	return nil
}

func (r result) write(file string) error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(text, '\n'), 0o644)
}

func (r result) print(out io.Writer) error {
	fmt.Fprintf(out, "%d upgrades of %d instances; latency in ms at %d requests/s for %d s; throughput of %d connections,\n"+
		"medians of %d rounds; cost in microseconds of processor time for a request, client apart\n\n",
		r.Tasks, min(r.Instances, newFixture(r.Tasks).active), r.Rate, r.Seconds, r.Clients, r.Rounds)
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(table, "engine\tquestion\tinstances\tbytes\tp50\tp99\tmax\tstolen\t1/s\tbare 1/s\tratio\tcost\tbare\tclient\t"+
		fmt.Sprintf("at %d\tat %d\tgrowth\t\n", r.Few, r.Tasks))
	for _, e := range r.Engines {
		for _, f := range e.Questions {
			cells := []string{e.Engine, f.Question, f.Instances, fmt.Sprint(f.AnswerBytes)}
			for _, value := range []float64{f.Latency.P50, f.Latency.P99, f.Latency.Max} {
				cells = append(cells, fmt.Sprintf("%.2f", value))
			}
			cells = append(cells, fmt.Sprintf("%.1f %%", f.Stolen))
			cells = append(cells, fmt.Sprintf("%.0f\t%.0f\t%.2f", f.PerSecond, f.Bare, f.Ratio),
				fmt.Sprintf("%.0f\t%.0f\t%.0f", f.Cost, f.BareCost, f.OwnCost), fmt.Sprintf("%.0f\t%.0f\t%.2f", f.FewCost, f.ManyCost, f.Growth))
			fmt.Fprint(table, strings.Join(cells, "\t")+"\t\n")
		}
	}
	return table.Flush()
}
