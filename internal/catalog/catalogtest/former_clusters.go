package catalogtest

import (
	"testing"

	"github.com/pgleap/pgleap/internal/catalog"
)

func formerClusters(t *testing.T, open func(t *testing.T) *catalog.Catalog) {
	former := func(number int64) catalog.FormerCluster {
		return catalog.FormerCluster{Number: number, Instance: "orders", Cluster: orders().Cluster, Since: keptAfter(int(number))}
	}
	read := func(t *testing.T, c *catalog.Catalog, number int64) catalog.FormerCluster {
		t.Helper()
		f, err := c.FormerCluster(t.Context(), number)
		must(t, err)
		return f
	}

	t.Run("are recorded once, and retired once", func(t *testing.T) {
		c := withInstances(t, open(t), orders())
		created(t, c, aPrecheck("orders"))
		created(t, c, anUpgrade("orders"))
		must(t, c.AddFormerCluster(t.Context(), former(2)))
		must(t, c.AddFormerCluster(t.Context(), former(1)))
		again := former(2)
		again.Cluster.Port, again.Since = 1, keptAfter(9)
		must(t, c.AddFormerCluster(t.Context(), again))
		same(t, "as it was added", read(t, c, 2), former(2))

		for _, seconds := range []int{30, 40} {
			must(t, c.RetireFormerCluster(t.Context(), 2, after(seconds)))
		}
		must(t, c.AddFormerCluster(t.Context(), former(2)))
		want, at := former(2), keptAfter(30)
		want.RetiredAt = &at
		same(t, "retired", read(t, c, 2), want)
		all, err := c.FormerClusters(t.Context())
		must(t, err)
		same(t, "all", all, []catalog.FormerCluster{former(1), want})
	})

	t.Run("outlive their instance", func(t *testing.T) {
		c := withInstances(t, open(t), orders())
		created(t, c, anUpgrade("orders"))
		must(t, c.AddFormerCluster(t.Context(), former(1)))
		ended(t, c, 1, "succeeded")
		must(t, c.RemoveInstance(t.Context(), "orders"))
		same(t, "former cluster", read(t, c, 1), former(1))
	})

	t.Run("that do not exist", func(t *testing.T) {
		c := withInstances(t, open(t), orders())
		missing(t, c.AddFormerCluster(t.Context(), former(1)), "task")
		created(t, c, anUpgrade("orders"))
		_, err := c.FormerCluster(t.Context(), 1)
		missing(t, err, "former cluster of upgrade")
		must(t, c.RetireFormerCluster(t.Context(), 1, noon))
		all, err := c.FormerClusters(t.Context())
		must(t, err)
		same(t, "all", all, nil)
	})
}
