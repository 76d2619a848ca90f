package catalog

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

// CallRetention is how long calls of the vendors' APIs are kept. Clients poll: what they changed is
// in the audit record, for good.
const CallRetention = 30 * 24 * time.Hour

// MaxCalls bounds them besides: they take about a gigabyte then.
const MaxCalls = 5_000_000

// Nonce is what a client says once in its life. A request that is sent again has the same nonce and expires at the same
// time. One that is signed anew with a nonce used before is refused too on PostgreSQL; SQLite takes it for another one.
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
	if !c.rowByRow {
		return c.writeProvenBatch(ctx, b)
	}
	// Prepared before the transaction, which has the only connection.
	insert, err := c.inserts(ctx)
	if err != nil {
		return nil, err
	}
	var inserted []Nonce
	err = c.changeLoosely(ctx, func(tx *sql.Tx) error {
		if inserted, err = insert.write(ctx, tx, b.Nonces, b.Calls); err != nil {
			return err
		}
		return writeUsed(ctx, tx, b.Used)
	})
	return freshOf(b.Nonces, inserted), err
}

// writeProvenBatch is WriteAPIBatch of one among several processes.
func (c *Catalog) writeProvenBatch(ctx context.Context, b APIBatch) (fresh []bool, err error) {
	// In order: servers that write the same must wait for each other, not in a circle.
	sorted := inKeyOrder(b.Nonces)
	var inserted []Nonce
	err = c.writers.proven(ctx, func(id string) error {
		if len(b.Used) == 0 { // one statement is a transaction
			inserted, err = writeAtOnce(ctx, c.loose, id, sorted, b.Calls)
			return err
		}
		return changeIn(ctx, c.loose, func(tx *sql.Tx) error {
			if inserted, err = writeAtOnce(ctx, tx, id, sorted, b.Calls); err != nil {
				return err
			}
			return writeUsed(ctx, tx, b.Used)
		})
	})
	return freshOf(b.Nonces, inserted), err
}

// inKeyOrder sorts nonces as the table's index does.
func inKeyOrder(nonces []Nonce) []Nonce {
	return slices.SortedFunc(slices.Values(nonces), func(a, b Nonce) int {
		return cmp.Or(cmp.Compare(a.AccessKey, b.AccessKey), cmp.Compare(a.Nonce, b.Nonce))
	})
}

// writeUsed writes down when access keys were used last.
func writeUsed(ctx context.Context, tx *sql.Tx, used map[string]time.Time) error {
	for _, key := range slices.Sorted(maps.Keys(used)) {
		at := used[key]
		if _, err := tx.ExecContext(ctx, updateLastUsed, key, instant{&at}); err != nil {
			return fmt.Errorf("record use of access key %s: %w", key, err)
		}
	}
	return nil
}

const insertBatch = `
WITH
    own AS MATERIALIZED (
        SELECT id
          FROM writer
         WHERE id = $10
           FOR KEY SHARE
    ),
    recorded AS (
        INSERT INTO api_call (at, request_id, who, what, object, result)
        SELECT *
          FROM unnest($4::bigint[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[])
         WHERE EXISTS (SELECT FROM own)
        ON CONFLICT DO NOTHING
    ),
    fresh AS (
        INSERT INTO used_nonce (access_key, nonce, expires_at)
        SELECT *
          FROM unnest($1::text[], $2::text[], $3::bigint[])
         WHERE EXISTS (SELECT FROM own)
        ON CONFLICT DO NOTHING
        RETURNING access_key, nonce
    )
SELECT '', id
  FROM own
 UNION ALL
SELECT access_key, nonce
  FROM fresh`

