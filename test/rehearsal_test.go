package test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// rehearse rehearses, and wants an exit code. It returns the task as it is then.
func (s *scene) rehearse(number int64, code int) upgrade.Task {
	s.t.Helper()
	result := s.server.CLI(s.ctx, "rehearse", id)
	if result.Code != code {
		s.t.Fatalf("pgleap rehearse %s: exit code %d, want %d\n%s\n%s", id, result.Code, code, result.Stdout, result.Stderr)
	}
	var task upgrade.Task
	s.must(s.server.JSON(s.ctx, &task, "task", "show", fmt.Sprint(number)))
	return task
}

// Under load, the switchover is rehearsed twice: clients see nothing but a pause, and all data are
// found identical. Then something on the target is changed, in a table with a key, in one without,
// and in a sequence: the next rehearsal finds each, and the switch is refused. Mended, the rehearsal
// passes, and the upgrade switches; its own verification is part of the task.
func TestRehearsals(t *testing.T) {
	from, to := versions(t)
	s := newScene(t, from, to)
	// A row that clients write to would be set right by their next write.
	s.must(s.source.Exec(s.ctx, "shop", "CREATE TABLE archived (id int PRIMARY KEY, name text)", "INSERT INTO archived SELECT i, 'old ' || i FROM generate_series(1, 1000) i"))
	s.write()
	number := s.upgrade("--statistics", "before", "--switch", "manual", "--show-values")
	synchronized := s.synchronized(number)
	for range 2 {
		task := s.rehearse(number, 0)
		r := task.Rehearsal
		if r == nil || !r.Passed() || r.Outcome.Switched || r.Verification.Rows == 0 || task.Phase != upgrade.PhaseSynchronizing {
			t.Fatalf("rehearsal: %+v, phase %q", r, task.Phase)
		}
		t.Logf("rehearsed: pause %s, %s", r.Outcome.Pause.Round(time.Millisecond/10), r.Verification)
	}
	s.goesOn(patience)
	plan := synchronized.Plan
	target := s.source.Upgraded(plan.Target.Bindir, plan.Target.Pgdata, plan.Target.Port)
	for _, mutation := range []struct{ name, database, do, undo, found string }{
		{
			"a changed row", "shop", `UPDATE archived SET name = name || '!' WHERE id = 77`,
			`UPDATE archived SET name = left(name, -1) WHERE id = 77`, `changed id=77 in name ("old 77", on the target "old 77!")`,
		},
		{
			"a row too many in a table without a key", "bank", `INSERT INTO ledger.trail SELECT * FROM ledger.trail ORDER BY ctid LIMIT 1`,
			`DELETE FROM ledger.trail WHERE ctid = (SELECT max(t.ctid) FROM ledger.trail t WHERE t = (SELECT f FROM ledger.trail f ORDER BY ctid LIMIT 1))`,
			"ledger.trail",
		},
	} {
		behind := func(sql string) {
			s.must(target.Exec(s.ctx, mutation.database, "SET session_replication_role = replica; "+sql))
		}
		behind(mutation.do)
		task := s.rehearse(number, 1)
		if r := task.Rehearsal; r == nil || r.Difference() == nil || !strings.Contains(fmt.Sprint(r.Verification.Differences), mutation.found) {
			t.Errorf("%s: rehearsal %+v", mutation.name, r)
		}
		if said := s.refused("switchover", id, "switch"); !strings.Contains(said, "differ") {
			t.Errorf("%s: the switch was refused with %q", mutation.name, said)
		}
		behind(mutation.undo)
	}
	// A sequence that is off is set right, like all of them, before anything is compared.
	s.must(target.Exec(s.ctx, "bank", "SELECT setval('ledger.untouched', 4711)"))
	if r := s.rehearse(number, 0).Rehearsal; !r.Passed() {
		t.Errorf("rehearsal: %+v", r)
	}
	s.switchOver(0)
	task := s.succeeds(number)
	if v := task.Verification; v == nil || !v.Identical || v.Rows == 0 {
		t.Errorf("verification of the switchover: %+v", v)
	}
}
