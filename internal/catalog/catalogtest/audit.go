package catalogtest

import (
	"testing"

	"github.com/pgleap/pgleap/internal/catalog"
)

func audit(t *testing.T, open func(t *testing.T) *catalog.Catalog) {
	t.Run("lists the newest first, in the order of writing", func(t *testing.T) {
		c := open(t)
		first := catalog.AuditEntry{At: keptAfter(5), Who: "token cli", What: "switch", Object: "orders", Result: "ok", RequestID: "r1"}
		second := catalog.AuditEntry{At: kept, Who: "token cli", What: "cancel", Object: "orders", Result: "refused"}
		// The same again is another entry.
		for _, entry := range []catalog.AuditEntry{first, second, second} {
			must(t, c.AppendAudit(t.Context(), entry))
		}
		all, err := c.AuditEntries(t.Context(), 0)
		must(t, err)
		same(t, "all", all, []catalog.AuditEntry{second, second, first})
		last, err := c.AuditEntries(t.Context(), 1)
		must(t, err)
		same(t, "the last", last, []catalog.AuditEntry{second})
	})
}
