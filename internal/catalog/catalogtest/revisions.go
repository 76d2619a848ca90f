package catalogtest

import (
	"testing"

	"github.com/pgleap/pgleap/internal/catalog"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// revisions are what callers compare to know whether what they remember is still true.
func revisions(t *testing.T, open func(t *testing.T) *catalog.Catalog) {
	revision := func(t *testing.T, c *catalog.Catalog, id string) int64 {
		t.Helper()
		number, err := c.Revision(t.Context(), id)
		must(t, err)
		return number
	}

	t.Run("grow with what is recorded, and not by reading", func(t *testing.T) {
		c := withInstances(t, open(t), orders(), another("billing"))
		created(t, c, anUpgrade("billing"))
		billing := revision(t, c, "billing")
		for _, step := range story(t, c) {
			before := revision(t, c, "orders")
			must(t, step.do())
			if now := revision(t, c, "orders"); now < before || (now > before) != step.news {
				t.Errorf("%s: from %d to %d", step.name, before, now)
			}
		}
		same(t, "revision of the other", revision(t, c, "billing"), billing)
	})

	t.Run("of an instance go on when another one gets its id", func(t *testing.T) {
		c := open(t)
		var last int64 = -1
		for range 3 {
			withInstances(t, c, orders())
			first := revision(t, c, "orders")
			if first <= last {
				t.Errorf("the next instance begins at %d, the last one ended at %d", first, last)
			}
			must(t, c.SetWindow(t.Context(), "orders", nil))
			last = revision(t, c, "orders")
			must(t, c.RemoveInstance(t.Context(), "orders"))
		}
	})

	t.Run("of instances that do not exist", func(t *testing.T) {
		c := open(t)
		for _, id := range []string{"none", "", "a\x00b", "\xff"} {
			_, err := c.Revision(t.Context(), id)
			missing(t, err, "instance")
		}
	})
}

type step struct {
	name string
	news bool
	do   func() error
}

// story is all that can happen to an instance.
func story(t *testing.T, c *catalog.Catalog) []step {
	t.Helper()
	ctx := t.Context()
	task := func(task upgrade.Task) func() error {
		return func() error {
			_, err := c.CreateTask(ctx, task)
			return err
		}
	}
	return append([]step{
		{"an upgrade begins", true, task(anUpgrade("orders"))}, // 2
		{"a precheck begins", true, task(aPrecheck("orders"))}, // 3
		{"a phase", true, func() error { return c.EnterPhase(ctx, 2, upgrade.PhasePrepare, noon) }},
		{"the same phase", false, func() error { return c.EnterPhase(ctx, 2, upgrade.PhasePrepare, noon) }},
		{"progress", true, func() error { return c.SetProgress(ctx, 2, upgrade.Progress{Step: "backup"}) }},
		{"a switchover", true, func() error { return c.SetSwitchover(ctx, 2, upgrade.Switchover{}) }},
		{"events", true, func() error { return c.AppendEvents(ctx, 2, "a", []upgrade.Event{{Text: "one"}}) }},
		{"the same events", false, func() error { return c.AppendEvents(ctx, 2, "a", []upgrade.Event{{Text: "one"}}) }},
		{"lag", false, func() error { return c.AppendLag(ctx, 2, noon, upgrade.Lag{Bytes: 1}) }},
		{"a report", true, func() error { return c.SaveReport(ctx, upgrade.Report{Number: 3, Instance: "orders"}) }},
		{"an end", true, func() error { return c.EndTask(ctx, 2, upgrade.Outcome{Status: upgrade.StatusFailed}, noon) }},
		{"a second end", false, func() error { return c.EndTask(ctx, 2, upgrade.Outcome{Status: upgrade.StatusFailed}, noon) }},
		{"a phase after the end", false, func() error { return c.EnterPhase(ctx, 2, upgrade.PhaseCleanup, noon) }},
		{"progress after the end", false, func() error { return c.SetProgress(ctx, 2, upgrade.Progress{}) }},
		{"events after the end", true, func() error { return c.AppendEvents(ctx, 2, "b", []upgrade.Event{{Text: "late"}}) }},
		{"another cluster", true, func() error { return c.UpdateInstance(ctx, orders()) }},
		{"a window", true, func() error { return c.SetWindow(ctx, "orders", &upgrade.Window{End: 60}) }},
	}, reads(t, c)...)
}

// reads are what changes nothing.
func reads(t *testing.T, c *catalog.Catalog) []step {
	t.Helper()
	ctx := t.Context()
	return []step{
		{"read: instance", false, func() error { _, err := c.Instance(ctx, "orders"); return err }},
		{"read: task", false, func() error { _, err := c.Task(ctx, 2); return err }},
		{"read: events", false, func() error { _, err := c.Events(ctx, 2, 0, 0); return err }},
		{"read: report", false, func() error { _, err := c.Report(ctx, 3); return err }},
		{"read: running tasks", false, func() error { _, err := c.RunningTasks(ctx, ""); return err }},
		{"read: history", false, func() error {
			_, _, err := c.History(ctx, catalog.HistoryFilter{Instance: "orders", Kind: upgrade.TaskUpgrade})
			return err
		}},
	}
}
