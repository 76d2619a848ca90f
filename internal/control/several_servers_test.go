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

// What clients are told to connect to leads them to the instance's host, whichever server they ask.
func TestAddressesThatClientsReach(t *testing.T) {
	c := newControl(t) // of host db1
	for _, test := range []struct{ host, listen, want string }{
		{"db1", "127.0.0.1", "127.0.0.1"},
		{"db1", "", "127.0.0.1"},
		{"", "127.0.0.1", "127.0.0.1"},
		{"db1", "192.0.2.1", "192.0.2.1"},
		{"db1", "*", "db1"},
		{"db1", "0.0.0.0", "db1"},
		{"db1", "::", "db1"},
		{"db2", "127.0.0.1", "db2"},
		{"db2", "::1", "db2"},
		{"db2", "localhost", "db2"},
		{"db2", "", "db2"},
		{"db2", "/run/postgresql", "db2"},
		{"db2", "0.0.0.0", "db2"},
		{"db2", "192.0.2.2", "192.0.2.2"},
	} {
		got := c.Reached(test.host, upgrade.Address{Host: test.listen, Port: 6432})
		if got != (upgrade.Address{Host: test.want, Port: 6432}) {
			t.Errorf("%q on %q is reached at %v", test.listen, test.host, got)
		}
	}
}
