package main

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"time"

	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/test/harness"
)

// report is what a demonstration comes to. Its JSON is read by programs: see the README.
type report struct {
	Source     string `json:"source"`
	Target     string `json:"target"`
	Databases  int    `json:"databases"`
	DataBytes  int64  `json:"data_bytes"`
	Clients    int    `json:"clients"`
	Statistics string `json:"statistics"`

	Transactions int     `json:"transactions"` // that clients began
	Acknowledged int     `json:"acknowledged"`
	Failed       int     `json:"failed"` // not acknowledged, whatever became of them
	Lost         int     `json:"lost"`   // acknowledged and not there
	Duplicated   int     `json:"duplicated"`
	Unexpected   int     `json:"unexpected"` // there, but rolled back or made by nobody
	Problems     int     `json:"problems"`   // further claims that do not hold
	Rate         float64 `json:"tps"`

	PauseMS          float64            `json:"pause_ms"` // as the clients saw it: the larger of the next two
	LongestLatencyMS float64            `json:"longest_latency_ms"`
	LongestGapMS     float64            `json:"longest_gap_ms"`
	ServerPauseMS    float64            `json:"server_pause_ms"` // from the first PAUSE to the last RESUME
	PauseStepsMS     map[string]float64 `json:"pause_steps_ms"`
	LatencyMS        map[string]float64 `json:"latency_ms"` // quantiles over the whole time

	Trips []trip `json:"trips"` // of the clients: to the target, back, and to the target again

	PhaseSeconds  map[string]float64 `json:"phase_s"`
	SetUpSeconds  float64            `json:"set_up_s"`
	UpgradeTotal  float64            `json:"upgrade_s"`
	VerifySeconds float64            `json:"verify_s"`
	TotalSeconds  float64            `json:"total_s"`

	steps []upgrade.StepDuration // in order
}

// trip is a switchover, or a switchback.
type trip struct {
	Back          bool    `json:"back"`
	PauseMS       float64 `json:"pause_ms"` // as the clients saw it
	ServerPauseMS float64 `json:"server_pause_ms"`
}

func (r *report) fillTrips(trips []upgrade.Switchover, s harness.Summary) {
	for _, t := range trips {
		seen := s.PauseBetween(t.StartedAt, t.EndedAt).Seen()
		r.Trips = append(r.Trips, trip{Back: t.Back, PauseMS: millis(seen), ServerPauseMS: millis(t.Pause)})
	}
}

// fill takes the numbers from where they come from.
func (r *report) fill(task upgrade.Task, now upgrade.Instance, s harness.Summary, v *harness.Verdict) {
	pause := s.PauseBetween(task.Switchover.StartedAt, task.Switchover.EndedAt)
	r.Target, r.Databases, r.Clients = now.Cluster.Version.String(), 2, count(clients)
	r.Statistics = string(task.Plan.Options.Statistics)
	r.Transactions, r.Acknowledged = len(s.Samples), s.Count(harness.Acknowledged)
	r.Failed = r.Transactions - r.Acknowledged
	r.Lost, r.Duplicated, r.Unexpected, r.Problems = v.Lost, v.Duplicated, v.Unexpected, len(v.Problems)
	r.Rate = math.Round(float64(r.Acknowledged)/s.Duration.Seconds()*10) / 10
	r.PauseMS, r.LongestLatencyMS, r.LongestGapMS = millis(pause.Seen()), millis(pause.Longest), millis(pause.Gap)
	r.ServerPauseMS = millis(task.Switchover.Pause)
	r.PauseStepsMS, r.steps = map[string]float64{}, task.Switchover.Steps
	for _, step := range r.steps {
		r.PauseStepsMS[step.Step] += millis(step.Duration)
	}
	r.LatencyMS = map[string]float64{
		"p50": millis(s.Latency(0.5)), "p95": millis(s.Latency(0.95)), "p99": millis(s.Latency(0.99)), "max": millis(s.Latency(1)),
	}
	r.PhaseSeconds = map[string]float64{}
	for _, span := range task.Phases {
		if span.EndedAt != nil {
			r.PhaseSeconds[string(span.Phase)] += seconds(span.EndedAt.Sub(span.StartedAt))
		}
	}
	if task.EndedAt != nil {
		r.UpgradeTotal = seconds(task.EndedAt.Sub(task.StartedAt))
	}
}

// summarize prints the numbers that matter.
func (d *demo) summarize() {
	r := &d.report
	r.TotalSeconds = seconds(time.Since(d.begun))
	d.title("PostgreSQL %s is now %s", r.Source, r.Target)
	d.say("transactions   %d (%.0f/s), failed %d", r.Transactions, r.Rate, r.Failed)
	d.say("acknowledged   %d: lost %d, duplicated %d, unexpected %d; other problems %d", r.Acknowledged, r.Lost, r.Duplicated, r.Unexpected, r.Problems)
	for _, t := range r.Trips {
		way := "to the target"
		if t.Back {
			way = "back to the source"
		}
		d.say("pause          %-20s %6.1f ms as the clients saw it, %6.1f ms from PAUSE to RESUME", way, t.PauseMS, t.ServerPauseMS)
	}
	d.say("               in the last one the longest transaction took %.1f ms, and for %.1f ms none ended; step by step:", r.LongestLatencyMS, r.LongestGapMS)
	for _, step := range r.steps {
		d.say("   %-12s %8.1f ms%s", step.Step, millis(step.Duration), map[string]string{"turn": ", while clients work"}[step.Step])
	}
	d.say("latency        median %.1f ms, p99 %.1f ms over the whole time", r.LatencyMS["p50"], r.LatencyMS["p99"])
	d.say("time           %.0f s in all: set-up %.0f s, upgrade %.0f s, proof %.0f s", r.TotalSeconds, r.SetUpSeconds, r.UpgradeTotal, r.VerifySeconds)
}

func (r *report) write(path string) error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	if err := os.WriteFile(path, append(text, '\n'), 0o644); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}

func millis(d time.Duration) float64  { return math.Round(d.Seconds()*1e4) / 10 }
func seconds(d time.Duration) float64 { return math.Round(d.Seconds()*100) / 100 }
