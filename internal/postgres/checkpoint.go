package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// Checkpoint has the server write its dirty pages now: it has less to write when it is stopped.
func Checkpoint(ctx context.Context, conn *pgx.Conn) error {
	if _, err := conn.Exec(ctx, `CHECKPOINT`); err != nil {
		return fmt.Errorf("make a checkpoint: %w", err)
	}
	return nil
}
