package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// EnsureLogicalSlot makes a pgoutput slot in the database of conn, or returns the one that an
// earlier attempt of this upgrade made. A slot of that name for another plugin or database is a
// foreign one: an error, never dropped. Creation waits for every running transaction.
func EnsureLogicalSlot(ctx context.Context, conn *pgx.Conn, name string) (LSN, error) {
	var lsn LSN
	var exists bool
	// A slot without a position is still being made, by a session that outlived an earlier attempt:
	// it counts when that session is done with it, and disappears if it does not get that far.
	err := poll(ctx, "look for slot "+name, func() (bool, error) {
		var err error
		exists, lsn, err = findLogicalSlot(ctx, conn, name)
		return !exists || lsn != 0, err
	})
	if err != nil || exists {
		return lsn, err
	}
	// two_phase stays off, its default: postgres-facts of the hand-over depend on it
	// (reorderbuffer.c, ReorderBufferFinishPrepared).
	err = conn.QueryRow(ctx, `
		SELECT lsn::text FROM pg_create_logical_replication_slot($1, 'pgoutput')`, name).Scan(scanLSN{&lsn})
	if err != nil {
		return 0, fmt.Errorf("create slot %s: %w", name, err)
	}
	return lsn, nil
}

// findLogicalSlot looks for a slot of ours and its position, which is 0 while it is being made.
func findLogicalSlot(ctx context.Context, conn *pgx.Conn, name string) (exists bool, lsn LSN, err error) {
	var plugin, database string
	err = conn.QueryRow(ctx, `
		SELECT coalesce(plugin, ''), coalesce(database, ''), confirmed_flush_lsn::text
		FROM pg_replication_slots
		WHERE slot_name = $1`, name).Scan(&plugin, &database, scanLSN{&lsn})
	if errors.Is(err, pgx.ErrNoRows) {
		return false, 0, nil
	}
	if err == nil && (plugin != "pgoutput" || database != conn.Config().Database) {
		err = fmt.Errorf("it exists for plugin %q and database %q: it is not ours", plugin, database)
	}
	return true, lsn, err
}

// HasSlot tells whether there is a slot of a name, whoever made it.
func HasSlot(ctx context.Context, conn *pgx.Conn, name string) (exists bool, err error) {
	err = conn.QueryRow(ctx, `
		SELECT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = $1)`, name).Scan(&exists)
	if err != nil {
		return false, fmt.Errorf("look for slot %s: %w", name, err)
	}
	return exists, nil
}

// EnsurePhysicalSlot makes a physical slot that keeps WAL from now on.
func EnsurePhysicalSlot(ctx context.Context, conn *pgx.Conn, name string) error {
	if exists, err := HasSlot(ctx, conn, name); err != nil || exists {
		return err
	}
	if _, err := conn.Exec(ctx, `SELECT pg_create_physical_replication_slot($1, true)`, name); err != nil {
		return fmt.Errorf("create slot %s: %w", name, err)
	}
	return nil
}

// DropSlot removes a slot, ending its walsender first. Nothing to do if it is not there.
func DropSlot(ctx context.Context, conn *pgx.Conn, name string) error {
	const dropWhenIdle = `
		SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots
		WHERE slot_name = $1 AND active_pid IS NOT NULL`
	return poll(ctx, fmt.Sprintf("drop slot %s", name), func() (bool, error) {
		if _, err := conn.Exec(ctx, dropWhenIdle, name); err != nil {
			return false, err
		}
		_, err := conn.Exec(ctx, `
			SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots
			WHERE slot_name = $1`, name)
		if IsCode(err, codeObjectInUse) {
			return false, nil // its walsender is still on the way out, or came back
		}
		return err == nil, err
	})
}

// ourSlots matches the names that pgleap gives to slots.
const ourSlots = `^pgleap_((back_)?[0-9]+(_[0-9]+)?|base_backup)$`

// standbySlots matches the names that it gives to those of standbys that will stream without one.
const standbySlots = `^pgleap_standby_[0-9]+$`

const advanceIdleSlots = `
	SELECT pg_replication_slot_advance(slot_name, applied.lsn)
	FROM pg_replication_slots CROSS JOIN (
		SELECT max(o.local_lsn) AS lsn
		FROM pg_replication_origin_status o
		JOIN pg_subscription s ON o.external_id = 'pg_' || s.oid
		JOIN pg_database d ON d.oid = s.subdbid
		WHERE d.datname = current_database() AND s.subname ~ $1
	) AS applied
	WHERE slot_name ~ '` + ourSlots + `' AND slot_type = 'logical' AND database = current_database()
		AND NOT active AND confirmed_flush_lsn < applied.lsn AND coalesce(wal_status, '') <> 'lost'`

// AdvanceIdleSlots moves our logical slots on a cluster that follows to what it has applied, so that
// they keep little WAL, and the other direction begins soon when it is asked for. The local position of
// the last commit that our subscriptions of a name have applied is not beyond what came from the other
// side, unless this comes so late that clients are here already: SlotDelivers tells before the slot is used.
func AdvanceIdleSlots(ctx context.Context, conn *pgx.Conn, subscription string) error {
	_, err := conn.Exec(ctx, advanceIdleSlots, family(subscription))
	if err != nil && !IsCode(err, codeObjectInUse) {
		return fmt.Errorf("advance slots: %w", err)
	}
	return nil
}

