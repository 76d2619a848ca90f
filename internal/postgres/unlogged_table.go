package postgres

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"
)

// UnloggedTable is a table whose rows are in no WAL.
type UnloggedTable struct {
	Schema, Name string
	Columns      []string // without those that are generated
}

// ident is its name, quoted.
func (t UnloggedTable) ident() string { return quoteIdent(t.Schema, t.Name) }

// UnloggedTables lists the unlogged tables of a database. Their sequences are among the others.
func UnloggedTables(ctx context.Context, conn *pgx.Conn) ([]UnloggedTable, error) {
	rows, err := conn.Query(ctx, `
		SELECT n.nspname, c.relname, ARRAY (
			SELECT a.attname::text FROM pg_attribute a
			WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
			ORDER BY a.attnum
		)
		FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE c.relkind = 'r' AND c.relpersistence = 'u'
		ORDER BY c.oid`)
	if err != nil {
		return nil, fmt.Errorf("list the unlogged tables of %s: %w", conn.Config().Database, err)
	}
	tables, err := pgx.CollectRows(rows, pgx.RowToStructByPos[UnloggedTable])
	if err != nil {
		return nil, fmt.Errorf("list the unlogged tables of %s: %w", conn.Config().Database, err)
	}
	return tables, nil
}

// LockUnloggedTables keeps everybody from writing to them until UnlockTables, or the end of the session, and takes no
// xid. Autovacuum gives way to who waits for it for deadlock_timeout (proc.c, ProcSleep).
func LockUnloggedTables(ctx context.Context, conn *pgx.Conn, tables []UnloggedTable) error {
	var names []string
	for _, table := range tables {
		names = append(names, "ONLY "+table.ident())
	}
	err := execAll(ctx, conn, []string{
		"BEGIN", "SET LOCAL deadlock_timeout = '10ms'", "LOCK TABLE " + strings.Join(names, ", ") + " IN SHARE MODE",
	})
	if err != nil {
		return fmt.Errorf("lock the unlogged tables of %s: %w", conn.Config().Database, err)
	}
	return nil
}

// UnlockTables undoes LockUnloggedTables.
func UnlockTables(ctx context.Context, conn *pgx.Conn) error {
	if err := execAll(ctx, conn, []string{"ROLLBACK"}); err != nil {
		return fmt.Errorf("unlock the unlogged tables of %s: %w", conn.Config().Database, err)
	}
	return nil
}

// CarryUnloggedTables replaces the rows of the target's unlogged tables by those of the source's, without
// firing triggers. Rows that are there are deleted: a TRUNCATE would wait for whoever reads the table.
// Carrying twice is carrying once.
func CarryUnloggedTables(ctx context.Context, source, target *pgx.Conn, tables []UnloggedTable) error {
	if len(tables) == 0 {
		return nil
	}
	err := pgx.BeginFunc(ctx, target, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SELECT set_config('session_replication_role', 'replica', true)`); err != nil {
			return err
		}
		for _, table := range tables {
			if _, err := tx.Exec(ctx, "DELETE FROM ONLY "+table.ident()); err != nil {
				return fmt.Errorf("empty %s: %w", table.ident(), err)
			}
			if err := copyRows(ctx, source, target, table); err != nil {
				return fmt.Errorf("copy %s: %w", table.ident(), err)
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("carry the unlogged tables of %s: %w", target.Config().Database, err)
	}
	return nil
}

// copyRows pipes COPY TO into COPY FROM, in the database's own encoding: that of a SQL_ASCII database may be
// any, and is not to be looked at.
func copyRows(ctx context.Context, source, target *pgx.Conn, table UnloggedTable) error {
	what := table.ident()
	if len(table.Columns) > 0 {
		var columns []string
		for _, column := range table.Columns {
			columns = append(columns, quoteIdent(column))
		}
		what += " (" + strings.Join(columns, ", ") + ")"
	}
	encoding := " (ENCODING " + quoteLiteral(source.PgConn().ParameterStatus("server_encoding")) + ")"
	reader, writer := io.Pipe()
	both, ctx := errgroup.WithContext(ctx)
	both.Go(func() error {
		_, err := source.PgConn().CopyTo(ctx, writer, "COPY "+what+" TO STDOUT"+encoding)
		return writer.CloseWithError(err) // nil ends the copy
	})
	both.Go(func() error {
		_, err := target.PgConn().CopyFrom(ctx, reader, "COPY "+what+" FROM STDIN"+encoding)
		reader.CloseWithError(err) //nolint:errcheck // it always succeeds
		return err
	})
	return both.Wait()
}
