package catalogtest

import (
	"testing"

	"github.com/pgleap/pgleap/internal/catalog"
	"github.com/pgleap/pgleap/internal/upgrade"
)

func aftermath(t *testing.T, open func(t *testing.T) *catalog.Catalog) {
	t.Run("belongs to an instance until it is mended", func(t *testing.T) {
		c := withInstances(t, open(t), orders())
		hooks := &upgrade.Hooks{Before: "/etc/before"}
		missing := &upgrade.MissingBackup{Number: 7, Version: 170011, Since: kept}
		findings := []upgrade.OpenFinding{{Number: 7, Database: "shop", Extension: "hstore", From: "1.4", To: "1.8", Reason: "no", Since: kept}}
		read := func() upgrade.Instance {
			in, err := c.Instance(t.Context(), "orders")
			must(t, err)
			return in
		}
		must(t, c.SetHooks(t.Context(), "orders", hooks))
		must(t, c.SetBackup(t.Context(), "orders", missing))
		must(t, c.SetFindings(t.Context(), "orders", findings))
		in := read()
		same(t, "hooks", in.Hooks, hooks)
		same(t, "base backup", in.Backup, missing)
		same(t, "findings", in.Findings, findings)
		in.Cluster.Port++
		must(t, c.UpdateInstance(t.Context(), in))
		same(t, "moved", read(), in)
		must(t, c.SetHooks(t.Context(), "orders", nil))
		must(t, c.SetBackup(t.Context(), "orders", nil))
		must(t, c.SetFindings(t.Context(), "orders", nil))
		in.Hooks, in.Backup, in.Findings = nil, nil, nil
		same(t, "mended", read(), in)
	})

	t.Run("of no instance", func(t *testing.T) {
		c := open(t)
		missing(t, c.SetHooks(t.Context(), "orders", nil), "instance")
		missing(t, c.SetBackup(t.Context(), "orders", nil), "instance")
		missing(t, c.SetFindings(t.Context(), "orders", nil), "instance")
	})

	t.Run("includes a clone, once", func(t *testing.T) {
		c := withInstances(t, open(t), orders())
		task := anUpgrade("orders")
		task.Plan = &upgrade.Plan{Options: upgrade.Options{CloneOnly: true}}
		created(t, c, task)
		clone := another("orders-clone-1")
		must(t, c.AddClone(t.Context(), 1, clone))
		must(t, c.AddClone(t.Context(), 1, clone))
		in, err := c.Instance(t.Context(), clone.ID)
		must(t, err)
		same(t, "clone", in.Cluster, clone.Cluster)
		page, _, err := c.History(t.Context(), catalog.HistoryFilter{Instance: "orders", Kind: upgrade.TaskUpgrade})
		must(t, err)
		same(t, "id in the history", page[0].Clone, clone.ID)
		same(t, "whether it makes a clone", page[0].CloneOnly, true)
		must(t, c.RemoveInstance(t.Context(), clone.ID))
		must(t, c.AddClone(t.Context(), 1, clone)) // too late: it is gone
		_, err = c.Instance(t.Context(), clone.ID)
		missing(t, err, "instance")
		created(t, c, aPrecheck("orders"))
		refused(t, c.AddClone(t.Context(), 2, orders()), "already")
	})
}
