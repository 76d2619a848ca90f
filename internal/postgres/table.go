package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// TableSize is a table that holds rows, and its size.
type TableSize struct {
	Name  string // quoted and schema-qualified
	Bytes int64
}

// TableSizes lists the tables of a database whose rows are replicated.
func TableSizes(ctx context.Context, conn *pgx.Conn) ([]TableSize, error) {
	rows, err := conn.Query(ctx, `
		SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname), pg_relation_size(c.oid)
		FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE c.relkind = 'r' AND c.relpersistence = 'p'
			AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pgleap')
		ORDER BY 2, 1`)
	if err != nil {
		return nil, fmt.Errorf("list tables: %w", err)
	}
	tables, err := pgx.CollectRows(rows, pgx.RowToStructByPos[TableSize])
	if err != nil {
		return nil, fmt.Errorf("list tables: %w", err)
	}
	return tables, nil
}

// CountRows counts the rows of a table, given by its quoted name, without those of its children.
func CountRows(ctx context.Context, conn *pgx.Conn, table string) (int64, error) {
	var count int64
	if err := conn.QueryRow(ctx, "SELECT count(*) FROM ONLY "+table).Scan(&count); err != nil {
		return 0, fmt.Errorf("count the rows of %s in %s: %w", table, conn.Config().Database, err)
	}
	return count, nil
}

// BeginSnapshot starts a read-only transaction that sees the database as it is now, until it ends.
func BeginSnapshot(ctx context.Context, conn *pgx.Conn) error {
	err := execAll(ctx, conn, []string{
		"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
		"SELECT pg_current_snapshot()", // the first statement takes the snapshot
	})
	if err != nil {
		return fmt.Errorf("open snapshot of %s: %w", conn.Config().Database, err)
	}
	return nil
}

// CountRelations counts the relations of a database that are not PostgreSQL's own.
func CountRelations(ctx context.Context, conn *pgx.Conn) (int, error) {
	var count int
	if err := conn.QueryRow(ctx, `SELECT count(*)::int FROM pg_class WHERE oid >= 16384`).Scan(&count); err != nil {
		return 0, fmt.Errorf("count the relations of %s: %w", conn.Config().Database, err)
	}
	return count, nil
}
