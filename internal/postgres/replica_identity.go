package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// WithIdentities begins a query on the tables that a publication FOR ALL TABLES publishes, with what
// there is to identify their rows. Its last part is called identities:
//
//	oid, nspname, relname
//	name       quoted, with its schema
//	identity   as pg_class.relreplident has it: d, n, f, i
//	identified whether the identity names a row as it stands
//	usable_key whether there is a primary key that can be the identity; a deferrable one cannot
//	           (relcache.c, RelationGetIndexList)
//	candidate  a unique index that can be the identity, quoted
//	unequal    columns whose types have no equality, by which FULL cannot find a row
//	           (execReplication.c, tuples_equal; typcache.c, lookup_type_cache)
//	can_full   whether the table lacks an identity, and FULL would be one
//	mend       the statement that gives the table an identity, if there is one
const WithIdentities = `
	WITH RECURSIVE unequal_types AS (
		SELECT t.oid, t.typarray
		FROM pg_type t
		WHERE t.typtype = 'b'
			AND NOT EXISTS (SELECT FROM pg_type e WHERE e.typarray = t.oid)
			AND NOT EXISTS (
				SELECT FROM pg_opclass o JOIN pg_am m ON m.oid = o.opcmethod
				WHERE m.amname IN ('btree', 'hash') AND o.opcdefault
					AND (
						o.opcintype = t.oid
						OR EXISTS (
							SELECT FROM pg_cast c
							WHERE c.castsource = t.oid AND c.casttarget = o.opcintype
								AND c.castmethod = 'b' AND c.castcontext = 'i'
						)
					)
			)
		UNION
		SELECT * FROM (
			WITH known AS (SELECT oid, typarray FROM unequal_types)
			SELECT t.oid, t.typarray FROM known k JOIN pg_type t ON t.oid = k.typarray
			UNION ALL
			SELECT t.oid, t.typarray FROM known k JOIN pg_type t ON t.typbasetype = k.oid AND t.typtype = 'd'
			UNION ALL
			SELECT t.oid, t.typarray
			FROM known k JOIN pg_attribute a ON a.atttypid = k.oid AND a.attnum > 0 AND NOT a.attisdropped
			JOIN pg_type t ON t.typrelid = a.attrelid AND t.typtype = 'c'
		) AS grown
	), published AS (
		SELECT c.oid, n.nspname, c.relname, format('%I.%I', n.nspname, c.relname) AS name, c.relreplident AS identity
		FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE c.oid >= 16384 AND c.relkind = 'r' AND c.relpersistence = 'p' AND n.nspname <> 'pgleap'
	), judged AS (
		SELECT p.*,
			EXISTS (
				SELECT FROM pg_index i
				WHERE i.indrelid = p.oid AND i.indisprimary AND i.indisvalid AND i.indimmediate
			) AS usable_key,
			EXISTS (
				SELECT FROM pg_index i
				WHERE i.indrelid = p.oid AND i.indisprimary AND NOT i.indimmediate
			) AS deferrable_key,
			EXISTS (
				SELECT FROM pg_index i
				WHERE i.indrelid = p.oid AND i.indisreplident AND i.indisvalid AND i.indimmediate
			) AS usable_index,
			(
				SELECT quote_ident(x.relname)
				FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid
				WHERE i.indrelid = p.oid AND i.indisunique AND i.indisvalid AND i.indimmediate
					AND i.indpred IS NULL AND i.indexprs IS NULL
					AND NOT EXISTS (
						SELECT FROM unnest(i.indkey[0:i.indnkeyatts - 1]) AS k
						JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k
						WHERE NOT a.attnotnull
					)
				ORDER BY i.indnkeyatts, x.relname
				LIMIT 1
			) AS candidate,
			(
				SELECT string_agg(format('%I %s', a.attname, format_type(a.atttypid, a.atttypmod)), ', ' ORDER BY a.attnum)
				FROM pg_attribute a JOIN unequal_types u ON u.oid = a.atttypid
				WHERE a.attrelid = p.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
			) AS unequal
		FROM published p
	), identities AS (
		SELECT k.*, NOT identified AND unequal IS NULL AS can_full,
			CASE
				WHEN usable_key THEN 'ALTER TABLE ' || name || ' REPLICA IDENTITY DEFAULT'
				WHEN candidate IS NOT NULL THEN 'ALTER TABLE ' || name || ' REPLICA IDENTITY USING INDEX ' || candidate
				WHEN unequal IS NULL AND identity <> 'f' THEN 'ALTER TABLE ' || name || ' REPLICA IDENTITY FULL'
			END AS mend
		FROM (
			SELECT j.*, CASE j.identity WHEN 'd' THEN usable_key WHEN 'i' THEN usable_index ELSE j.identity = 'f' END AS identified
			FROM judged j
		) AS k
	)`

