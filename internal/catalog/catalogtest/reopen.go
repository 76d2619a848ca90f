package catalogtest

import (
	"testing"

	"github.com/pgleap/pgleap/internal/catalog"
	"github.com/pgleap/pgleap/internal/upgrade"
)

func reopened(t *testing.T, open func(t *testing.T) *catalog.Catalog) {
	t.Run("are running again, and end again", func(t *testing.T) {
		c := withInstances(t, open(t), orders())
		upgraded := anUpgrade("orders")
		upgraded.Server = "db1:/var/lib/pgleap"
		created(t, c, upgraded)
		there := upgrade.Switchover{Switched: true, StartedAt: keptAfter(1), EndedAt: keptAfter(2)}
		must(t, c.EnterPhase(t.Context(), 1, upgrade.PhaseFinishing, after(1)))
		must(t, c.EndTask(t.Context(), 1, upgrade.Outcome{Status: upgrade.StatusSucceeded, Switchover: &there}, after(3)))
		task, err := c.ReopenUpgrade(t.Context(), 1, upgrade.PhaseSwitchback, after(4))
		must(t, err)
		same(t, "as it is returned", task, taskNow(t, c, 1))
		same(t, "status", task.Status, upgrade.StatusRunning)
		same(t, "end", task.EndedAt, nil)
		same(t, "server", task.Server, upgraded.Server)
		checkSpans(t, task)
		same(t, "switchover", *task.Switchover, there)
		_, err = c.ReopenUpgrade(t.Context(), 1, upgrade.PhaseSwitchback, after(5))
		refused(t, err)
		back := upgrade.Switchover{Switched: true, Back: true, StartedAt: keptAfter(5), EndedAt: keptAfter(6)}
		must(t, c.EndTask(t.Context(), 1, upgrade.Outcome{Status: upgrade.StatusCancelled, Reason: "back", Switchover: &back}, after(7)))
		same(t, "status", taskNow(t, c, 1).Status, upgrade.StatusCancelled)
		_, err = c.ReopenUpgrade(t.Context(), 1, upgrade.PhaseSwitchback, after(8))
		refused(t, err)
	})

	t.Run("only while no other one runs", func(t *testing.T) {
		c := withInstances(t, open(t), orders())
		created(t, c, anUpgrade("orders"))
		ended(t, c, 1, upgrade.StatusSucceeded)
		created(t, c, anUpgrade("orders"))
		_, err := c.ReopenUpgrade(t.Context(), 1, upgrade.PhaseSwitchback, after(4))
		refused(t, err, "is running")
	})
}
