package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// TablespaceLocations are the directories of the tablespaces by their oid. Tablespaces within the
// data directory (allow_in_place_tablespaces) are left out: they are copied with it.
func TablespaceLocations(ctx context.Context, conn *pgx.Conn) (map[uint32]string, error) {
	rows, err := conn.Query(ctx, `
		SELECT oid, pg_tablespace_location(oid) FROM pg_tablespace
		WHERE pg_tablespace_location(oid) LIKE '/%'`)
	if err != nil {
		return nil, fmt.Errorf("list tablespaces: %w", err)
	}
	locations := map[uint32]string{}
	var oid uint32
	var location string
	_, err = pgx.ForEachRow(rows, []any{&oid, &location}, func() error {
		locations[oid] = location
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list tablespaces: %w", err)
	}
	return locations, nil
}