// writeAtOnce writes everything with one statement, which is one way to a PostgreSQL server and back,
// and returns the nonces that are new, besides what proves that the row of this process, id, is there.
func writeAtOnce(ctx context.Context, db asker, id string, nonces []Nonce, calls []AuditEntry) ([]Nonce, error) {
	var expire, at []int64
	var keys, texts, requests, who, what, objects, results []string
	for _, n := range nonces {
		keys, texts, expire = append(keys, n.AccessKey), append(texts, legible(n.Nonce)), append(expire, n.ExpiresAt.UnixMicro())
	}
	for _, e := range calls {
		at, requests, who = append(at, e.At.UnixMicro()), append(requests, legible(e.RequestID)), append(who, legible(e.Who))
		what, objects, results = append(what, legible(e.What)), append(objects, legible(e.Object)), append(results, legible(e.Result))
	}
	inserted, err := collect(ctx, db, scanNonce, insertBatch, keys, texts, expire, at, requests, who, what, objects, results, id)
	if err != nil {
		return nil, fmt.Errorf("remember nonces and record calls: %w", err)
	}
	own := Nonce{Nonce: id} // no access key is empty
	if !slices.Contains(inserted, own) {
		return nil, errGone
	}
	return inserted, nil
}

func scanNonce(r row) (n Nonce, err error) { return n, r.Scan(&n.AccessKey, &n.Nonce) }

// key is what must not be said twice, as it is stored.
func (n Nonce) key() Nonce { return Nonce{AccessKey: n.AccessKey, Nonce: legible(n.Nonce)} }

// freshOf tells which of the nonces were inserted. Of two that are alike, the first one was.
func freshOf(nonces, inserted []Nonce) []bool {
	left := make(map[Nonce]bool, len(inserted))
	for _, n := range inserted {
		left[n] = true
	}
	fresh := make([]bool, len(nonces))
	for i, n := range nonces {
		key := n.key()
		fresh[i] = left[key]
		delete(left, key)
	}
	return fresh
}

const selectLastNonceExpiry = `
SELECT coalesce(max(expires_at), 0)
  FROM used_nonce`

// LastNonceExpiry returns when the last of the nonces expires that are in the record.
func (c *Catalog) LastNonceExpiry(ctx context.Context) (at time.Time, err error) {
	if err := c.read.QueryRowContext(ctx, selectLastNonceExpiry).Scan(instant{&at}); err != nil {
		return time.Time{}, fmt.Errorf("look for the last nonce: %w", err)
	}
	return at, nil
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
DELETE FROM used_nonce
 WHERE (access_key, nonce) IN (SELECT access_key, nonce FROM used_nonce WHERE expires_at < $1 ORDER BY expires_at LIMIT 1000)`

	deleteCalls = `
DELETE FROM api_call
 WHERE (at, request_id) IN (SELECT at, request_id FROM api_call WHERE at < $1 ORDER BY at LIMIT 1000)`

	deleteClientTokens = `
DELETE FROM client_token
 WHERE created_at < $1`
)

// nonceGrace is how long nonces are kept that have expired: the clock of another server with the same record may be
// behind, and let a request in for a while that is too old by this one's.
const nonceGrace = 5 * time.Minute

// ForgetExpired deletes what requests have left behind and nobody asks for any more. It returns
// whether there is more to delete.
func (c *Catalog) ForgetExpired(ctx context.Context, now time.Time) (more bool, err error) {
	err = c.changeLoosely(ctx, func(tx *sql.Tx) error {
		for _, expired := range []struct {
			query  string
			before time.Time
		}{
			{deleteNonces, now.Add(-nonceGrace)}, {deleteCalls, now.Add(-CallRetention)}, {deleteClientTokens, now.Add(-ClientTokenRetention)},
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

const selectCallBeyond = `
  SELECT at
    FROM api_call
ORDER BY at DESC
   LIMIT 1 OFFSET $1`

const deleteCallsUntil = `
DELETE FROM api_call
 WHERE (at, request_id) IN (SELECT at, request_id FROM api_call WHERE at <= $1 ORDER BY at LIMIT 1000)`

// TrimCalls deletes the oldest calls, so that so many are left.
func (c *Catalog) TrimCalls(ctx context.Context, keep int) error {
	var until time.Time
	err := c.read.QueryRowContext(ctx, selectCallBeyond, keep).Scan(instant{&until})
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	for deleted := int64(1000); err == nil && deleted >= 1000; {
		err = c.changeLoosely(ctx, func(tx *sql.Tx) error {
			deleted, err = changed(tx.ExecContext(ctx, deleteCallsUntil, instant{&until}))
			return err
		})
	}
	if err != nil {
		return fmt.Errorf("trim calls: %w", err)
	}
	return nil
}
