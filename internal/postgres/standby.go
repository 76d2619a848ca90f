package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// StandbyReplay is up to where a standby, known by its application_name, has replayed the WAL of the
// primary of conn; 0 while it does not stream.
func StandbyReplay(ctx context.Context, conn *pgx.Conn, application string) (LSN, error) {
	var lsn LSN
	err := conn.QueryRow(ctx, `
		SELECT max(replay_lsn)::text FROM pg_stat_replication
		WHERE application_name = $1 AND state = 'streaming'`, application).Scan(scanLSN{&lsn})
	if err != nil {
		return 0, fmt.Errorf("read what %s has replayed: %w", application, err)
	}
	return lsn, nil
}

// EmitMessage commits a transaction of its own that leaves nothing but a message in the WAL. It returns the
// LSN at which the message's record ends, where the next one begins, and one behind its commit record,
// which may be in the middle of somebody else's. With synchronous_commit on in the session all WAL up to
// there is on disk then, that of transactions which did not wait for the disk included.
func EmitMessage(ctx context.Context, conn *pgx.Conn, text string) (message, flushed LSN, err error) {
	err = conn.QueryRow(ctx, `SELECT pg_logical_emit_message(true, 'pgleap', $1)::text`, text).Scan(scanLSN{&message})
	if err != nil {
		return 0, 0, fmt.Errorf("write a message into the WAL: %w", err)
	}
	flushed, err = FlushLSN(ctx, conn)
	return message, flushed, err
}
