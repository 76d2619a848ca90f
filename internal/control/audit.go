package control

import (
	"context"

	"github.com/pgleap/pgleap/internal/catalog"
)

// Actor is who asks, for the record.
type Actor struct {
	Name      string
	RequestID string
}

// audit writes down who asked for what, and what came of it. A use case that was carried out is
// not undone because this fails: then the server's log is the record.
func (c *Control) audit(ctx context.Context, who Actor, what, object string, err error) {
	entry := catalog.AuditEntry{
		At: c.now(), Who: who.Name, What: what, Object: object, Result: "ok", RequestID: who.RequestID,
	}
	if err != nil {
		entry.Result = err.Error()
	}
	if err := c.catalog.AppendAudit(context.WithoutCancel(ctx), entry); err != nil {
		c.log.ErrorContext(ctx, "audit entry not written", "entry", entry, "error", err)
	}
}
