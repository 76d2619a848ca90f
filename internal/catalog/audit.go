package catalog

import (
	"context"
	"database/sql"
	"fmt"
	"math"
	"time"
)

// AuditEntry tells who asked for what, and what came of it.
type AuditEntry struct {
	At        time.Time `json:"at"`
	Who       string    `json:"who"`    // such as "token cli"
	What      string    `json:"what"`   // such as "switchover switch"
	Object    string    `json:"object"` // such as "orders"
	Result    string    `json:"result"` // "ok", or why not
	RequestID string    `json:"requestID,omitempty"`
}

const insertAudit = `
INSERT INTO audit (seq, at, who, what, object, result, request_id)
VALUES ($1, $2, $3, $4, $5, $6, $7)`

// AppendAudit adds an entry. Entries are never changed, and every call adds one.
func (c *Catalog) AppendAudit(ctx context.Context, e AuditEntry) error {
	err := c.change(ctx, func(tx *sql.Tx) error {
		seq, err := next(ctx, tx, auditCounter, math.MaxInt64)
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, insertAudit, seq, instant{&e.At}, legible(e.Who), legible(e.What),
			legible(e.Object), legible(e.Result), legible(e.RequestID))
		return err
	})
	if err != nil {
		return fmt.Errorf("append audit entry %q: %w", e.What, err)
	}
	return nil
}

const selectAudit = `
  SELECT at, who, what, object, result, request_id
    FROM audit
ORDER BY seq DESC
   LIMIT $1`

// AuditEntries returns the last entries, the newest first, at most so many (0: all).
func (c *Catalog) AuditEntries(ctx context.Context, atMost int) ([]AuditEntry, error) {
	entries, err := collect(ctx, c.read, scanAudit, selectAudit, limit(atMost))
	if err != nil {
		return nil, fmt.Errorf("read audit entries: %w", err)
	}
	return entries, nil
}

func scanAudit(r row) (AuditEntry, error) {
	var e AuditEntry
	err := r.Scan(instant{&e.At}, &e.Who, &e.What, &e.Object, &e.Result, &e.RequestID)
	return e, err
}
