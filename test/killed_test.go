package test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/test/harness"
)

// A server that dies in the middle of an upgrade and is started again goes on with it, and the
// clients notice nothing.
func TestServerKilledDuring(t *testing.T) {
	for _, test := range []struct {
		name  string
		await func(s *scene, number int64)
	}{
		{"schema rehearsal", func(s *scene, _ int64) { s.rehearses("pg_upgrade") }},
		{"base backup", func(s *scene, _ int64) { s.runs("pg_basebackup") }},
		{"hand-over", func(s *scene, number int64) { s.reach(number, upgrade.PhaseHandover) }},
		{"pg_upgrade", func(s *scene, _ int64) { s.runs("pg_upgrade") }},
		{"subscribing", func(s *scene, number int64) { s.reach(number, upgrade.PhaseSubscribe) }},
		{"synchronizing", func(s *scene, number int64) { s.reach(number, upgrade.PhaseSynchronizing) }},
	} {
		t.Run(test.name, func(t *testing.T) {
			from, to := versions(t)
			s := newScene(t, from, to)
			s.write()
			start := s.upgrade
			if test.name == "schema rehearsal" {
				start = s.upgradeRehearsed
			}
			number := start()
			test.await(s, number)
			s.server.Kill()
			s.goesOn(patience) // nobody needs pgleap to write
			s.must(s.server.Start(s.ctx))
			s.synchronized(number)
			s.switchOver(0)
			s.succeeds(number)
		})
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

// A server that dies while it holds the clients must not leave them hanging, even if nobody starts
// it again.
func TestServerKilledWhileClientsWait(t *testing.T) {
	from, to := versions(t)
	s := newScene(t, from, to)
	s.write()
	number := s.upgrade()
	s.synchronized(number)
	release := s.hold("held-killed")
	s.must(s.server.Say(s.ctx, id, "switch"))
	s.pausing(number)
	s.server.Kill()
	s.goesOn(10 * time.Second) // the guard has seen to it
	release()
	s.must(s.server.Start(s.ctx))
	s.synchronized(number)
	s.notSwitched(number, "")
	s.switchOver(0)
	s.succeeds(number)
}

// A server that dies between the steps of a switchover leaves it to be undone, or, once it is
// committed, to be completed: nothing is lost either way.
func TestServerKilledInTheSwitchover(t *testing.T) {
	for _, stage := range []string{"intent", "committed"} {
		t.Run("after "+stage, func(t *testing.T) {
			from, to := versions(t)
			s := newScene(t, from, to)
			s.write()
			number := s.upgrade()
			s.synchronized(number)
			s.must(s.server.Say(s.ctx, id, "switch"))
			s.killAt(stage)
			s.goesOn(15 * time.Second)
			s.must(s.server.Start(s.ctx))
			task, err := s.server.AwaitTask(s.ctx, number, patience, "the switchover to be ended", func(t upgrade.Task) bool {
				return t.Status.Ended() || t.Phase == upgrade.PhaseFollowing || t.Phase == upgrade.PhaseSynchronizing && t.Switchover != nil
			})
			s.must(err)
			t.Logf("killed after %q: phase %q, %+v", stage, task.Phase, task.Switchover)
			if task.Phase == upgrade.PhaseSynchronizing {
				if stage == "committed" {
					t.Error("a committed switchover was undone")
				}
				s.synchronized(number)
				s.switchOver(0)
			}
			s.succeeds(number)
		})
	}
}

// killAt kills the server as soon as the journal of the switchover tells of a stage.
func (s *scene) killAt(stage string) {
	s.t.Helper()
	pattern := filepath.Join(s.server.StateDir, "*", "switchovers", "*.journal")
	line := fmt.Appendf(nil, `"stage":%q`, stage)
	for begun := time.Now(); time.Since(begun) < 30*time.Second; {
		journals, _ := filepath.Glob(pattern)
		for _, journal := range journals {
			if content, _ := os.ReadFile(journal); bytes.Contains(content, line) {
				s.server.Kill()
				return
			}
		}
	}
	s.t.Fatalf("no journal %s tells of %q", pattern, stage)
}