// SlotDelivers tells whether a logical slot delivers everything that was committed from an LSN on: it is
// there, its WAL was not dropped, and nothing after that was confirmed.
func SlotDelivers(ctx context.Context, conn *pgx.Conn, from SlotPosition) (bool, error) {
	var delivers bool
	err := conn.QueryRow(ctx, `
		SELECT EXISTS (
			SELECT FROM pg_replication_slots
			WHERE slot_name = $1 AND database = current_database() AND coalesce(wal_status, '') <> 'lost'
				AND confirmed_flush_lsn <= $2::text::pg_lsn)`, from.Slot, from.From.String()).Scan(&delivers)
	if err != nil {
		return false, fmt.Errorf("look at slot %s: %w", from.Slot, err)
	}
	return delivers, nil
}

// DropLostSlot removes a slot whose WAL was dropped: it can deliver nothing any more.
func DropLostSlot(ctx context.Context, conn *pgx.Conn, name string) error {
	var lost bool
	err := conn.QueryRow(ctx, `
		SELECT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = $1 AND wal_status = 'lost')`, name).Scan(&lost)
	if err != nil {
		return fmt.Errorf("look at slot %s: %w", name, err)
	}
	if !lost {
		return nil
	}
	return DropSlot(ctx, conn, name)
}

// OurSlots lists the slots whose names pgleap gives.
func OurSlots(ctx context.Context, conn *pgx.Conn) ([]string, error) {
	rows, err := conn.Query(ctx, `
		SELECT slot_name::text FROM pg_replication_slots
		WHERE slot_name ~ '`+ourSlots+`' OR slot_name ~ '`+standbySlots+`'
		ORDER BY slot_name`)
	if err != nil {
		return nil, fmt.Errorf("list slots: %w", err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("list slots: %w", err)
	}
	return names, nil
}

// StandbySlots lists the slots of standbys that were to be made, and stream without them by now or never will.
func StandbySlots(ctx context.Context, conn *pgx.Conn) ([]string, error) {
	rows, err := conn.Query(ctx, `SELECT slot_name::text FROM pg_replication_slots WHERE slot_name ~ '`+standbySlots+`' ORDER BY slot_name`)
	if err != nil {
		return nil, fmt.Errorf("list slots of standbys: %w", err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("list slots of standbys: %w", err)
	}
	return names, nil
}

// RetainedBySlot is how much WAL a slot keeps; nothing if there is none of that name.
func RetainedBySlot(ctx context.Context, conn *pgx.Conn, name string) (bytes int64, err error) {
	err = conn.QueryRow(ctx, `
		SELECT coalesce(max(pg_wal_lsn_diff(pg_current_wal_insert_lsn(), restart_lsn)), 0)::bigint
		FROM pg_replication_slots WHERE slot_name = $1`, name).Scan(&bytes)
	if err != nil {
		return 0, fmt.Errorf("read how much WAL slot %s keeps: %w", name, err)
	}
	return bytes, nil
}

// RetainedForUpgrade is how much WAL the neediest of our slots keeps, or of those that are held for consumers, or of
// others of these names.
func RetainedForUpgrade(ctx context.Context, conn *pgx.Conn, others ...string) (bytes int64, err error) {
	err = conn.QueryRow(ctx, `
		SELECT coalesce(max(pg_wal_lsn_diff(pg_current_wal_insert_lsn(), restart_lsn)), 0)::bigint
		FROM pg_replication_slots
		WHERE slot_name ~ '`+ourSlots+`' OR slot_name ~ '`+standbySlots+`' OR slot_name ~ '`+heldSlots+`' OR slot_name = ANY($1)`, others).Scan(&bytes)
	if err != nil {
		return 0, fmt.Errorf("read how much WAL the upgrade's slots keep: %w", err)
	}
	return bytes, nil
}

// SlotState is how far the consumers of our slots are, and what they cost.
type SlotState struct {
	InsertLSN   LSN
	FlushedLSN  LSN   // the least that any logical slot's consumer has confirmed
	RetainedWAL int64 // bytes that the neediest slot keeps, or one that is held for a consumer
	HeldWAL     int64 // what the neediest of the latter keeps; 0: there is none
	Active      int   // slots with a walsender
	Lost        []string
}

// ReadSlots reads the state of our slots on the source.
func ReadSlots(ctx context.Context, conn *pgx.Conn) (SlotState, error) {
	var s SlotState
	var lost []string
	err := conn.QueryRow(ctx, `
		WITH ours AS (
			SELECT s.*, r.flush_lsn, slot_name ~ '`+heldSlots+`' AS held
			FROM pg_replication_slots s
			LEFT JOIN pg_stat_replication r ON r.pid = s.active_pid
			WHERE slot_name ~ '`+ourSlots+`' OR slot_name ~ '`+heldSlots+`'
		)
		SELECT
			pg_current_wal_insert_lsn()::text,
			min(greatest(confirmed_flush_lsn, flush_lsn)) FILTER (WHERE NOT held)::text,
			coalesce(max(pg_wal_lsn_diff(pg_current_wal_insert_lsn(), restart_lsn)), 0)::bigint,
			coalesce(max(pg_wal_lsn_diff(pg_current_wal_insert_lsn(), restart_lsn)) FILTER (WHERE held), 0)::bigint,
			count(*) FILTER (WHERE active AND NOT held)::int,
			coalesce(array_agg(slot_name::text) FILTER (WHERE wal_status = 'lost' AND NOT held), '{}')
		FROM ours`).Scan(scanLSN{&s.InsertLSN}, scanLSN{&s.FlushedLSN}, &s.RetainedWAL, &s.HeldWAL, &s.Active, &lost)
	if err != nil {
		return SlotState{}, fmt.Errorf("read slots: %w", err)
	}
	s.Lost = lost
	return s, nil
}
