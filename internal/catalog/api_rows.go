package catalog

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
)

// inserts are the statements that write nonces and calls where the database is in this process: there each statement
// costs more than the rows that it writes.
type inserts struct{ nonce, nonces, call, calls *sql.Stmt }

const (
	// rowsAtOnce is how many rows one statement writes.
	rowsAtOnce = 32

	intoNonces = `
INSERT INTO used_nonce (access_key, nonce, expires_at)
VALUES `

	intoCalls = `
INSERT INTO api_call (at, request_id, who, what, object, result)
VALUES `

	unlessThere = `
ON CONFLICT DO NOTHING`
)

// placeholders are those of so many rows.
func placeholders(rows, columns int) string {
	row := "(?" + strings.Repeat(", ?", columns-1) + ")"
	return row + strings.Repeat(", "+row, rows-1)
}

// inserts returns the statements. Many nonces are written together only if all of them are new.
func (c *Catalog) inserts(ctx context.Context) (i inserts, err error) {
	for _, statement := range []struct {
		into  **sql.Stmt
		query string
	}{
		{&i.nonce, intoNonces + placeholders(1, 3) + unlessThere},
		{&i.nonces, intoNonces + placeholders(rowsAtOnce, 3)},
		{&i.call, intoCalls + placeholders(1, 6) + unlessThere},
		{&i.calls, intoCalls + placeholders(rowsAtOnce, 6) + unlessThere},
	} {
		if *statement.into, err = c.prepared(ctx, c.loose, statement.query); err != nil {
			return inserts{}, fmt.Errorf("prepare to record calls: %w", err)
		}
	}
	return i, nil
}

// write writes a batch in a transaction, and returns the nonces that are new.
func (i inserts) write(ctx context.Context, tx *sql.Tx, nonces []Nonce, calls []AuditEntry) ([]Nonce, error) {
	inserted, err := i.writeNonces(ctx, tx, nonces)
	if err != nil {
		return nil, fmt.Errorf("remember nonces: %w", err)
	}
	if err := i.writeCalls(ctx, tx, calls); err != nil {
		return nil, fmt.Errorf("record calls: %w", err)
	}
	return inserted, nil
}

// writeNonces goes through the index from one end to the other.
func (i inserts) writeNonces(ctx context.Context, tx *sql.Tx, nonces []Nonce) (inserted []Nonce, err error) {
	one, many := tx.StmtContext(ctx, i.nonce), tx.StmtContext(ctx, i.nonces)
	for some := range slices.Chunk(inIndexOrder(nonces), rowsAtOnce) {
		if len(some) == rowsAtOnce {
			if _, failed := many.ExecContext(ctx, valuesOf(some, nonceValues)...); failed == nil {
				for _, n := range some {
					inserted = append(inserted, n.key())
				}
				continue
			} // else none of them is written: one was used before, or what is wrong shows again
		}
		for _, n := range some {
			rows, err := changed(one.ExecContext(ctx, nonceValues(nil, n)...))
			if err != nil {
				return nil, err
			}
			if rows == 1 {
				inserted = append(inserted, n.key())
			}
		}
	}
	return inserted, nil
}

func (i inserts) writeCalls(ctx context.Context, tx *sql.Tx, calls []AuditEntry) error {
	one, many := tx.StmtContext(ctx, i.call), tx.StmtContext(ctx, i.calls)
	for some := range slices.Chunk(calls, rowsAtOnce) {
		if len(some) == rowsAtOnce {
			if _, err := many.ExecContext(ctx, valuesOf(some, callValues)...); err != nil {
				return err
			}
			continue
		}
		for _, call := range some {
			if _, err := one.ExecContext(ctx, callValues(nil, call)...); err != nil {
				return err
			}
		}
	}
	return nil
}

func valuesOf[T any](rows []T, values func([]any, T) []any) []any {
	var all []any
	for _, row := range rows {
		all = values(all, row)
	}
	return all
}

func nonceValues(to []any, n Nonce) []any {
	return append(to, n.AccessKey, n.inTime(), n.ExpiresAt.UnixMicro())
}

// inTime is the nonce behind the time at which it expires, which is that of its request. So nonces that come one after
// the other lie side by side in the index: a batch changes a few of its pages, and not one for each nonce. Who repeats
// a request repeats its time.
func (n Nonce) inTime() string {
	return fmt.Sprintf("%016x %s", n.ExpiresAt.UnixMicro(), n.key().Nonce)
}

// inIndexOrder sorts nonces as the index on what inserts write does.
func inIndexOrder(nonces []Nonce) []Nonce {
	return slices.SortedFunc(slices.Values(nonces), func(a, b Nonce) int {
		return cmp.Or(cmp.Compare(a.AccessKey, b.AccessKey), a.ExpiresAt.Compare(b.ExpiresAt), cmp.Compare(a.Nonce, b.Nonce))
	})
}

func callValues(to []any, e AuditEntry) []any {
	return append(to, e.At.UnixMicro(), legible(e.RequestID), legible(e.Who), legible(e.What), legible(e.Object), legible(e.Result))
}
