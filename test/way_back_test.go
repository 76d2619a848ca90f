package test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/test/harness"
)

// Under load, clients go to the target, back to the source, and to the target again, and notice
// nothing but pauses; each acknowledged transaction is on either side exactly once. Definitions do not
// change meanwhile. Then the way back is given up, and nothing is left of it.
func TestThereAndBack(t *testing.T) {
	from, to := versions(t)
	s := newScene(t, from, to)
	s.write()
	number := s.upgrade("--statistics", "after")
	s.synchronized(number)
	s.within("definitions do not change", func() { s.definitionsAreBlocked(number, s.source) })
	s.switchOver(0)
	s.within("what is not possible on the target", func() {
		s.serves(number)
		for verb, says := range map[string]string{"switch": "finish", "cancel": "back"} {
			if said := s.refused("switchover", id, verb); !strings.Contains(said, says) {
				s.t.Errorf("%s was refused with %q, which does not say %q", verb, said, says)
			}
		}
		if said := s.refused("instance", "remove", id); !strings.Contains(said, "pgleap finish "+id) {
			s.t.Errorf("the removal of the instance was refused with %q, which does not say how to finish", said)
		}
		if said := s.refused("finish", id); !strings.Contains(said, "--yes") {
			s.t.Errorf("finish was refused with %q, which does not say --yes", said)
		}
	})
	s.within("definitions do not change there either", func() {
		s.goesOn(patience)
		s.definitionsAreBlocked(number, s.target())
	})
	s.within("back", func() {
		s.goesOn(patience)
		task := s.wayBack(number, 0)
		if task.OnTarget() || !task.Switchover.Back || task.Phase != upgrade.PhaseSynchronizing && task.Phase != upgrade.PhaseSwitchback {
			s.t.Errorf("the switchback is %+v, the upgrade in phase %q", task.Switchover, task.Phase)
		}
		s.t.Logf("switched back: pause %s", task.Switchover.Pause.Round(time.Millisecond/10))
		s.goesOn(patience)
		s.must(s.server.JSON(s.ctx, &s.instance, "instance", "show", id))
		if s.instance.Cluster.Port != s.source.Port {
			s.t.Errorf("the instance is said to be at port %d, the source is at %d", s.instance.Cluster.Port, s.source.Port)
		}
	})
	s.within("there again, and finished", func() {
		s.synchronized(number)
		s.switchOver(0)
		task := s.succeeds(number)
		if task.Verification == nil || !task.Verification.Identical {
			s.t.Errorf("the verification came to %+v", task.Verification)
		}
		s.must(s.target().Exec(s.ctx, harness.Shop, changeOrders))
	})
}

// changeOrders is a definition that changes.
const changeOrders = "ALTER TABLE orders ADD COLUMN late text"

// definitionsAreBlocked: definitions do not change while an upgrade runs. Who tries is told why, and how to
// end it. After the switchover that holds on the target, until the upgrade is finished.
func (s *scene) definitionsAreBlocked(number int64, c *harness.Cluster) {
	s.t.Helper()
	err := c.Exec(s.ctx, harness.Shop, changeOrders)
	if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("task %d upgrades instance %s", number, id)) {
		s.t.Errorf("a change of a table met %v, want a refusal that names task %d", err, number)
	}
	s.must(c.Exec(s.ctx, harness.Shop, "CREATE TEMP TABLE scratch (id int)"))
}

