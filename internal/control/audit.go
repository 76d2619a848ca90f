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

// AuditEntry tells who asked for what, and what came of it.
type AuditEntry = catalog.AuditEntry

// Audit returns the last entries of the record, the newest first, at most so many (0: all).
func (c *Control) Audit(ctx context.Context, atMost int) ([]AuditEntry, error) {
	return c.catalog.AuditEntries(ctx, atMost)
}

// audit writes down who asked for what, and what came of it. A use case that was carried out is
// not undone because this fails: then the server's log is the record.
func (c *Control) audit(ctx context.Context, who Actor, what, object string, err error) {
	entry := AuditEntry{
		At: c.now(), Who: who.Name, What: what, Object: object, Result: "ok", RequestID: who.RequestID,
	}
	if err != nil {
		entry.Result = err.Error()
	}
	if err := c.catalog.AppendAudit(context.WithoutCancel(ctx), entry); err != nil {
		c.log.ErrorContext(ctx, "audit entry not written", "entry", entry, "error", err)
	}
}
