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
