package control

import (
	"context"
	"errors"
	"testing"
	"time"

	"go.temporal.io/sdk/client"

	"github.com/pgleap/pgleap/internal/catalog"
	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/internal/upgrade/step"
)

// A line is of one moment, also when the task goes on between the line and the rest of it.
func TestALineIsOfOneMoment(t *testing.T) {
	ended := now.Add(time.Minute)
	for name, test := range map[string]struct {
		switched bool
		end      *time.Time
		task     *upgrade.Switchover // of the task, read later
		skip     bool
		want     upgrade.Status
	}{
		"it has switched":                 {true, &ended, &upgrade.Switchover{Switched: true}, false, upgrade.StatusSucceeded},
		"it switched meanwhile":           {false, nil, &upgrade.Switchover{Switched: true}, false, upgrade.StatusRunning},
		"a way back was refused":          {true, &ended, &upgrade.Switchover{Back: true}, false, upgrade.StatusSucceeded},
		"clients went back meanwhile":     {true, &ended, &upgrade.Switchover{Switched: true, Back: true}, false, upgrade.StatusSucceeded},
		"it has switched, without a way":  {true, &ended, &upgrade.Switchover{Switched: true}, true, upgrade.StatusRunning},
		"it has not tried to switch over": {false, nil, nil, false, upgrade.StatusRunning},
	} {
		s := catalog.Summary{Mode: upgrade.ZeroDowntime, Status: upgrade.StatusRunning, Switched: test.switched, SwitchEndedAt: test.end}
		plan := &upgrade.Plan{Options: upgrade.Options{SkipSwitchback: test.skip}}
		got := whileRunning(s, upgrade.Task{Mode: s.Mode, Status: s.Status, Plan: plan, Switchover: test.task})
		if got.Status != test.want || (got.Status == upgrade.StatusSucceeded) != (got.EndedAt != nil) || got.Running == nil {
			t.Errorf("%s: %s, ended at %v", name, got.Status, got.EndedAt)
		}
	}
}

// The clouds were told when an upgrade had ended that kept a way back open. That it is given up days later changes nothing.
func TestTheEndOfAnUpgradeStays(t *testing.T) {
	switched := now.Add(time.Minute)
	for name, test := range map[string]struct {
		follows bool
		want    time.Time
	}{
		"with a way back":    {true, switched},
		"without a way back": {false, now.Add(48 * time.Hour)},
	} {
		t.Run(name, func(t *testing.T) {
			c := newControl(t)
			addInstance(t, c, "orders")
			plan := &upgrade.Plan{Options: upgrade.Options{SkipSwitchback: !test.follows}}
			task, err := c.catalog.CreateTask(t.Context(), upgrade.Task{
				Kind: upgrade.TaskUpgrade, Instance: "orders", Mode: upgrade.ZeroDowntime, Plan: plan, StartedAt: now,
			})
			ok := func(err error) {
				t.Helper()
				if err != nil {
					t.Fatal(err)
				}
			}
			ok(err)
			told := func(ended bool) {
				t.Helper()
				line, err := c.LatestTask(t.Context(), "orders", upgrade.TaskUpgrade, "")
				ok(err)
				if (line.EndedAt != nil) != ended || ended && !line.EndedAt.Equal(test.want) {
					t.Errorf("ended at %v", line.EndedAt)
				}
			}
			went := upgrade.Switchover{Switched: true, StartedAt: now, EndedAt: switched}
			ok(c.catalog.SetSwitchover(t.Context(), task.Number, went))
			if test.follows {
				ok(c.catalog.EnterPhase(t.Context(), task.Number, upgrade.PhaseFollowing, switched))
			}
			told(test.follows)
			ok(c.catalog.EnterPhase(t.Context(), task.Number, upgrade.PhaseFinishing, now.Add(47*time.Hour)))
			ok(c.catalog.EndTask(t.Context(), task.Number, upgrade.Outcome{Status: upgrade.StatusSucceeded, Switchover: &went}, now.Add(48*time.Hour)))
			told(true)
		})
	}
}

// A rehearsal of the way back is nothing that the clouds know of.
func TestInstancesThatAreBusy(t *testing.T) {
	for _, test := range []struct {
		phase    upgrade.Phase
		switched bool
		busy     bool
	}{
		{upgrade.PhaseSynchronizing, false, true},
		{upgrade.PhaseRehearsal, false, true},
		{upgrade.PhaseFollowing, true, false},
		{upgrade.PhaseRehearsal, true, false},
		{upgrade.PhaseSwitchback, true, true},
	} {
		task := upgrade.Task{
			Kind: upgrade.TaskUpgrade, Mode: upgrade.ZeroDowntime, Status: upgrade.StatusRunning, Phase: test.phase,
			Plan: &upgrade.Plan{}, Switchover: &upgrade.Switchover{Switched: test.switched},
		}
		if got := (InstanceState{}).with(task); (got.Upgrade != nil) != test.busy {
			t.Errorf("%s, switched %t: busy is %t", test.phase, test.switched, got.Upgrade != nil)
		}
	}
}

// signalled is an engine that takes signals.
type signalled struct {
	client.Client
	to []string
}

func (s *signalled) SignalWorkflow(_ context.Context, id, _, _ string, _ any) error {
	s.to = append(s.to, id)
	return nil
}

// An instance that is called like the upgrade's number is not the one that is meant.
func TestReleaseMeansItsOwnUpgrade(t *testing.T) {
	c, engine := newControl(t), &signalled{}
	c.temporal = engine
	ok := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	begin := func(instance string) upgrade.Task {
		addInstance(t, c, instance)
		task, err := c.catalog.CreateTask(t.Context(), upgrade.Task{
			Kind: upgrade.TaskUpgrade, Instance: instance, Mode: upgrade.ZeroDowntime, Plan: &upgrade.Plan{}, StartedAt: now,
		})
		ok(err)
		ok(c.catalog.SetSwitchover(t.Context(), task.Number, upgrade.Switchover{Switched: true}))
		ok(c.catalog.EnterPhase(t.Context(), task.Number, upgrade.PhaseFollowing, now))
		return task
	}
	task := begin("orders")
	begin("1")
	ok(c.catalog.AddFormerCluster(t.Context(), catalog.FormerCluster{Number: task.Number, Instance: "orders", Since: now}))
	ok(c.Release(t.Context(), Actor{Name: "key"}, "orders-old-1"))
	if len(engine.to) != 1 || engine.to[0] != step.UpgradeWorkflowID(task.Number) {
		t.Errorf("told %v", engine.to)
	}
}

// Without the record nobody is let in, and it is nobody's fault who asks.
func TestTheRecordIsDown(t *testing.T) {
	c := newControl(t)
	if err := c.catalog.Close(); err != nil {
		t.Fatal(err)
	}
	_, caller := c.Caller(t.Context(), "K")
	_, keys := c.HasAccessKeys(t.Context())
	_, once := c.Once(t.Context(), Once{Token: "t"}, func(context.Context) ([]byte, error) { return nil, errors.New("it was carried out") })
	for name, err := range map[string]error{"caller": caller, "keys": keys, "once": once} {
		if !is[*Unavailable](err) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
