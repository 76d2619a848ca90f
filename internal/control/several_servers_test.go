package control

import (
	"strings"
	"testing"

	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/internal/upgrade/step"
)

// Servers with one catalogue have an engine each: what this one's engine does not know may be well with another's.
// There is no engine here, so that whoever asks it panics.
func TestTasksOfAnotherServerAreLeftToIt(t *testing.T) {
	c := newControl(t)
	c.server = "db1:/var/lib/pgleap"
	addInstance(t, c, "orders")
	task, err := c.catalog.CreateTask(t.Context(), upgrade.Task{
		Kind: upgrade.TaskUpgrade, Instance: "orders", Mode: upgrade.BlueGreen, Source: 150012, Target: 17,
		Phase: upgrade.PhaseSynchronizing, StartedAt: now, Server: "db2:/var/lib/pgleap",
		Plan: &upgrade.Plan{Instance: "orders", Target: upgrade.Cluster{Host: "db1", Pgdata: "/srv/orders"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	refused := func(what string, err error) {
		t.Helper()
		if err == nil || !strings.Contains(err.Error(), "another pgleap server with this catalogue, db2:/var/lib/pgleap") {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := (&watch{Control: c}).look(t.Context()); err != nil {
		t.Errorf("watched: %v", err)
	}
	_, err = c.SwitchoverWithin(t.Context(), Actor{Name: "dba"}, "orders", VerbSwitch, 0)
	refused("switch", err)
	switched := &upgrade.Switchover{Switched: true, StartedAt: now, EndedAt: now}
	if err := c.catalog.EndTask(t.Context(), task.Number, upgrade.Outcome{Status: upgrade.StatusSucceeded, Switchover: switched}, now); err != nil {
		t.Fatal(err)
	}
	_, err = c.SwitchoverWithin(t.Context(), Actor{Name: "dba"}, "orders", VerbBack, 0)
	refused("back, after its end", err)
	if now, err := c.Task(t.Context(), task.Number); err != nil || now.Status != upgrade.StatusSucceeded {
		t.Errorf("the task is %s, %v", now.Status, err)
	}
}

// The agent of another machine looks after the clusters of that one, which may be in the same places.
func TestOtherHostsAreNotAskedHere(t *testing.T) {
	c := newControl(t)
	err := c.ask(t.Context(), "db2", step.Inspect, step.InspectArgs{Pgdata: "/srv/orders"}, nil)
	if upgrade.CauseOf(err) != upgrade.CauseAgent || !strings.Contains(err.Error(), "host db2 belongs to another pgleap server") {
		t.Errorf("got %v", err)
	}
}
