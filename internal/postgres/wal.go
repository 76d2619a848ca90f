package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

const (
	readInsertLSN = `SELECT pg_current_wal_insert_lsn()::text`
	readSnapshot  = `SELECT pg_current_snapshot()::text`
)

// InsertLSN is where the next WAL record of a primary goes.
func InsertLSN(ctx context.Context, conn *pgx.Conn) (LSN, error) {
	var lsn LSN
	if err := conn.QueryRow(ctx, readInsertLSN).Scan(scanLSN{&lsn}); err != nil {
		return 0, fmt.Errorf("read WAL insert position: %w", err)
	}
	return lsn, nil
}

// FlushLSN is up to where the WAL of a primary is on its disk.
func FlushLSN(ctx context.Context, conn *pgx.Conn) (LSN, error) {
	var lsn LSN
	if err := conn.QueryRow(ctx, `SELECT pg_current_wal_flush_lsn()::text`).Scan(scanLSN{&lsn}); err != nil {
		return 0, fmt.Errorf("read WAL flush position: %w", err)
	}
	return lsn, nil
}

// WriteRestorePoint writes a WAL record, so that recovery to a target just before it ends at once
// even on an idle server.
func WriteRestorePoint(ctx context.Context, conn *pgx.Conn, name string) error {
	if _, err := conn.Exec(ctx, `SELECT pg_create_restore_point($1)`, name); err != nil {
		return fmt.Errorf("write restore point: %w", err)
	}
	return nil
}

// Snapshot is pg_current_snapshot() as text. Equal snapshots prove that no transaction with an xid
// ended in between; whether one is still running is seen by WritingAndSnapshot.
func Snapshot(ctx context.Context, conn *pgx.Conn) (string, error) {
	var snapshot string
	if err := conn.QueryRow(ctx, readSnapshot).Scan(&snapshot); err != nil {
		return "", fmt.Errorf("read snapshot: %w", err)
	}
	return snapshot, nil
}

// StandbyLag tells how many bytes a standby, known by its application_name, is behind the primary's
// WAL, and whether it streams. A standby that is not connected is behind by all that its slot keeps.
func StandbyLag(ctx context.Context, conn *pgx.Conn, application string) (behind int64, streaming bool, err error) {
	err = conn.QueryRow(ctx, `
		SELECT
			coalesce(
				max(pg_wal_lsn_diff(pg_current_wal_lsn(), r.replay_lsn)),
				(SELECT max(pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)) FROM pg_replication_slots
					WHERE slot_name = 'pgleap_base_backup'),
				0)::bigint,
			coalesce(bool_or(r.state = 'streaming' AND r.replay_lsn IS NOT NULL), false)
		FROM pg_stat_replication r
		WHERE r.application_name = $1`, application).Scan(&behind, &streaming)
	if err != nil {
		return 0, false, fmt.Errorf("read how far %s is behind: %w", application, err)
	}
	return behind, streaming, nil
}
