package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// FilledUnloggedTables lists what is unlogged and has rows in the database of conn, or has had some since it
// was emptied: tables, their TOAST tables, materialized views. A file grows before its first row is in it.
func FilledUnloggedTables(ctx context.Context, conn *pgx.Conn) ([]string, error) {
	rows, err := conn.Query(ctx, `
		SELECT c.oid::regclass::text
		FROM pg_class c
		WHERE c.relpersistence = 'u' AND c.relkind IN ('r', 't', 'm') AND pg_relation_size(c.oid) > 0
		ORDER BY 1`)
	if err != nil {
		return nil, fmt.Errorf("look for rows in unlogged tables of %s: %w", conn.Config().Database, err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("look for rows in unlogged tables of %s: %w", conn.Config().Database, err)
	}
	return names, nil
}
