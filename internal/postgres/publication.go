package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// EnsurePublication publishes all tables of a database, those to come included.
// Every table must have a replica identity by then: without one its updates start to fail.
func EnsurePublication(ctx context.Context, conn *pgx.Conn) error {
	var exists bool
	err := conn.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_publication WHERE pubname = $1)`, upgrade.Publication).Scan(&exists)
	if err != nil {
		return fmt.Errorf("look for publication: %w", err)
	}
	if exists {
		return nil
	}
	if _, err := conn.Exec(ctx, "CREATE PUBLICATION "+quoteIdent(upgrade.Publication)+" FOR ALL TABLES"); err != nil {
		return fmt.Errorf("create publication %s in %s: %w", upgrade.Publication, conn.Config().Database, err)
	}
	return nil
}

// DropPublication removes the publication, if it is there.
func DropPublication(ctx context.Context, conn *pgx.Conn) error {
	if _, err := conn.Exec(ctx, "DROP PUBLICATION IF EXISTS "+quoteIdent(upgrade.Publication)); err != nil {
		return fmt.Errorf("drop publication %s in %s: %w", upgrade.Publication, conn.Config().Database, err)
	}
	return nil
}
