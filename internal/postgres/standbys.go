package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// StandbyRow is a standby as its primary sees it.
type StandbyRow struct {
	Name        string // application_name
	Address     string // empty over a Unix socket
	User        string
	Slot        string // physical; empty: none
	Synchronous bool   // commits wait for it, or would if another one went away
}

// ReadStandbys lists what streams physically from a primary, but for pgleap's own clone, base backups and
// pg_receivewal.
func ReadStandbys(ctx context.Context, conn *pgx.Conn) ([]StandbyRow, error) {
	rows, err := conn.Query(ctx, `
		SELECT r.application_name, coalesce(host(r.client_addr), ''), r.usename::text,
			coalesce(s.slot_name::text, ''), r.sync_state <> 'async'
		FROM pg_stat_replication r
		LEFT JOIN pg_replication_slots s ON s.active_pid = r.pid AND NOT s.temporary
		WHERE r.application_name NOT LIKE 'pgleap%' AND r.application_name NOT IN ('pg_basebackup', 'pg_receivewal')
			AND r.state IN ('streaming', 'catchup', 'startup')
			AND NOT EXISTS (SELECT FROM pg_replication_slots l WHERE l.active_pid = r.pid AND l.slot_type = 'logical')
		ORDER BY r.application_name, r.pid`)
	if err != nil {
		return nil, fmt.Errorf("list standbys: %w", err)
	}
	standbys, err := pgx.CollectRows(rows, pgx.RowToStructByPos[StandbyRow])
	if err != nil {
		return nil, fmt.Errorf("list standbys: %w", err)
	}
	return standbys, nil
}

// StandbySelf is what a standby knows of itself.
type StandbySelf struct {
	SystemIdentifier string
	InRecovery       bool
	Conninfo         string // primary_conninfo, with whatever secrets are in it
	Slot             string // primary_slot_name
	ClusterName      string
	// Streams tells that it receives WAL now; Sender and Port are where from.
	Streams  bool
	Sender   string
	Port     int
	Replayed LSN
	// Delay is recovery_min_apply_delay, and Paused tells that it replays nothing until somebody lets it.
	Delay  time.Duration
	Paused bool
}

// AskStandby asks a server, as a superuser, whether and how it is a standby.
func AskStandby(ctx context.Context, conn *pgx.Conn) (StandbySelf, error) {
	var s StandbySelf
	var delay int64 // in milliseconds
	err := conn.QueryRow(ctx, `
		SELECT (SELECT system_identifier::text FROM pg_control_system()), pg_is_in_recovery(),
			current_setting('primary_conninfo'), current_setting('primary_slot_name'), current_setting('cluster_name'),
			CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() END::text,
			(SELECT setting::bigint FROM pg_settings WHERE name = 'recovery_min_apply_delay'),
			CASE WHEN pg_is_in_recovery() THEN pg_is_wal_replay_paused() ELSE false END`).
		Scan(&s.SystemIdentifier, &s.InRecovery, &s.Conninfo, &s.Slot, &s.ClusterName, scanLSN{&s.Replayed}, &delay, &s.Paused)
	if err != nil {
		return s, fmt.Errorf("ask a standby who it is: %w", err)
	}
	s.Delay = time.Duration(delay) * time.Millisecond
	err = conn.QueryRow(ctx, `
		SELECT status = 'streaming', coalesce(sender_host, ''), coalesce(sender_port, 0) FROM pg_stat_wal_receiver`).
		Scan(&s.Streams, &s.Sender, &s.Port)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return s, fmt.Errorf("ask a standby what it receives: %w", err)
	}
	return s, nil
}

// StreamingStandbys counts the standbys of a name that stream from a primary.
func StreamingStandbys(ctx context.Context, conn *pgx.Conn, name string) (count int, err error) {
	err = conn.QueryRow(ctx, `
		SELECT count(*) FROM pg_stat_replication WHERE application_name = $1 AND state = 'streaming'`, name).Scan(&count)
	if err != nil {
		return 0, fmt.Errorf("look for standby %s: %w", name, err)
	}
	return count, nil
}

// SynchronousStandbys counts the standbys that commits wait for, or may wait for.
func SynchronousStandbys(ctx context.Context, conn *pgx.Conn) (count int, err error) {
	err = conn.QueryRow(ctx, `
		SELECT count(*) FROM pg_stat_replication WHERE sync_state IN ('sync', 'quorum') AND state = 'streaming'`).Scan(&count)
	if err != nil {
		return 0, fmt.Errorf("look for synchronous standbys: %w", err)
	}
	return count, nil
}

// CommitSynchronously commits a transaction that waits for synchronous standbys, if the primary has any to
// wait for.
func CommitSynchronously(ctx context.Context, conn *pgx.Conn) error {
	if _, err := conn.Exec(ctx, `SET synchronous_commit = on`); err != nil {
		return fmt.Errorf("set synchronous_commit: %w", err)
	}
	_, _, err := EmitMessage(ctx, conn, "synchronous standbys")
	return err
}
