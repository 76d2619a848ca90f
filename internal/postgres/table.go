package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

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

// EndSnapshot ends the transaction of BeginSnapshot.
func EndSnapshot(ctx context.Context, conn *pgx.Conn) error {
	if err := execAll(ctx, conn, []string{"ROLLBACK"}); err != nil {
		return fmt.Errorf("end snapshot of %s: %w", conn.Config().Database, err)
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
