package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

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

// changeIdentityOnce is one attempt. The table may be another one when it is locked than when it was looked at.
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
	if err := lockTable(ctx, conn, before); err != nil {
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

// lockTable waits for a moment. Somebody else may have the table, or have given it another name.
func lockTable(ctx context.Context, conn *pgx.Conn, table lockedTable) error {
	_, err := conn.Exec(ctx, "LOCK TABLE ONLY "+table.ident+" IN ACCESS EXCLUSIVE MODE")
	if IsCode(err, codeLockNotAvailable) || IsCode(err, codeDeadlockDetected) || IsCode(err, codeUndefinedTable) {
		return errTableBusy
	}
	return err
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
