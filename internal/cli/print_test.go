package cli

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/pgleap/pgleap/internal/api/native/client"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// local makes the time of day that is printed the same everywhere.
func local(hour, minute, second int) time.Time {
	return time.Date(2026, 3, 1, hour, minute, second, 0, time.Local)
}

func end(t time.Time) *time.Time { return &t }

func runningTask() upgrade.Task {
	return upgrade.Task{
		Number: 5, ID: "3d0f1c7e-3a39-4a4e-9a5f-0d6a3c0b7f55", Kind: upgrade.TaskUpgrade, Instance: "orders", Mode: upgrade.ZeroDowntime,
		Source: 150012, Target: 17, Status: upgrade.StatusRunning, Phase: upgrade.PhaseSynchronizing, StartedAt: local(10, 0, 0), RequestedBy: "dba",
		Plan: &upgrade.Plan{Target: upgrade.Cluster{Pgdata: "/srv/17", Port: 5433}, Options: upgrade.Options{Switch: upgrade.SwitchManual}},
		Phases: []upgrade.PhaseSpan{
			{Phase: upgrade.PhasePrecheck, StartedAt: local(10, 0, 0), EndedAt: end(local(10, 0, 2))},
			{Phase: upgrade.PhaseBaseBackup, StartedAt: local(10, 0, 2), EndedAt: end(local(10, 1, 30))},
			{Phase: upgrade.PhaseSynchronizing, StartedAt: local(10, 1, 30)},
		},
		Progress: &upgrade.Progress{
			Phase: upgrade.PhaseSynchronizing, Step: "following", At: local(10, 2, 0),
			Lag: &upgrade.Lag{Bytes: 3 << 20, LagSeconds: 1.25, RetainedWAL: 17 << 20, ETASeconds: 4},
		},
	}
}

func switchedTask() upgrade.Task {
	t := runningTask()
	t.Status, t.Phase, t.EndedAt, t.Progress = upgrade.StatusSucceeded, upgrade.PhaseFinishing, end(local(10, 3, 0)), nil
	t.Phases[2].EndedAt = end(local(10, 2, 59))
	t.Switchover = &upgrade.Switchover{
		Switched: true, Pause: 23400 * time.Microsecond, TargetPort: 5433,
		Steps: []upgrade.StepDuration{{Step: "pause", Duration: 11 * time.Millisecond}, {Step: "drain", Duration: 6200 * time.Microsecond}},
	}
	t.Rehearsal = &upgrade.Rehearsal{
		Outcome: upgrade.Switchover{Rehearsed: true, Pause: 21 * time.Millisecond, Steps: []upgrade.StepDuration{{Step: "pause", Duration: 9 * time.Millisecond}}},
	}
	t.Verification = &upgrade.Verification{
		Identical: true, Tables: 12, Rows: 40000, Bytes: 90 << 20, StartedAt: local(10, 2, 59), EndedAt: local(10, 3, 0),
		NotCompared: []string{"shop, public.cache: unlogged tables are not replicated"},
	}
	return t
}

func TestPrintTask(t *testing.T) {
	events := []client.Event{
		{Seq: 1, At: local(10, 0, 1), Level: upgrade.LevelInfo, Text: "Report 4 passed, and what it saw is unchanged."},
		{Seq: 2, At: local(10, 1, 0), Level: upgrade.LevelWarning, Text: "Parameter stats_temp_directory is gone in 17."},
	}
	failedTask := runningTask()
	failedTask.Status, failedTask.Reason, failedTask.EndedAt, failedTask.Progress = upgrade.StatusFailed, "the disk is full", end(local(10, 3, 0)), nil
	refused := runningTask()
	refused.Switchover = &upgrade.Switchover{Reason: "a transaction stayed open for 60 s", Pause: 60 * time.Second}
	for name, task := range map[string]upgrade.Task{
		"task_running.txt": runningTask(), "task_switched.txt": switchedTask(), "task_failed.txt": failedTask, "task_refused.txt": refused,
	} {
		var out bytes.Buffer
		if err := printTask(&out, task, events, local(10, 5, 0)); err != nil {
			t.Fatal(err)
		}
		golden(t, name, out.String())
	}
	var out bytes.Buffer
	if err := table(&out, taskRows([]upgrade.Task{switchedTask(), runningTask()}, local(10, 5, 0))); err != nil {
		t.Fatal(err)
	}
	golden(t, "tasks.txt", out.String())
}

