package catalog

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// CallRetention is how long calls of the vendors' APIs are kept. Clients poll: what they changed is
// in the audit record, for good.
const CallRetention = 30 * 24 * time.Hour

// Nonce is what a client says once in its life.
type Nonce struct {
	AccessKey string
	Nonce     string
	ExpiresAt time.Time // when a request that repeats it is too old anyway
}

// APIBatch is what many requests have written at once.
type APIBatch struct {
	Nonces []Nonce
	Calls  []AuditEntry
	Used   map[string]time.Time // access keys, and when they were used last
}

const updateLastUsed = `
UPDATE access_key
   SET last_used_at = $2
 WHERE id = $1 AND (last_used_at IS NULL OR last_used_at < $2)`

// WriteAPIBatch writes a batch in one transaction, and tells of each nonce whether it is new. It
// survives a crash of the program; a power failure may take the last moments with it, which is
// worth not waiting for the disk in every request.
func (c *Catalog) WriteAPIBatch(ctx context.Context, b APIBatch) (fresh []bool, err error) {
	var nonce, call *sql.Stmt
	if c.rowByRow { // before the transaction, which has the only connection
		if nonce, err = c.prepared(ctx, c.loose, insertNonces+"($1, $2, $3) ON CONFLICT DO NOTHING"); err != nil {
			return nil, err
		}
		if call, err = c.prepared(ctx, c.loose, insertCall+"($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING"); err != nil {
			return nil, err
		}
	}
	err = c.changeLoosely(ctx, func(tx *sql.Tx) error {
		if fresh, err = useNonces(ctx, tx, nonce, b.Nonces); err != nil {
			return fmt.Errorf("remember nonces: %w", err)
		}
		if err := insertCalls(ctx, tx, call, b.Calls); err != nil {
			return fmt.Errorf("record calls: %w", err)
		}
		// In order: servers that write the same keys must wait for each other, not in a circle.
		for _, key := range slices.Sorted(maps.Keys(b.Used)) {
			at := b.Used[key]
			if _, err := tx.ExecContext(ctx, updateLastUsed, key, instant{&at}); err != nil {
				return fmt.Errorf("record use of access key %s: %w", key, err)
			}
		}
		return nil
	})
	return fresh, err
}

// rowsAtOnce bounds the rows of a statement: each number of rows is a text of its own.
const rowsAtOnce = 50

const insertNonces = `
INSERT INTO nonce (access_key, nonce, expires_at) VALUES `

// useNonces inserts row by row, if there is a statement for that.
func useNonces(ctx context.Context, tx *sql.Tx, one *sql.Stmt, nonces []Nonce) ([]bool, error) {
	// In order, for the same reason as the keys.
	sorted := slices.SortedFunc(slices.Values(nonces), func(a, b Nonce) int {
		return cmp.Or(cmp.Compare(a.AccessKey, b.AccessKey), cmp.Compare(a.Nonce, b.Nonce))
	})
	inserted := make([]Nonce, 0, len(nonces))
	if one != nil {
		one = tx.StmtContext(ctx, one)
		for _, n := range sorted {
			key := Nonce{AccessKey: n.AccessKey, Nonce: legible(n.Nonce)}
			rows, err := changed(one.ExecContext(ctx, key.AccessKey, key.Nonce, n.ExpiresAt.UnixMicro()))
			if err != nil {
				return nil, err
			}
			if rows == 1 {
				inserted = append(inserted, key)
			}
		}
		return freshOf(nonces, inserted), nil
	}
	for some := range slices.Chunk(sorted, rowsAtOnce) {
		args := make([]any, 0, 3*len(some))
		for _, n := range some {
			args = append(args, n.AccessKey, legible(n.Nonce), n.ExpiresAt.UnixMicro())
		}
		these, err := collect(ctx, tx, scanNonce,
			insertNonces+placeholders(len(some), 3)+" ON CONFLICT DO NOTHING RETURNING access_key, nonce", args...)
		if err != nil {
			return nil, err
		}
		inserted = append(inserted, these...)
	}
	return freshOf(nonces, inserted), nil
}

