package flow

import (
	"errors"
	"fmt"
	"strconv"
	"testing"
	"time"

	enums "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/temporal"

	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/internal/upgrade/step"
)

func nonRetryable(text string) error {
	return temporal.NewNonRetryableApplicationError(text, "Refused", nil)
}

func TestSentence(t *testing.T) {
	for _, c := range []struct {
		name string
		err  error
		want string
	}{
		{"none", nil, ""},
		{"what a step said", fmt.Errorf("activity error: %w", nonRetryable("port 5433 is taken; choose another")), "port 5433 is taken; choose another"},
		{"a cancel", temporal.NewCanceledError(), "cancelled"},
		{"a dead agent", temporal.NewTimeoutError(enums.TIMEOUT_TYPE_HEARTBEAT, nil), "the agent was not heard of: "},
		{"anything else", errors.New("boom"), "boom"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := sentence(c.err)
			if c.name == "a dead agent" {
				got = got[:min(len(got), len(c.want))]
			}
			if got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestComparisonEvent(t *testing.T) {
	for _, c := range []struct {
		name       string
		comparison upgrade.Comparison
		level      upgrade.Level
		text       string
	}{
		{
			"alike",
			upgrade.Comparison{Tables: 3, Rows: 10, Skipped: 1},
			upgrade.LevelInfo,
			"row counts of 3 tables (10 rows) were the same on both sides when they stood still; 1 tables were left out",
		},
		{
			"different",
			upgrade.Comparison{Different: []string{"a.b has 1 row, not 2", "a.c is missing"}},
			upgrade.LevelError,
			"row counts differ: a.b has 1 row, not 2; a.c is missing",
		},
		{"not done", upgrade.Comparison{Problem: "no snapshot"}, upgrade.LevelWarning, "row counts could not be compared: no snapshot"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := comparisonEvent(time.Time{}, c.comparison)
			if got.Level != c.level || got.Text != c.text {
				t.Errorf("got %s %q", got.Level, got.Text)
			}
		})
	}
}

// A precheck touches nothing, so whatever comes of it is only written down.
func TestPrecheckWorkflow(t *testing.T) {
	args := step.PrecheckArgs{Number: 9, ID: "x", Plan: testPlan}
	run := func(t *testing.T, w *world) upgrade.Report {
		t.Helper()
		w.env.ExecuteWorkflow(Precheck, args)
		var report upgrade.Report
		if err := w.env.GetWorkflowResult(&report); err != nil {
			t.Fatal(err)
		}
		return report
	}
	t.Run("it stores the report", func(t *testing.T) {
		w := newWorld(t)
		w.report = upgrade.Report{Number: 9, Findings: []upgrade.Finding{{Severity: upgrade.Blocker}}}
		if report := run(t, w); report.Number != 9 || w.ends[0].Status != upgrade.StatusSucceeded {
			t.Errorf("report %+v, ended %+v", report, w.ends)
		}
	})
	t.Run("it fails", func(t *testing.T) {
		w := newWorld(t)
		w.does[step.Precheck] = refuse("the source is down; start it")
		run(t, w)
		if w.ends[0].Status != upgrade.StatusFailed || w.ends[0].Reason != "the source is down; start it" {
			t.Errorf("ended %+v", w.ends)
		}
	})
	t.Run("it is cancelled", func(t *testing.T) {
		w := newWorld(t)
		w.does[step.Precheck] = w.signalAndStay(step.SignalCancel)
		run(t, w)
		if w.ends[0].Status != upgrade.StatusCancelled || w.counts[step.SaveReport] != 0 {
			t.Errorf("ended %+v, calls %v", w.ends, w.calls)
		}
	})
}

// What it records must not pass for a batch that the lost workflow has written.
func TestCleanup(t *testing.T) {
	for _, c := range []struct {
		name  string
		does  func(int) (any, error)
		level upgrade.Level
		text  string
	}{
		{"the host undoes it", func(int) (any, error) {
			return step.Done{Events: []upgrade.Event{{Level: upgrade.LevelInfo, Phase: upgrade.PhaseCleanup, Text: "undone"}}}, nil
		}, upgrade.LevelInfo, "cleaning up: undone"},
		{"the host refuses", refuse("clients write to the target"), upgrade.LevelError, "cleaning up: clients write to the target"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.does[step.Discard] = c.does
			w.env.ExecuteWorkflow(Cleanup, testPlan)
			if err := w.env.GetWorkflowError(); err != nil {
				t.Fatal(err)
			}
			if told := w.told(c.level); len(told) != 1 || told[0] != c.text {
				t.Errorf("told: %v", told)
			}
			for _, key := range w.keys {
				if _, err := strconv.Atoi(key); err == nil {
					t.Errorf("key %s is one of the upgrade's own", key)
				}
			}
			if len(w.calls) != 1 || len(w.ends) != 0 {
				t.Errorf("calls: %v", w.calls)
			}
		})
	}
}
