package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// TablespaceSizes are the bytes in each tablespace by its oid, and the number of databases in the cluster.
func TablespaceSizes(ctx context.Context, conn *pgx.Conn) (sizes map[uint32]int64, databases int64, err error) {
	rows, err := conn.Query(ctx, `SELECT oid, pg_tablespace_size(oid), (SELECT count(*) FROM pg_database) FROM pg_tablespace`)
	if err != nil {
		return nil, 0, fmt.Errorf("measure tablespaces: %w", err)
	}
	sizes = map[uint32]int64{}
	var oid uint32
	var size int64
	_, err = pgx.ForEachRow(rows, []any{&oid, &size, &databases}, func() error {
		sizes[oid] = size
		return nil
	})
	if err != nil {
		return nil, 0, fmt.Errorf("measure tablespaces: %w", err)
	}
	return sizes, databases, nil
}
