package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// ExportSnapshot gives the snapshot of conn's transaction a name by which other sessions of the same
// database can see what it sees, as long as that transaction lasts.
func ExportSnapshot(ctx context.Context, conn *pgx.Conn) (string, error) {
	var name string
	if err := conn.QueryRow(ctx, `SELECT pg_catalog.pg_export_snapshot()`).Scan(&name); err != nil {
		return "", fmt.Errorf("export the snapshot of %s: %w", conn.Config().Database, err)
	}
	return name, nil
}

// JoinSnapshot starts a read-only transaction that sees what the one that exported the snapshot sees.
func JoinSnapshot(ctx context.Context, conn *pgx.Conn, name string) error {
	err := execAll(ctx, conn, []string{
		"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
		"SET TRANSACTION SNAPSHOT " + quoteLiteral(name),
	})
	if err != nil {
		return fmt.Errorf("join the snapshot %s of %s: %w", name, conn.Config().Database, err)
	}
	return nil
}
