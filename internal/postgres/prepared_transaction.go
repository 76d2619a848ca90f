package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// PreparedTransaction is one that waits for its COMMIT PREPARED or ROLLBACK PREPARED.
type PreparedTransaction struct {
	// XID tells it from a later one of the same GID, which clients may use again.
	XID      string
	GID      string
	Database string
	Owner    string
}

// String names it for its user.
func (p PreparedTransaction) String() string {
	return fmt.Sprintf("%s in database %s, of %s", quoteLiteral(p.GID), p.Database, p.Owner)
}

// ListPrepared lists the prepared transactions of the cluster, the oldest first.
func ListPrepared(ctx context.Context, conn *pgx.Conn) ([]PreparedTransaction, error) {
	rows, err := conn.Query(ctx, `
		SELECT transaction::text, gid, database::text, owner::text
		FROM pg_prepared_xacts
		ORDER BY prepared, gid`)
	if err != nil {
		return nil, fmt.Errorf("list prepared transactions: %w", err)
	}
	prepared, err := pgx.CollectRows(rows, pgx.RowToStructByPos[PreparedTransaction])
	if err != nil {
		return nil, fmt.Errorf("list prepared transactions: %w", err)
	}
	return prepared, nil
}