// FormerIdentity is a table with the replica identity that it had before it was given FULL.
type FormerIdentity struct {
	// OID finds the table where it was given FULL. 0: it is found by its name, in a copy of the cluster.
	OID      uint32 `json:"oid"`
	Schema   string `json:"schema"`
	Name     string `json:"name"`
	Identity string `json:"identity"`        // as pg_class.relreplident has it: d, n or i
	Index    string `json:"index,omitempty"` // with i, if the index was there
}

// String is the table's name, quoted.
func (f FormerIdentity) String() string { return quoteIdent(f.Schema, f.Name) }

// TablesWithoutIdentity lists the tables of a database whose updates would fail as soon as they are
// published, and to which FULL gives an identity.
func TablesWithoutIdentity(ctx context.Context, conn *pgx.Conn) ([]FormerIdentity, error) {
	rows, err := conn.Query(ctx, WithIdentities+`
		SELECT t.oid, nspname, relname, identity::text, coalesce((
			SELECT x.relname FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid
			WHERE i.indrelid = t.oid AND i.indisreplident AND identity = 'i'), '')
		FROM identities t
		WHERE can_full
		ORDER BY name`)
	if err != nil {
		return nil, fmt.Errorf("list tables without replica identity: %w", err)
	}
	tables, err := pgx.CollectRows(rows, pgx.RowToStructByPos[FormerIdentity])
	if err != nil {
		return nil, fmt.Errorf("list tables without replica identity: %w", err)
	}
	return tables, nil
}

// GiveFullIdentity makes whole rows a table's replica identity. A table that is gone is passed over.
func GiveFullIdentity(ctx context.Context, conn *pgx.Conn, table FormerIdentity) error {
	err := changeIdentity(ctx, conn, table, func(_ context.Context, now lockedTable) ([]string, error) {
		if now.identity == "f" {
			return nil, nil
		}
		return []string{"ALTER TABLE " + now.ident + " REPLICA IDENTITY FULL"}, nil
	})
	if err != nil {
		return fmt.Errorf("give %s in %s REPLICA IDENTITY FULL: %w", table, conn.Config().Database, err)
	}
	return nil
}

// RestoreIdentity gives a table the replica identity back that it had before it was given FULL. One
// that is gone, or has another identity by now, is passed over: somebody else has decided on it.
func RestoreIdentity(ctx context.Context, conn *pgx.Conn, former FormerIdentity) error {
	err := changeIdentity(ctx, conn, former, func(ctx context.Context, now lockedTable) ([]string, error) {
		if now.identity != "f" {
			return nil, nil
		}
		switch former.Identity {
		case "d":
			return []string{"ALTER TABLE " + now.ident + " REPLICA IDENTITY DEFAULT"}, nil
		case "n":
			return []string{"ALTER TABLE " + now.ident + " REPLICA IDENTITY NOTHING"}, nil
		case "i":
			return restoreIndex(ctx, conn, now, former.Index)
		}
		return nil, fmt.Errorf("unknown identity %q", former.Identity)
	})
	if err != nil {
		return fmt.Errorf("give %s in %s its replica identity back: %w", former, conn.Config().Database, err)
	}
	return nil
}

// restoreIndex makes an index the identity again. The table was given FULL because that index was gone
// or invalid, and such a one no statement accepts (tablecmds.c, ATExecReplicaIdentity): then the
// catalogs are set to what ALTER TABLE made of them, which the lock on the table makes safe.
func restoreIndex(ctx context.Context, conn *pgx.Conn, now lockedTable, index string) ([]string, error) {
	var oid uint32
	var valid bool
	err := conn.QueryRow(ctx, `
		SELECT i.indexrelid, i.indisvalid FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid
		WHERE i.indrelid = $1 AND x.relname = $2`, now.oid, index).Scan(&oid, &valid)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return nil, fmt.Errorf("look for index %s: %w", index, err)
	}
	if valid {
		return []string{"ALTER TABLE " + now.ident + " REPLICA IDENTITY USING INDEX " + quoteIdent(index)}, nil
	}
	statements := []string{fmt.Sprintf("UPDATE pg_catalog.pg_class SET relreplident = 'i' WHERE oid = %d", now.oid)}
	if oid != 0 {
		statements = append(statements, fmt.Sprintf("UPDATE pg_catalog.pg_index SET indisreplident = true WHERE indexrelid = %d", oid))
	}
	return statements, nil
}

// lockedTable is a table as it is while nobody else can touch it.
type lockedTable struct {
	oid      uint32
	ident    string // quoted, with its schema
	identity string
}

const (
	// identityLock is for how long a change waits for the table, and everybody who comes after it behind it.
	identityLock = 50 * time.Millisecond
	// identityPause is how long others have the table between two attempts.
	identityPause = 500 * time.Millisecond
	// identityPatience is how long it is attempted. A client that has the table for longer has to be asked.
	identityPatience = 2 * time.Minute
)

