package test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/test/harness"
)

// Switchovers that cannot succeed leave the clients where they are, without an error, and the upgrade
// synchronizing; the one that can succeeds nevertheless.
func TestSwitchoversThatDoNotSucceed(t *testing.T) {
	from, to := versions(t)
	s := newScene(t, from, to)
	s.write()
	number := s.upgrade("--switchover-timeout", "10s")
	s.synchronized(number)

	s.within("a session goes around the endpoint", func() {
		conn, err := harness.ConnectPooled(s.ctx, s.source.Port, harness.BankRole, harness.Bank, "around the endpoint")
		s.must(err)
		said := s.switchOver(1)
		s.must(conn.Ping(s.ctx)) // it was let alone
		s.must(conn.Close(s.ctx))
		if !strings.Contains(said, "around the endpoint") || !strings.Contains(said, "--terminate-direct-clients") {
			s.t.Errorf("the refusal does not name the session and what to do: %s", said)
		}
		s.notSwitched(number, "do not come through the endpoint")
		s.goesOn(patience)
	})
	s.within("interrupted while a transaction holds the pause", func() {
		s.synchronized(number)
		release := s.hold("held-interrupt")
		s.pausing(func() { s.must(s.server.Say(s.ctx, id, "switch")) })
		if result := s.server.CLI(s.ctx, "switchover", id, "interrupt"); result.Code != 0 {
			s.t.Errorf("pgleap switchover %s interrupt: exit code %d: %s", id, result.Code, result.Stderr)
		}
		s.goesOn(15 * time.Second)
		release()
		s.notSwitched(number, "")
	})
	s.within("a transaction stays open", func() {
		s.synchronized(number)
		release := s.hold("held-deadline")
		if said := s.switchOver(1); !strings.Contains(said, "open") {
			s.t.Errorf("the reason does not tell of the transaction: %s", said)
		}
		s.goesOn(15 * time.Second)
		release()
		task := s.notSwitched(number, "open")
		if len(task.Switchover.Tries) == 0 {
			s.t.Error("clients were not let go on before the transaction was known to be a long one")
		}
		for _, try := range task.Switchover.Tries {
			if held := try.EndedAt.Sub(try.StartedAt); held > 9*time.Second {
				s.t.Errorf("clients were held for %s in a try", held)
			}
		}
	})
	s.within("nothing stands in the way", func() {
		s.synchronized(number)
		s.switchOver(0)
		s.succeeds(number)
	})
}

// notSwitched wants the last switchover undone for a reason, and the upgrade synchronizing.
func (s *scene) notSwitched(number int64, reason string) upgrade.Task {
	s.t.Helper()
	task := s.reach(number, upgrade.PhaseSynchronizing)
	if task.Switchover == nil || task.Switchover.Switched || task.Switchover.Reason == "" || !strings.Contains(task.Switchover.Reason, reason) {
		s.t.Errorf("the last switchover is %+v, want one that did not switch because of %q", task.Switchover, reason)
	}
	events, err := s.server.Events(s.ctx, number, 0)
	s.must(err)
	last := ""
	for _, e := range events {
		if e.Phase == upgrade.PhaseSwitchover {
			last = e.Text
		}
	}
	if !strings.Contains(last, reason) || last == "" {
		s.t.Errorf("the log ends its switchover with %q, want the reason %q", last, reason)
	}
	return task
}

// Clients that go around the endpoint and write as fast as they can, and come back at once when they are
// thrown out: with --terminate-direct-clients they are fenced, and what the source acknowledged
// to them is on the target.
func TestDirectClientsLoseNothing(t *testing.T) {
	from, to := versions(t)
	s := newScene(t, from, to)
	s.write()
	number := s.upgrade("--terminate-direct-clients")
	s.synchronized(number)
	direct := harness.StartLoad(s.ctx, harness.LoadConfig{
		Name: "direct-", Port: s.source.Port, Rate: 1000, Scale: 1, Record: s.record,
		Clients: map[harness.Kind]int{harness.Entry: 6, harness.TPCB: 2, harness.Order: 2},
	})
	defer direct.Stop()
	s.must(direct.AwaitProgress(s.ctx, 500, patience))
	s.switchOver(0)
	s.must(harness.Await(s.ctx, 10*time.Second, "the direct clients to be refused", func(ctx context.Context) error {
		if direct.Failed() < 20 {
			return fmt.Errorf("%d of their transactions failed", direct.Failed())
		}
		return nil
	}))
	summary := direct.Stop()
	s.succeeds(number)
	t.Logf("direct clients: %d acknowledged, %d rolled back, %d unknown",
		summary.Count(harness.Acknowledged), summary.Count(harness.RolledBack), summary.Count(harness.Unknown))
}
