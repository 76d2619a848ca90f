package flow

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
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
		{"a dead agent", temporal.NewTimeoutError(enums.TIMEOUT_TYPE_HEARTBEAT, nil), "nothing was heard from the agent: "},
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

func TestVerificationEvent(t *testing.T) {
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	ended := at.Add(2 * time.Second)
	for _, c := range []struct {
		name         string
		verification upgrade.Verification
		level        upgrade.Level
		text         string
	}{
		{
			"identical",
			upgrade.Verification{Identical: true, Tables: 3, Rows: 10, Bytes: 5 << 20},
			upgrade.LevelInfo,
			"both sides were identical when they stood still: 3 tables (10 rows, 5 MiB) in 2s",
		},
		{
			"different",
			upgrade.Verification{Tables: 3, Total: 1, Differences: []upgrade.Difference{
				{Kind: "rows", Database: "shop", Object: "public.item", Detail: "1 row differs", Keys: "changed id=7 in price"},
			}},
			upgrade.LevelError,
			"both sides differed when they stood still, in 1 objects of 3 tables (0 rows, 0 MiB) in 2s: " +
				"shop, rows public.item: 1 row differs", // its key is data
		},
		{
			"not all of it",
			upgrade.Verification{Tables: 3, NotCompared: []string{"shop, public.big: the snapshot is too old"}},
			upgrade.LevelWarning,
			"nothing differed in 3 tables (0 rows, 0 MiB) in 2s, but 1 objects were not compared: shop, public.big: the snapshot is too old",
		},
		{
			"not done",
			upgrade.Verification{Problem: "no snapshot"},
			upgrade.LevelWarning,
			"the verification could not be carried out: no snapshot",
		},
	} {
		c.verification.StartedAt, c.verification.EndedAt = at, ended
		want := upgrade.Event{At: at, Level: c.level, Phase: upgrade.PhaseSynchronizing, Text: c.text}
		if diff := cmp.Diff(want, verificationEvent(at, c.verification)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}

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
	undone := func(int) (any, error) {
		return step.Done{Events: []upgrade.Event{{Level: upgrade.LevelInfo, Phase: upgrade.PhaseCleanup, Text: "undone"}}}, nil
	}
	atTarget := refuse("clients write to the target")
	const nothingUndone = "cleaning up: nothing is undone: clients write to the target"
	finished := []string{step.Discard, step.FenceForGood, step.Finish, step.MoveInstance, step.BuildStandbys, step.AmendTask}
	there := upgrade.Switchover{Switched: true, Pause: time.Second}
	for _, c := range []struct {
		name      string
		mode      upgrade.Mode
		options   func(*upgrade.Options)
		does      func(*world)
		level     upgrade.Level
		told      []string
		calls     []string
		goingBack bool
	}{
		{
			"the host undoes it", upgrade.ZeroDowntime, nil, func(w *world) { w.does[step.Discard] = undone },
			upgrade.LevelInfo,
			[]string{"cleaning up: undone"},
			[]string{step.Discard},
			false,
		},
		{
			"the host undoes it, on the way back", upgrade.ZeroDowntime, nil, func(w *world) { w.does[step.Discard] = undone },
			upgrade.LevelInfo,
			[]string{"cleaning up: undone"},
			[]string{step.Discard, step.MoveInstance},
			true,
		},
		{
			"clients are on the target: it is finished", upgrade.ZeroDowntime, nil, func(w *world) { w.does[step.Discard] = atTarget },
			upgrade.LevelWarning,
			[]string{nothingUndone},
			finished, true,
		},
		{
			"with statistics, if they were to come after the switchover", upgrade.ZeroDowntime,
			func(o *upgrade.Options) { o.Statistics = upgrade.StatisticsAfter }, func(w *world) { w.does[step.Discard] = atTarget },
			upgrade.LevelWarning,
			[]string{nothingUndone},
			slices.Insert(slices.Clone(finished), 2, step.CollectStatistics), false,
		},
		{
			"a clone that clients were switched to has its extensions brought up too", upgrade.BlueGreen,
			func(o *upgrade.Options) { o.Statistics = upgrade.StatisticsAfter }, func(w *world) { w.does[step.Discard] = atTarget },
			upgrade.LevelWarning,
			[]string{nothingUndone},
			slices.Insert(slices.Clone(finished), 2, step.UpdateExtensions, step.CollectStatistics), false,
		},
		{
			"what is refused for another reason leaves the instance where it is", upgrade.ZeroDowntime, nil, func(w *world) {
				w.does[step.Discard], w.does[step.Finish] = refuse("there is no such user"), refuse("clients are at the source")
			},
			upgrade.LevelError,
			[]string{"finishing: clients are at the source"},
			finished[:3], false,
		},
		{
			"an outage that is over is followed by all that follows one", upgrade.InPlace, nil, func(w *world) {
				w.does[step.Discard], w.settled = atTarget, served
			},
			upgrade.LevelWarning,
			[]string{nothingUndone},
			slices.Concat([]string{step.Discard, "settle"}, afterOutage[:len(afterOutage)-1], []string{step.AmendTask}), false,
		},
		{
			"an outage that was not, and cannot be discarded now, is not", upgrade.InPlace, nil, func(w *world) {
				w.does[step.Discard], w.settled = refuse("there is no such user"), upgrade.Switchover{Reason: "interrupted before it began"}
			},
			upgrade.LevelWarning,
			[]string{"cleaning up: nothing is undone: there is no such user"},
			[]string{step.Discard, "settle"},
			false,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newInPlaceWorld(t)
			w.does[step.Finish] = func(int) (any, error) { return step.FinishResult{Switchover: &there}, nil }
			c.does(w)
			plan := testPlan
			if c.options != nil {
				plan = planWith(c.options)
			}
			plan.Mode = c.mode
			w.env.ExecuteWorkflow(Cleanup, plan, c.goingBack, step.Lost{})
			if err := w.env.GetWorkflowError(); err != nil {
				t.Fatal(err)
			}
			if told := w.told(c.level); !slices.Equal(told, c.told) {
				t.Errorf("told: %v", told)
			}
			for _, key := range w.keys {
				if _, err := strconv.Atoi(key); err == nil {
					t.Errorf("key %s is one of the upgrade's own", key)
				}
			}
			if !slices.Equal(w.calls, c.calls) || len(w.ends) != 0 {
				t.Errorf("calls: %v", w.calls)
			}
			if len(w.phases) != 0 {
				t.Errorf("phases of a task that has ended: %v", w.phases)
			}
			for _, outcome := range w.amended {
				if outcome.Status != upgrade.StatusSucceeded || outcome.Reason == "" || outcome.Switchover == nil || !outcome.Switchover.Switched {
					t.Errorf("it is said to have ended so: %+v", outcome)
				}
			}
		})
	}
}