// With --allow-ddl definitions change on either side, and clients go there and back with them. What the source could
// not do again is said before anybody waits, and is no obstacle any more when it is undone.
func TestDefinitionsThereAndBack(t *testing.T) {
	from, to := versions(t)
	s := newScene(t, from, to)
	s.write()
	number := s.upgrade("--allow-ddl", "--statistics", "after")
	s.synchronized(number)
	s.within("there, with what was made on the source", func() {
		s.must(s.source.Exec(s.ctx, harness.Shop, "CREATE TABLE late (id int PRIMARY KEY)", "INSERT INTO late VALUES (1)",
			"ALTER TABLE late ADD COLUMN note text", "INSERT INTO late VALUES (2, 'source')"))
		s.synchronized(number)
		s.switchOver(0)
		s.serves(number)
	})
	change := func(sql ...string) { s.must(s.target().Exec(s.ctx, harness.Shop, sql...)) }
	s.within("what nobody replays keeps clients on the target", func() {
		change("CREATE ROLE here_only")
		if said := s.comesNotBack(); !strings.Contains(said, "only on the target: role here_only") || !strings.Contains(said, "or finish the upgrade") {
			s.t.Errorf("the switchback was refused with %q", said)
		}
		change("DROP ROLE here_only")
	})
	s.within("and so does what the source cannot do again", func() {
		change("DO $$ BEGIN CREATE FUNCTION in_a_block() RETURNS int LANGUAGE sql AS 'SELECT 1'; END $$")
		cannot := []string{"in_a_block() by " + s.source.Superuser + " cannot be replayed: a function, a DO block or a trigger ran it"}
		if s.from < 16 && s.to >= 16 {
			change("CREATE VIEW modern AS SELECT any_value(note) FROM late")
			cannot = append(cannot, "view public.modern by "+s.source.Superuser+" failed: function any_value(text) does not exist")
		}
		said := s.comesNotBack()
		for _, want := range cannot {
			if !strings.Contains(said, want) {
				s.t.Errorf("the switchback was refused with %q, which does not say %q", said, want)
			}
		}
		s.goesOn(patience)
	})
	s.within("until it is undone", func() {
		change("DROP FUNCTION in_a_block()", "DROP VIEW IF EXISTS modern",
			"ALTER TABLE late ADD COLUMN mark text", "INSERT INTO late VALUES (3, 'target', 'x')", "CREATE INDEX late_note ON late (note)")
		s.goesOn(patience)
		task := s.wayBack(number, 0)
		if task.OnTarget() || !task.Switchover.Back {
			s.t.Errorf("the switchback is %+v", task.Switchover)
		}
		s.goesOn(patience)
		s.must(s.server.JSON(s.ctx, &s.instance, "instance", "show", id))
		var rows string
		s.must(s.source.QueryRow(s.ctx, harness.Shop, "SELECT string_agg(concat(id, note, mark), ',' ORDER BY id) FROM late", &rows))
		if want := "1,2source,3targetx"; rows != want {
			s.t.Errorf("the source has %s, want %s", rows, want)
		}
	})
	s.within("there again, and finished", func() {
		s.must(s.source.Exec(s.ctx, harness.Shop, "INSERT INTO late VALUES (4, 'source')"))
		s.synchronized(number)
		s.switchOver(0)
		task := s.succeeds(number)
		if task.Verification == nil || !task.Verification.Identical {
			s.t.Errorf("the verification came to %+v", task.Verification)
		}
	})
}

// comesNotBack wants a switchback to be refused while clients are on the target, and returns why.
func (s *scene) comesNotBack() string {
	s.t.Helper()
	result := s.server.CLI(s.ctx, "switchover", id, "back")
	if result.Code != 1 {
		s.t.Fatalf("pgleap switchover %s back: exit code %d, want 1\n%s\n%s", id, result.Code, result.Stdout, result.Stderr)
	}
	return result.Stdout + result.Stderr
}

// Back at the source an upgrade can be cancelled, and leaves the source as it was.
func TestCancelAfterSwitchback(t *testing.T) {
	from, to := versions(t)
	s := newScene(t, from, to)
	before, err := s.source.State(s.ctx)
	s.must(err)
	s.write()
	number := s.upgrade()
	s.synchronized(number)
	s.switchOver(0)
	s.serves(number)
	s.goesOn(patience)
	s.wayBack(number, 0)
	s.goesOn(patience)
	if result := s.server.CLI(s.ctx, "switchover", id, "cancel"); result.Code != 0 {
		t.Fatalf("pgleap switchover %s cancel: exit code %d: %s", id, result.Code, result.Stderr)
	}
	s.goesOn(patience)
	s.load.Stop()
	s.accept(s.prove(s.source))
	s.unchanged(before)
}

// wayBack says `switchover back`, which waits for the outcome, and wants an exit code.
func (s *scene) wayBack(number int64, code int) upgrade.Task {
	s.t.Helper()
	result := s.server.CLI(s.ctx, "switchover", id, "back")
	if result.Code != code {
		s.t.Fatalf("pgleap switchover %s back: exit code %d, want %d\n%s\n%s", id, result.Code, code, result.Stdout, result.Stderr)
	}
	task, err := s.server.Task(s.ctx, number)
	s.must(err)
	return task
}
