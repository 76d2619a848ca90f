package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// ReadLargeObject reads a part of a large object, as the transaction's snapshot sees it; it is shorter
// than asked for at the end.
func ReadLargeObject(ctx context.Context, conn *pgx.Conn, oid uint32, offset int64, length int) ([]byte, error) {
	var part []byte
	err := conn.QueryRow(ctx, `SELECT pg_catalog.lo_get($1, $2, $3)`, oid, offset, length).Scan(&part)
	if err != nil {
		return nil, fmt.Errorf("read large object %d of %s: %w", oid, conn.Config().Database, err)
	}
	return part, nil
}
