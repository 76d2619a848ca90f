package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// ReplicatedDatabase is a database that an upgrade replicates.
type ReplicatedDatabase struct {
	Name string
	OID  uint32
}

// ReplicatedDatabases lists the databases that an upgrade replicates: all that allow connections
// but template0 and template1. A session in template1 would keep everybody from creating
// databases, so what changes in it during an upgrade is neither carried over nor looked at.
func ReplicatedDatabases(ctx context.Context, conn *pgx.Conn) ([]ReplicatedDatabase, error) {
	rows, err := conn.Query(ctx, `
		SELECT datname, oid FROM pg_database
		WHERE datallowconn AND datname NOT IN ('template0', 'template1')
		ORDER BY datname`)
	if err != nil {
		return nil, fmt.Errorf("list databases: %w", err)
	}
	databases, err := pgx.CollectRows(rows, pgx.RowToStructByPos[ReplicatedDatabase])
	if err != nil {
		return nil, fmt.Errorf("list databases: %w", err)
	}
	return databases, nil
}