// A screen that is no terminal prints lines; the same step only now and then.
func TestScreen(t *testing.T) {
	task := func(phases int, progress *upgrade.Progress) upgrade.Task {
		t := runningTask()
		t.Phases, t.Progress = t.Phases[:phases], progress
		t.Phase = t.Phases[phases-1].Phase
		return t
	}
	backup := func(done int64) *upgrade.Progress {
		return &upgrade.Progress{Step: "pg_basebackup", Done: done << 20, Total: 400 << 20, Unit: "bytes"}
	}
	for name, terminal := range map[string]bool{"screen_lines.txt": false, "screen_terminal.txt": true} {
		var out bytes.Buffer
		clock := local(10, 0, 0)
		s := &screen{out: &out, terminal: terminal, now: func() time.Time { return clock }}
		s.stands(task(1, nil))
		s.stands(task(2, backup(0)))
		clock = clock.Add(time.Second)
		s.stands(task(2, backup(100)))
		clock = clock.Add(progressInterval)
		s.stands(task(2, backup(200)))
		s.happened(client.Event{At: clock, Level: upgrade.LevelWarning, Text: "a tablespace was moved"})
		s.stands(task(3, runningTask().Progress))
		s.stands(task(3, &upgrade.Progress{Step: "following", Lag: &upgrade.Lag{Bytes: 5000, ETASeconds: -1}}))
		s.stands(switchedTask())
		golden(t, name, strings.ReplaceAll(strings.ReplaceAll(out.String(), "\x1b", "<ESC>"), "\r", "<CR>"))
	}
}

func TestProgressLine(t *testing.T) {
	for want, p := range map[string]upgrade.Progress{
		"pg_upgrade: [##########----------]  50 % 60 of 120 objects": {Step: "pg_upgrade", Done: 60, Total: 120, Unit: "objects"},
		"copy: [####################] 100 % 1.5 GiB of 1.0 GiB":      {Step: "copy", Done: 3 << 29, Total: 1 << 30, Unit: "bytes"},
		"slots: 3 databases":                                           {Step: "slots", Done: 3, Unit: "databases"},
		"waiting: for transaction 742 of role app":                     {Step: "waiting", Text: "for transaction 742 of role app"},
		"following: lag 0 B, 0.1 s; WAL kept 16.0 MiB":                 {Step: "following", Lag: &upgrade.Lag{LagSeconds: 0.12, RetainedWAL: 16 << 20}},
		"following: lag 1.0 KiB, 0.0 s, not catching up; WAL kept 0 B": {Step: "following", Lag: &upgrade.Lag{Bytes: 1024, ETASeconds: -1}},
	} {
		if got := progressLine(p); got != want {
			t.Errorf("got  %q\nwant %q", got, want)
		}
	}
}

func TestPrintComparison(t *testing.T) {
	var out bytes.Buffer
	err := printComparison(&out, &upgrade.Comparison{
		Report: 5,
		Phases: []upgrade.PhaseCompared{
			{Phase: upgrade.PhaseBaseBackup, DurationCompared: upgrade.DurationCompared{Estimated: 80 * time.Second, Actual: 92 * time.Second}},
		},
		Total: upgrade.DurationCompared{Estimated: 80 * time.Second, Actual: 92 * time.Second},
		Pause: upgrade.DurationCompared{Estimated: 35 * time.Millisecond, Actual: 21 * time.Millisecond},
	})
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "comparison.txt", out.String())
	out.Reset()
	if err := printComparison(&out, nil); err != nil || out.Len() > 0 {
		t.Errorf("without one: got %q, %v", out.String(), err)
	}
}
