package test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/test/harness"
)

// A server that dies in the middle of an upgrade and is started again goes on with it, in each of its
// phases and as often as that happens, and the clients notice nothing.
func TestServerKilledDuring(t *testing.T) {
	from, to := versions(t)
	s := newScene(t, from, to)
	// So many that a comparison is not over before it can be killed.
	s.must(s.source.Exec(s.ctx, "shop", "DO $$ BEGIN FOR i IN 1..300 LOOP EXECUTE format('CREATE TABLE old_%s (id int PRIMARY KEY)', i); END LOOP; END $$"))
	s.write()
	number := s.upgradeRehearsed()
	for _, test := range []struct {
		name  string
		await func()
	}{
		{"schema rehearsal", func() { s.rehearses("pg_upgrade") }},
		{"base backup", func() { s.runs("pg_basebackup") }},
		{"hand-over", func() { s.reach(number, upgrade.PhaseHandover) }},
		{"pg_upgrade", func() { s.runs("pg_upgrade") }},
		{"subscribing", func() { s.reach(number, upgrade.PhaseSubscribe) }},
		{"synchronizing", func() { s.reach(number, upgrade.PhaseSynchronizing) }},
	} {
		s.within(test.name, func() {
			test.await()
			s.server.Kill()
			s.goesOn(patience) // nobody needs pgleap to write
			s.must(s.server.Start(s.ctx))
		})
	}
	s.synchronized(number)
	s.within("comparing", func() {
		r := s.killedComparing(number, func() {})
		if !r.Passed() {
			s.t.Errorf("what was compared before and after came to %+v", r.Verification)
		}
	})
	s.within("comparing, with those that hold the snapshots", func() {
		r := s.killedComparing(number, s.killHolders)
		if v := r.Verification; r.Passed() || v == nil || !strings.Contains(v.Problem, "the snapshots are gone") {
			s.t.Errorf("without snapshots it came to %+v", v)
		}
	})
	s.switchOver(0)
	s.succeeds(number)
}

// killedComparing rehearses, kills the server, and whom else do kills, when it has compared some of the tables, but
// not all, and starts it again. It returns what the rehearsal came to.
func (s *scene) killedComparing(number int64, do func()) upgrade.Rehearsal {
	s.t.Helper()
	for range 5 {
		before, err := s.server.Task(s.ctx, number)
		s.must(err)
		begun := time.Now()
		s.must(s.server.Say(s.ctx, id, "rehearse"))
		record := s.comparing(begun)
		s.server.Kill()
		do()
		compared, err := os.ReadFile(record)
		s.goesOn(patience) // nobody needs pgleap to write
		s.must(s.server.Start(s.ctx))
		task, ended := s.server.AwaitTask(s.ctx, number, patience, "the rehearsal to end", func(t upgrade.Task) bool {
			return t.Phase == upgrade.PhaseSynchronizing && t.Rehearsal != nil && t.Rehearsal.Verification != nil &&
				(before.Rehearsal == nil || t.Rehearsal.Outcome.StartedAt.After(before.Rehearsal.Outcome.StartedAt))
		})
		s.must(ended)
		s.synchronized(number)
		v := task.Rehearsal.Verification
		if done := bytes.Count(compared, []byte(`"table":`)); err == nil && (done < v.Tables || v.Problem != "") {
			s.t.Logf("killed when %d tables were compared: %s", done, v)
			return *task.Rehearsal
		}
	}
	s.t.Fatal("it was never killed while it compared")
	return upgrade.Rehearsal{}
}

// comparing waits until the comparison of a rehearsal that began has noted a table, and returns where it does.
func (s *scene) comparing(begun time.Time) (record string) {
	s.t.Helper()
	for ; time.Since(begun) < patience; <-time.After(time.Millisecond) {
		records, err := filepath.Glob(filepath.Join(s.server.StateDir, "*", "upgrades", "*", "compared.jsonl"))
		s.must(err)
		for _, record := range records {
			content, _ := os.ReadFile(record)
			if info, err := os.Stat(record); err == nil && info.ModTime().After(begun) && bytes.Contains(content, []byte(`"table":`)) {
				return record
			}
		}
	}
	s.t.Fatal("nothing is compared")
	return ""
}

