package test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/test/harness"
)

// An upgrade that is cancelled leaves no trace on the source, and clients notice nothing.
func TestCancelLeavesTheSourceAsItWas(t *testing.T) {
	from, to := versions(t)
	s := newScene(t, from, to)
	before, err := s.source.State(s.ctx)
	s.must(err)
	s.write()
	c := newClouds(s)
	for _, phases := range [][]upgrade.Phase{ // a short one may pass unseen
		{upgrade.PhaseBaseBackup, upgrade.PhaseHandover, upgrade.PhaseUpgrade},
		{upgrade.PhaseUpgrade, upgrade.PhaseSubscribe},
		{upgrade.PhaseSynchronizing},
	} {
		s.within(string(phases[0]), func() {
			number := s.upgrade()
			task := s.reach(number, phases...)
			c.cancelAtAlibaba(number, task.Phase)
			if task.Phase == upgrade.PhaseSynchronizing {
				s.unchanged(before)
				return
			}
			if result := s.server.CLI(s.ctx, "switchover", id, "cancel"); result.Code != 0 {
				s.t.Fatalf("pgleap switchover %s cancel: exit code %d: %s", id, result.Code, result.Stderr)
			}
			task, err := s.server.AwaitEnd(s.ctx, number, patience)
			s.must(err)
			if task.Status != upgrade.StatusCancelled {
				s.t.Errorf("the upgrade is %s: %s", task.Status, task.Reason)
			}
			s.unchanged(before)
			s.goesOn(patience)
		})
	}
	if summary := s.load.Stop(); len(summary.Errors) > 0 {
		t.Errorf("clients had errors: %s", strings.Join(summary.Errors, "\n"))
	}
	s.accept(s.prove(s.source))
}

// unchanged wants the source as it was. Where upgrades were made there may be a directory of their version.
func (s *scene) unchanged(before []string) {
	s.t.Helper()
	after, err := s.source.State(s.ctx)
	s.must(err)
	if diff := cmp.Diff(slices.Sorted(slices.Values(before)), slices.Sorted(slices.Values(after))); diff != "" {
		s.t.Errorf("the source has changed (-before +after):\n%s", diff)
	}
}

// A target that does not follow must not fill the source's disk: beyond the cap on the WAL that the
// source keeps for it, the upgrade is undone.
func TestRetainedWALIsCapped(t *testing.T) {
	from, to := versions(t)
	s := newScene(t, from, to)
	before, err := s.source.State(s.ctx)
	s.must(err)
	s.write()
	number := s.upgrade("--max-retained-wal", "64MB")
	task := s.synchronized(number)
	plan := task.Plan
	target := s.source.Upgraded(plan.Target.Bindir, plan.Target.Pgdata, plan.Target.Port)
	s.must(target.Exec(s.ctx, harness.Bank, "SET session_replication_role = replica", "ALTER SUBSCRIPTION "+upgrade.Subscription+" DISABLE"))
	s.must(s.source.Exec(s.ctx, harness.Bank, `
		SELECT count(pg_logical_emit_message(false, 'test', repeat('x', 1000000))) FROM generate_series(1, 100)`))
	task, err = s.server.AwaitEnd(s.ctx, number, patience)
	s.must(err)
	if task.Status == upgrade.StatusSucceeded || !strings.Contains(task.Reason, "WAL") {
		t.Errorf("the upgrade is %s (%s), want it undone because of the WAL", task.Status, task.Reason)
	}
	s.unchanged(before)
	s.goesOn(patience)
	s.load.Stop()
	s.accept(s.prove(s.source))
}
