package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// PartitionedParents lists the partitioned tables of a database: vacuumdb leaves their statistics
// out before 19, and so does autovacuum.
func PartitionedParents(ctx context.Context, conn *pgx.Conn) ([]string, error) {
	return tablesWhere(ctx, conn, `c.relkind = 'p' AND NOT c.relispartition`)
}

// AnalyzableTables lists what vacuumdb analyzes in a database: the catalogs, too, and no table of a
// session's own.
func AnalyzableTables(ctx context.Context, conn *pgx.Conn) ([]string, error) {
	return tablesWhere(ctx, conn, `c.relkind IN ('r', 'm') AND c.relpersistence <> 't'`)
}

func tablesWhere(ctx context.Context, conn *pgx.Conn, condition string) ([]string, error) {
	rows, err := conn.Query(ctx, `
		SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname)
		FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE `+condition+`
		ORDER BY c.oid`)
	if err != nil {
		return nil, fmt.Errorf("list tables: %w", err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("list tables: %w", err)
	}
	return names, nil
}

// Analyze collects the statistics of a table and what it is the parent of. The name is quoted.
func Analyze(ctx context.Context, conn *pgx.Conn, table string) error {
	if _, err := conn.Exec(ctx, "ANALYZE "+table); err != nil {
		return fmt.Errorf("analyze %s in %s: %w", table, conn.Config().Database, err)
	}
	return nil
}