// killHolders kills the processes that hold the snapshots of a verification.
func (s *scene) killHolders() {
	s.t.Helper()
	for _, pid := range s.place.Processes(filepath.Base(pgleap)) {
		arguments, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if bytes.Contains(arguments, []byte("snapshots.json")) {
			s.must(syscall.Kill(pid, syscall.SIGKILL))
		}
	}
}

// runs waits until a program runs for the upgrade itself: not as part of the precheck.
func (s *scene) runs(program string) { s.t.Helper(); s.awaitProgram(program, false) }

// rehearses waits until a program runs for the precheck's schema rehearsal.
func (s *scene) rehearses(program string) { s.t.Helper(); s.awaitProgram(program, true) }

func (s *scene) awaitProgram(program string, rehearsal bool) {
	s.t.Helper()
	s.must(harness.Await(s.ctx, patience, program+" to run", func(context.Context) error {
		for _, pid := range s.place.Processes(program) {
			arguments, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
			checks := bytes.Contains(arguments, []byte("--check\x00"))
			if len(arguments) > 0 && !checks && bytes.Contains(arguments, []byte(".precheck-")) == rehearsal {
				return nil
			}
		}
		return errors.New("it does not run yet")
	}))
}

// A server that dies in a switchover leaves it to be undone, or, once it is committed, to be completed:
// nothing is lost either way. While it holds the clients its death must not leave them hanging, even if
// nobody starts it again.
func TestServerKilledInTheSwitchover(t *testing.T) {
	from, to := versions(t)
	s := newScene(t, from, to)
	s.write()
	number := s.upgrade()
	s.within("while clients wait", func() {
		s.synchronized(number)
		release := s.hold("held-killed")
		s.pausing(func() { s.must(s.server.Say(s.ctx, id, "switch")) })
		s.server.Kill()
		s.goesOn(10 * time.Second) // the guard has seen to it
		release()
		s.must(s.server.Start(s.ctx))
		s.synchronized(number)
		s.notSwitched(number, "")
	})
	switched := false
	s.within("after the intent", func() { switched = s.killedAfter(number, "intent") })
	if !switched { // else it was killed after the commit already
		s.within("after the commit", func() {
			s.synchronized(number)
			if switched = s.killedAfter(number, "committed"); !switched {
				s.t.Error("a committed switchover was undone")
			}
		})
	}
	s.succeeds(number)
}

// killedAfter kills the server in a switchover after a stage, and starts it again. It tells whether the
// switchover was completed; otherwise it was undone.
func (s *scene) killedAfter(number int64, stage string) bool {
	s.t.Helper()
	before, err := s.server.Task(s.ctx, number)
	s.must(err)
	old := s.journals()
	s.must(s.server.Say(s.ctx, id, "switch"))
	s.killAt(stage, old)
	s.goesOn(15 * time.Second)
	s.must(s.server.Start(s.ctx))
	task, err := s.server.AwaitTask(s.ctx, number, patience, "the switchover to be ended", func(t upgrade.Task) bool {
		return t.Status.Ended() || t.Phase == upgrade.PhaseFollowing ||
			t.Phase == upgrade.PhaseSynchronizing && switchovers(t) > switchovers(before)
	})
	s.must(err)
	s.t.Logf("killed after %q: phase %q, %+v", stage, task.Phase, task.Switchover)
	return task.Phase != upgrade.PhaseSynchronizing
}

// switchovers is how many times an upgrade was switching over.
func switchovers(t upgrade.Task) int {
	count := 0
	for _, span := range t.Phases {
		if span.Phase == upgrade.PhaseSwitchover {
			count++
		}
	}
	return count
}

// journals lists the journals of the switchovers.
func (s *scene) journals() []string {
	s.t.Helper()
	journals, err := filepath.Glob(filepath.Join(s.server.StateDir, "*", "switchovers", "*.journal"))
	s.must(err)
	return journals
}

// killAt kills the server as soon as the journal of a new switchover tells of a stage.
func (s *scene) killAt(stage string, old []string) {
	s.t.Helper()
	line := fmt.Appendf(nil, `"stage":%q`, stage)
	for begun := time.Now(); time.Since(begun) < 30*time.Second; {
		for _, journal := range s.journals() {
			content, _ := os.ReadFile(journal)
			if !slices.Contains(old, journal) && bytes.Contains(content, line) {
				s.server.Kill()
				return
			}
		}
	}
	s.t.Fatalf("no journal of a new switchover tells of %q", stage)
}
