package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// SlotBehind is a logical slot whose consumer has not confirmed an LSN.
type SlotBehind struct {
	Name     string
	Database string
	Active   bool
	Bytes    int64 // of WAL between what it has confirmed and the LSN
}

// SlotsBehind lists the logical slots that pg_upgrade takes over and whose consumers have not confirmed an LSN.
func SlotsBehind(ctx context.Context, conn *pgx.Conn, lsn LSN) ([]SlotBehind, error) {
	rows, err := conn.Query(ctx, `
		SELECT slot_name::text, database::text, active, pg_wal_lsn_diff($1::text::pg_lsn, confirmed_flush_lsn)::bigint
		FROM pg_replication_slots
		WHERE slot_type = 'logical' AND NOT temporary AND confirmed_flush_lsn < $1::text::pg_lsn
		ORDER BY slot_name`, lsn.String())
	if err != nil {
		return nil, fmt.Errorf("look how far logical slots are read: %w", err)
	}
	slots, err := pgx.CollectRows(rows, pgx.RowToStructByPos[SlotBehind])
	if err != nil {
		return nil, fmt.Errorf("look how far logical slots are read: %w", err)
	}
	return slots, nil
}

// SlotHoldsChanges tells whether a transaction waits to be read from a logical slot of the database of conn. What comes
// after what was confirmed may be checkpoints and changes of other databases, which pg_upgrade does not mind
// (logical.c, LogicalReplicationSlotHasPendingWal). A copy of the slot is read, which is gone with the session. An error
// that IsUnreadable is of the server, not of the slot.
func SlotHoldsChanges(ctx context.Context, conn *pgx.Conn, slot string) (holds bool, err error) {
	copied := fmt.Sprintf("pgleap_unread_%d", conn.PgConn().PID()) // the slot of a session that ends may still be there
	if _, err := conn.Exec(ctx, `SELECT pg_copy_logical_replication_slot($1, $2, true, 'test_decoding')`, slot, copied); err != nil {
		return false, fmt.Errorf("copy slot %s: %w", slot, err)
	}
	// Up to the end of the first transaction.
	err = conn.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_logical_slot_peek_binary_changes($1, NULL, 1))`, copied).Scan(&holds)
	if err != nil {
		return false, fmt.Errorf("read from slot %s: %w", slot, err)
	}
	return holds, nil
}

// SQLSTATEs (PostgreSQL docs, appendix "PostgreSQL Error Codes").
const (
	configurationLimitExceeded = "53400"
	undefinedFile              = "58P01"
)

// IsUnreadable tells that nothing can be read from any slot: there is no slot to spare for a copy, or test_decoding, one of
// the contrib modules, is not installed.
func IsUnreadable(err error) bool {
	refused, ok := errors.AsType[*pgconn.PgError](err)
	return ok && (refused.Code == configurationLimitExceeded || refused.Code == undefinedFile)
}
