package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// What a switchover asks while clients wait is asked in as few round trips as there can be: on a machine that is
// busy each one waits for a processor twice.

// DatabaseState is what a switchover reads of a database of the source when nobody writes to it.
type DatabaseState struct {
	Sequences    []Sequence
	LargeObjects LargeObjectsState // empty if not asked for
	ShapeMark    string            // see ReadShapeMark
}

// ReadDatabaseState reads where sequences stand, the mark of the shape, and what became of the large objects by
// transactions that are not older than an xid, unless that is empty, in one round trip if the sequences are not more
// than may be read at once.
func ReadDatabaseState(ctx context.Context, conn *pgx.Conn, sequences []string, atOnce int, since string) (DatabaseState, error) {
	var state DatabaseState
	var batch pgx.Batch
	if since != "" {
		queueLargeObjects(&batch, since, &state.LargeObjects)
	}
	batch.Queue(knownTo(conn, readShapeMark)).QueryRow(func(row pgx.Row) error { return row.Scan(&state.ShapeMark) })
	if err := sendWithSequences(ctx, conn, &batch, sequences, atOnce, &state.Sequences); err != nil {
		return state, fmt.Errorf("look at database %s: %w", conn.Config().Database, err)
	}
	return state, nil
}

// ClusterState is what a switchover reads of the source when nobody writes to it.
type ClusterState struct {
	InsertLSN   LSN
	Prepared    int    // transactions
	GlobalsMark string // see ReadGlobalsMark
}

// ReadClusterState reads it in one round trip.
func ReadClusterState(ctx context.Context, conn *pgx.Conn) (ClusterState, error) {
	var state ClusterState
	var batch pgx.Batch
	batch.Queue(readInsertLSN).QueryRow(func(row pgx.Row) error { return row.Scan(scanLSN{&state.InsertLSN}) })
	batch.Queue(countPrepared).QueryRow(func(row pgx.Row) error { return row.Scan(&state.Prepared) })
	batch.Queue(knownTo(conn, readGlobalsMark)).QueryRow(func(row pgx.Row) error { return row.Scan(&state.GlobalsMark) })
	if err := conn.SendBatch(ctx, &batch).Close(); err != nil {
		return state, fmt.Errorf("look at the source: %w", err)
	}
	return state, nil
}

// WritingAndSnapshot asks who is writing (see readWriting) and then for the snapshot (see Snapshot), in one round trip.
func WritingAndSnapshot(ctx context.Context, conn *pgx.Conn) (writing []Backend, snapshot string, err error) {
	var batch pgx.Batch
	batch.Queue(readWriting).Query(func(rows pgx.Rows) (err error) {
		writing, err = pgx.CollectRows(rows, scanBackend)
		return err
	})
	batch.Queue(readSnapshot).QueryRow(func(row pgx.Row) error { return row.Scan(&snapshot) })
	if err := conn.SendBatch(ctx, &batch).Close(); err != nil {
		return nil, "", fmt.Errorf("ask who is writing: %w", err)
	}
	return writing, snapshot, nil
}

// AppliedState is what a database of the target holds when everything was applied.
type AppliedState struct {
	Marker          int64 // see ReadMarker
	Applied         []LSN // of each subscription, on the source, forced to the target's disk
	Sequences       []Sequence
	LargeObjectKeys string // empty if not asked for
}

// ReadAppliedState reads it in one round trip, if the sequences are not more than may be read at once. They are read
// after the marker.
func ReadAppliedState(ctx context.Context, conn *pgx.Conn, subscriptions []uint32, sequences []string, atOnce int, largeObjects bool) (AppliedState, error) {
	state := AppliedState{Applied: make([]LSN, len(subscriptions))}
	var batch pgx.Batch
	batch.Queue(readMarker).QueryRow(func(row pgx.Row) error { return row.Scan(&state.Marker, nil) })
	for i, subscription := range subscriptions {
		batch.Queue(flushOrigin, fmt.Sprint(subscription)).QueryRow(func(row pgx.Row) error { return row.Scan(scanLSN{&state.Applied[i]}) })
	}
	if largeObjects {
		batch.Queue(largeObjectKeySum).QueryRow(func(row pgx.Row) error { return row.Scan(&state.LargeObjectKeys) })
	}
	if err := sendWithSequences(ctx, conn, &batch, sequences, atOnce, &state.Sequences); err != nil {
		return state, fmt.Errorf("look at what database %s has applied: %w", conn.Config().Database, err)
	}
	return state, nil
}

// AppliedPositions tells how far the subscriptions of the cluster, of all databases, have come on the source, by
// their oids. What a position has passed may become visible a moment later, and be on the disk later still.
func AppliedPositions(ctx context.Context, conn *pgx.Conn) (map[uint32]LSN, error) {
	rows, err := conn.Query(ctx, `
		SELECT substr(external_id, 4)::oid, remote_lsn::text
		FROM pg_replication_origin_status
		WHERE external_id ~ '^pg_[0-9]+$'`)
	if err != nil {
		return nil, fmt.Errorf("ask how far subscriptions have come: %w", err)
	}
	positions := map[uint32]LSN{}
	var oid uint32
	var lsn LSN
	_, err = pgx.ForEachRow(rows, []any{&oid, scanLSN{&lsn}}, func() error {
		positions[oid] = lsn
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("ask how far subscriptions have come: %w", err)
	}
	return positions, nil
}

func queueLargeObjects(batch *pgx.Batch, since string, state *LargeObjectsState) {
	batch.Queue(fmt.Sprintf(changedSince, quoteLiteral(since))).QueryRow(func(row pgx.Row) error { return row.Scan(&state.Changed) })
	batch.Queue(largeObjectKeySum).QueryRow(func(row pgx.Row) error { return row.Scan(&state.Keys) })
}