// errTableBusy is why an attempt is made again.
var errTableBusy = errors.New("the table is in use")

// changeIdentity does what change returns, in a transaction that has the table to itself. To get it,
// it waits for moments only, again and again.
func changeIdentity(ctx context.Context, conn *pgx.Conn, table FormerIdentity, change func(context.Context, lockedTable) ([]string, error)) error {
	limit := time.Now().Add(identityPatience)
	for {
		err := changeIdentityOnce(ctx, conn, table, change)
		if !errors.Is(err, errTableBusy) {
			return err
		}
		if time.Now().After(limit) {
			return fmt.Errorf("%w for more than %s, let the transactions end: %s", errTableBusy, identityPatience, holders(ctx, conn, table))
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %s: %w", errTableBusy, holders(context.WithoutCancel(ctx), conn, table), ctx.Err())
		case <-time.After(identityPause):
		}
	}
}

// Autovacuum gives way to a lock only when the waiter looks for a deadlock (proc.c, ProcSleep), so that
// has to be before the waiter gives up.
var identityTimeouts = []string{
	"BEGIN",
	fmt.Sprintf("SET LOCAL lock_timeout = '%dms'", identityLock.Milliseconds()),
	fmt.Sprintf("SET LOCAL deadlock_timeout = '%dms'", identityLock.Milliseconds()/2),
	"SET LOCAL synchronous_commit = local",
}

func changeIdentityOnce(ctx context.Context, conn *pgx.Conn, table FormerIdentity, change func(context.Context, lockedTable) ([]string, error)) (err error) {
	if err := execAll(ctx, conn, identityTimeouts); err != nil {
		return err
	}
	defer func() {
		if !conn.IsClosed() && conn.PgConn().TxStatus() != 'I' {
			err = errors.Join(err, execAll(context.WithoutCancel(ctx), conn, []string{"ROLLBACK"}))
		}
	}()
	before, found, err := findTable(ctx, conn, table)
	if err != nil || !found {
		return err
	}
	if statements, err := change(ctx, before); err != nil || len(statements) == 0 {
		return err // nobody has to wait for nothing
	}
	_, err = conn.Exec(ctx, "LOCK TABLE ONLY "+before.ident+" IN ACCESS EXCLUSIVE MODE")
	if IsCode(err, codeLockNotAvailable) || IsCode(err, codeDeadlockDetected) || IsCode(err, codeUndefinedTable) {
		return errTableBusy // or on its way to another name
	}
	if err != nil {
		return err
	}
	now, found, err := findTable(ctx, conn, table)
	if err != nil || !found {
		return err
	}
	if now.oid != before.oid || now.ident != before.ident {
		return errTableBusy
	}
	statements, err := change(ctx, now)
	if err != nil || len(statements) == 0 {
		return err
	}
	return execAll(ctx, conn, append(statements, "COMMIT"))
}

func findTable(ctx context.Context, conn *pgx.Conn, table FormerIdentity) (lockedTable, bool, error) {
	var t lockedTable
	err := conn.QueryRow(ctx, `
		SELECT c.oid, format('%I.%I', n.nspname, c.relname), c.relreplident::text
		FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE c.relkind = 'r' AND CASE WHEN $1::oid <> 0 THEN c.oid = $1 ELSE n.nspname = $2 AND c.relname = $3 END`,
		table.OID, table.Schema, table.Name).Scan(&t.oid, &t.ident, &t.identity)
	if errors.Is(err, pgx.ErrNoRows) {
		return t, false, nil
	}
	if err != nil {
		return t, false, fmt.Errorf("look for table %s: %w", table, err)
	}
	return t, true, nil
}

// holders names who has locks on a table.
func holders(ctx context.Context, conn *pgx.Conn, table FormerIdentity) string {
	found, exists, err := findTable(ctx, conn, table)
	if err != nil || !exists {
		return "it is not known by whom"
	}
	backends, err := queryBackends(ctx, conn, fmt.Sprintf(`%s AND pid IN (
		SELECT l.pid FROM pg_locks l JOIN pg_database d ON d.oid = l.database
		WHERE d.datname = current_database() AND l.relation = %d AND l.granted)`, readBackends, found.oid))
	if err != nil || len(backends) == 0 {
		return "by a prepared transaction, or somebody who has just left"
	}
	names := make([]string, len(backends))
	for i, b := range backends {
		names[i] = b.String()
	}
	return strings.Join(names, "; ")
}

// SQLSTATEs of a lock that was not to be had (PostgreSQL documentation, appendix A).
const (
	codeLockNotAvailable = "55P03"
	codeDeadlockDetected = "40P01"
	codeUndefinedTable   = "42P01"
)