func scanNonce(r row) (n Nonce, err error) { return n, r.Scan(&n.AccessKey, &n.Nonce) }

// freshOf tells which of the nonces were inserted. Of two that are alike, the first one was.
func freshOf(nonces, inserted []Nonce) []bool {
	left := make(map[Nonce]bool, len(inserted))
	for _, n := range inserted {
		left[n] = true
	}
	fresh := make([]bool, len(nonces))
	for i, n := range nonces {
		key := Nonce{AccessKey: n.AccessKey, Nonce: legible(n.Nonce)}
		fresh[i] = left[key]
		delete(left, key)
	}
	return fresh
}

const insertCall = `
INSERT INTO api_call (at, request_id, who, what, object, result) VALUES `

func insertCalls(ctx context.Context, tx *sql.Tx, one *sql.Stmt, calls []AuditEntry) error {
	values := func(e AuditEntry) []any {
		return []any{e.At.UnixMicro(), legible(e.RequestID), legible(e.Who), legible(e.What), legible(e.Object), legible(e.Result)}
	}
	if one != nil {
		one = tx.StmtContext(ctx, one)
		for _, e := range calls {
			if _, err := one.ExecContext(ctx, values(e)...); err != nil {
				return err
			}
		}
		return nil
	}
	for some := range slices.Chunk(calls, rowsAtOnce) {
		args := make([]any, 0, 6*len(some))
		for _, e := range some {
			args = append(args, values(e)...)
		}
		if _, err := tx.ExecContext(ctx, insertCall+placeholders(len(some), 6)+" ON CONFLICT DO NOTHING", args...); err != nil {
			return err
		}
	}
	return nil
}

// placeholders are "($1, $2), ($3, $4)" for two rows of two values.
func placeholders(rows, columns int) string {
	var b strings.Builder
	for i := range rows * columns {
		switch {
		case i == 0:
			b.WriteString("(")
		case i%columns == 0:
			b.WriteString("), (")
		default:
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "$%d", i+1)
	}
	return b.String() + ")"
}

const selectCalls = `
  SELECT at, who, what, object, result, request_id
    FROM api_call
ORDER BY at DESC, request_id DESC
   LIMIT $1`

// Calls returns the last calls of the vendors' APIs, the newest first, at most so many (0: all).
func (c *Catalog) Calls(ctx context.Context, atMost int) ([]AuditEntry, error) {
	calls, err := collect(ctx, c.read, scanAudit, selectCalls, limit(atMost))
	if err != nil {
		return nil, fmt.Errorf("read calls: %w", err)
	}
	return calls, nil
}

// What has expired is deleted a little at a time: others wait for the writer meanwhile.
const (
	deleteNonces = `
DELETE FROM nonce
 WHERE (access_key, nonce) IN (SELECT access_key, nonce FROM nonce WHERE expires_at < $1 ORDER BY expires_at LIMIT 1000)`

	deleteCalls = `
DELETE FROM api_call
 WHERE (at, request_id) IN (SELECT at, request_id FROM api_call WHERE at < $1 ORDER BY at LIMIT 1000)`

	deleteClientTokens = `
DELETE FROM client_token
 WHERE created_at < $1`
)

// ForgetExpired deletes what requests have left behind and nobody asks for any more. It returns
// whether there is more to delete.
func (c *Catalog) ForgetExpired(ctx context.Context, now time.Time) (more bool, err error) {
	err = c.changeLoosely(ctx, func(tx *sql.Tx) error {
		for _, expired := range []struct {
			query  string
			before time.Time
		}{
			{deleteNonces, now}, {deleteCalls, now.Add(-CallRetention)}, {deleteClientTokens, now.Add(-ClientTokenRetention)},
		} {
			n, err := changed(tx.ExecContext(ctx, expired.query, instant{&expired.before}))
			if err != nil {
				return err
			}
			more = more || n >= 1000
		}
		return nil
	})
	if err != nil {
		return false, fmt.Errorf("forget expired nonces and calls: %w", err)
	}
	return more, nil
}
