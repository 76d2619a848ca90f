package catalogtest

import (
	"regexp"
	"testing"

	"github.com/pgleap/pgleap/internal/catalog"
	"github.com/pgleap/pgleap/internal/upgrade"
)

func instances(t *testing.T, open func(t *testing.T) *catalog.Catalog) {
	t.Run("are read as they were added", func(t *testing.T) {
		c := withInstances(t, open(t), orders())
		got, err := c.Instance(t.Context(), "orders")
		must(t, err)
		same(t, "instance", got, orders())
	})

	t.Run("have a UUID, given or made", func(t *testing.T) { instanceUUIDs(t, open(t)) })
	t.Run("have a maintenance window, or none", func(t *testing.T) { windows(t, open(t)) })

	t.Run("are listed by id", func(t *testing.T) {
		c := withInstances(t, open(t), another("b"), another("a-1"), another("Z"), another("a_1"))
		all, err := c.Instances(t.Context())
		must(t, err)
		var ids []string
		for _, in := range all {
			ids = append(ids, in.ID)
		}
		same(t, "ids", ids, []string{"Z", "a-1", "a_1", "b"})
	})

	t.Run("have an id and a cluster of their own", func(t *testing.T) {
		c := withInstances(t, open(t), orders())
		twice := another("elsewhere")
		twice.ID = "orders"
		refused(t, c.AddInstance(t.Context(), twice), `instance "orders"`, "pgleap instance remove orders")

		twice = another("copy")
		twice.Cluster.Pgdata = "/data/orders/"
		refused(t, c.AddInstance(t.Context(), twice), "/data/orders", `"orders"`)

		twice.Cluster.Host = "db2"
		must(t, c.AddInstance(t.Context(), twice))
	})

	t.Run("are no cluster that an upgrade goes between", func(t *testing.T) {
		c := withInstances(t, open(t), orders())
		task := anUpgrade("orders")
		stray, moved := another("stray"), orders()
		stray.Cluster.Pgdata, moved.Cluster.Pgdata = "/data/orders-17/", "/data/orders-17"
		task.Plan = &upgrade.Plan{Source: orders().Cluster, Target: moved.Cluster}
		task = created(t, c, task)
		refused(t, c.AddInstance(t.Context(), stray), "upgrade 1", `"orders"`)
		must(t, c.UpdateInstance(t.Context(), moved))
		stray.Cluster = orders().Cluster // to which clients may go back
		refused(t, c.AddInstance(t.Context(), stray), "upgrade 1", `"orders"`)
		missing(t, func() error { _, err := c.Instance(t.Context(), "stray"); return err }(), "instance")
		ended(t, c, task.Number, upgrade.StatusSucceeded)
		must(t, c.AddInstance(t.Context(), stray))
	})

	t.Run("move to another cluster", func(t *testing.T) {
		c := withInstances(t, open(t), orders(), another("billing"))
		moved := orders()
		moved.Cluster.Version, moved.Cluster.Pgdata = 170011, "/data/orders-17"
		moved.Endpoint.PoolSize = 40
		must(t, c.UpdateInstance(t.Context(), moved))
		must(t, c.UpdateInstance(t.Context(), moved))
		got, err := c.Instance(t.Context(), "orders")
		must(t, err)
		same(t, "instance", got, moved)

		moved.Cluster.Pgdata = "/data/billing"
		refused(t, c.UpdateInstance(t.Context(), moved), "/data/billing", `"billing"`)
		must(t, c.AddInstance(t.Context(), upgrade.Instance{ID: "old", Cluster: orders().Cluster}))
	})

	t.Run("are removed, unless a task runs", func(t *testing.T) {
		for _, task := range []upgrade.Task{anUpgrade("orders"), aPrecheck("orders")} {
			c := withInstances(t, open(t), orders())
			task = created(t, c, task)
			refused(t, c.RemoveInstance(t.Context(), "orders"), string(task.Kind)+" 1 of instance")
			ended(t, c, task.Number, upgrade.StatusFailed)
			must(t, c.RemoveInstance(t.Context(), "orders"))
			missing(t, c.RemoveInstance(t.Context(), "orders"), "instance")
			same(t, "task of a removed instance", taskNow(t, c, task.Number).Instance, "orders")
		}
	})

	t.Run("that do not exist", func(t *testing.T) {
		c := open(t)
		for _, id := range []string{"none", "", "a\x00b", "\xff"} {
			_, err := c.Instance(t.Context(), id)
			missing(t, err, "instance")
			_, err = c.InstanceByUUID(t.Context(), id)
			missing(t, err, "instance")
			missing(t, c.SetWindow(t.Context(), id, nil), "instance")
		}
		missing(t, c.UpdateInstance(t.Context(), orders()), "instance")
		missing(t, c.RemoveInstance(t.Context(), "orders"), "instance")
		all, err := c.Instances(t.Context())
		must(t, err)
		same(t, "instances", all, nil)
	})
}

func instanceUUIDs(t *testing.T, c *catalog.Catalog) {
	withInstances(t, c, orders(), another("a"), another("b"))
	all, err := c.Instances(t.Context())
	must(t, err)
	shape := regexp.MustCompile(`^[0-9a-f]{32}$`)
	seen := map[string]bool{}
	for _, in := range all {
		if !shape.MatchString(in.UUID) || seen[in.UUID] {
			t.Errorf("instance %q has UUID %q", in.ID, in.UUID)
		}
		seen[in.UUID] = true
		got, err := c.InstanceByUUID(t.Context(), in.UUID)
		must(t, err)
		same(t, "by UUID", got, in)
	}
	same(t, "the one that was given", seen[orders().UUID], true)

	moved := all[0]
	moved.UUID, moved.Cluster.Port = "", 6000
	must(t, c.UpdateInstance(t.Context(), moved))
	got, err := c.Instance(t.Context(), moved.ID)
	must(t, err)
	same(t, "UUID after an update", got.UUID, all[0].UUID)
}

func windows(t *testing.T, c *catalog.Catalog) {
	window := func() *upgrade.Window {
		t.Helper()
		in, err := c.Instance(t.Context(), "orders")
		must(t, err)
		return in.Window
	}
	withInstances(t, c, orders())
	same(t, "none", window(), nil)
	night := &upgrade.Window{Start: 22 * 60, End: 2 * 60}
	must(t, c.SetWindow(t.Context(), "orders", night))
	same(t, "set", window(), night)
	must(t, c.UpdateInstance(t.Context(), orders()))
	same(t, "kept over an update", window(), night)
	must(t, c.SetWindow(t.Context(), "orders", nil))
	same(t, "none again", window(), nil)

	with := another("billing")
	with.Window = night
	withInstances(t, c, with)
	in, err := c.Instance(t.Context(), "billing")
	must(t, err)
	same(t, "set from the beginning", in.Window, night)
}
