package control

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"go.temporal.io/sdk/client"

	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/internal/upgrade/step"
)

// host answers the questions that are asked of an agent, and remembers them. What it does not know is done.
type host struct {
	client.Client
	asked   []string
	says    map[string]func() (any, error)
	started []any // what workflows that are no questions were started with
}

type said struct {
	client.WorkflowRun
	answer any
	err    error
}

func (s said) Get(_ context.Context, result any) error {
	if s.err != nil || result == nil || s.answer == nil {
		return s.err
	}
	text, err := json.Marshal(s.answer)
	if err != nil {
		return err
	}
	return json.Unmarshal(text, result)
}

func (h *host) ExecuteWorkflow(_ context.Context, _ client.StartWorkflowOptions, _ any, args ...any) (client.WorkflowRun, error) {
	question, asked := args[0].(step.Question)
	if !asked {
		h.started = append(h.started, args[0])
		return said{}, nil
	}
	activity := question.Activity
	h.asked = append(h.asked, activity)
	var s said
	if says := h.says[activity]; says != nil {
		s.answer, s.err = says()
	}
	return s, nil
}

// A PgBouncer that serves is stopped only when its instance is gone for certain.
func TestEndpointsOutliveWhatCannotBeRecorded(t *testing.T) {
	orders := upgrade.Cluster{Host: "db1", Version: 150012, Pgdata: "/srv/orders", Port: 5432}
	pgbouncer := upgrade.Endpoint{Driver: upgrade.PgBouncer, Owned: true, Dir: "/srv/pgbouncer/orders"}
	hostOf := func(c *Control) *host {
		h := &host{says: map[string]func() (any, error){
			step.Inspect:      func() (any, error) { return orders, nil },
			step.MakeEndpoint: func() (any, error) { return pgbouncer, nil },
		}}
		c.temporal = h
		return h
	}
	who := Actor{Name: "dba"}
	add := func(ctx context.Context, c *Control) error {
		_, err := c.AddInstance(ctx, who, AddRequest{ID: "orders", Port: 5432})
		return err
	}
	asked := func(h *host, want ...string) {
		t.Helper()
		if strings.Join(h.asked, " ") != strings.Join(want, " ") {
			t.Errorf("asked for %v, want %v", h.asked, want)
		}
	}

	t.Run("added by somebody else meanwhile", func(t *testing.T) {
		c := newControl(t)
		h := hostOf(c)
		h.says[step.MakeEndpoint] = func() (any, error) {
			addInstance(t, c, "orders")
			return pgbouncer, nil
		}
		if err := add(t.Context(), c); kind(err) != "conflict" || !strings.Contains(err.Error(), pgbouncer.Dir) {
			t.Errorf("got %v", err)
		}
		asked(h, step.Inspect, step.MakeEndpoint)
	})
	t.Run("it is the target of an upgrade", func(t *testing.T) {
		c := newControl(t)
		h := hostOf(c)
		addInstance(t, c, "sales")
		_, err := c.catalog.CreateTask(t.Context(), upgrade.Task{
			Kind: upgrade.TaskUpgrade, Instance: "sales", Mode: upgrade.ZeroDowntime, Plan: &upgrade.Plan{Target: orders}, StartedAt: now,
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := add(t.Context(), c); kind(err) != "conflict" || !strings.Contains(err.Error(), "upgrade 1") {
			t.Errorf("got %v", err)
		}
		asked(h, step.Inspect)
	})
	t.Run("the record is away", func(t *testing.T) {
		c := newControl(t)
		h := hostOf(c)
		h.says[step.MakeEndpoint] = func() (any, error) { return pgbouncer, c.catalog.Close() }
		if err := add(t.Context(), c); err == nil {
			t.Error("it was added to a record that is closed")
		}
		asked(h, step.Inspect, step.MakeEndpoint)
	})
	t.Run("whoever adds it goes away", func(t *testing.T) {
		c := newControl(t)
		ctx, leave := context.WithCancel(t.Context())
		hostOf(c).says[step.MakeEndpoint] = func() (any, error) {
			leave()
			return pgbouncer, nil
		}
		if err := add(ctx, c); err != nil {
			t.Error(err)
		}
	})
	t.Run("an upgrade begins before it is removed", func(t *testing.T) {
		c := newControl(t)
		h := hostOf(c)
		addInstance(t, c, "orders")
		addTask(t, c, "orders", upgrade.TaskUpgrade)
		if _, err := c.RemoveInstance(t.Context(), who, "orders", true); kind(err) != "conflict" {
			t.Errorf("got %v", err)
		}
		asked(h)
	})
	t.Run("it is stopped when its instance is gone", func(t *testing.T) {
		c := newControl(t)
		h := hostOf(c)
		addInstance(t, c, "orders")
		h.says[step.RemoveEndpoint] = func() (any, error) {
			_, err := c.Instance(t.Context(), "orders")
			if kind(err) != "notfound" {
				t.Errorf("it is stopped while it is recorded: %v", err)
			}
			return nil, nil
		}
		removal, err := c.RemoveInstance(t.Context(), who, "orders", true)
		if err != nil || removal.EndpointLeft {
			t.Errorf("got %+v, %v", removal, err)
		}
		asked(h, step.RemoveEndpoint)
	})
	t.Run("it cannot be stopped", func(t *testing.T) {
		c := newControl(t)
		addInstance(t, c, "orders")
		hostOf(c).says[step.RemoveEndpoint] = func() (any, error) { return nil, errors.New("it does not answer") }
		removal, err := c.RemoveInstance(t.Context(), who, "orders", true)
		if err != nil || !removal.EndpointLeft {
			t.Errorf("got %+v, %v", removal, err)
		}
	})
}
