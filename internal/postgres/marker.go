package postgres

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgleap/pgleap/internal/upgrade"
)

const createMarker = `
	SET LOCAL ROLE pgleap;
	COMMENT ON SCHEMA pgleap IS 'pgleap: for the running upgrade, removed when it has finished';
	CREATE TABLE IF NOT EXISTS pgleap.marker (
		id     smallint PRIMARY KEY CHECK (id = 1) NO INHERIT,
		number bigint NOT NULL,
		at     timestamptz NOT NULL
	);
	INSERT INTO pgleap.marker VALUES (1, 0, clock_timestamp()) ON CONFLICT DO NOTHING`

// All rows get the same number, which is a new one for each of them, whatever they had.
const advanceMarker = `
	WITH advanced AS (
		UPDATE pgleap.marker
		SET number = greatest(number, (SELECT max(number) FROM pgleap.marker)) + 1, at = clock_timestamp()
		RETURNING number
	)
	SELECT max(number) FROM advanced`

const readMarker = `SELECT min(number), min(at) FROM pgleap.marker`

// Marker is a row that is updated on the source and read on the target: when the target shows
// a number, it has applied everything that the source committed before it. Where the tables are shared among
// groups, each group has a row, in a table of its own that inherits pgleap.marker: what is written there reaches
// all of them at once, and what is read there is what the slowest group has applied.
type Marker struct {
	Number int64
	At     time.Time // the source's clock when it was written
}

// EnsureMarker makes the schema and the table with its one row. A schema of that name that is not ours alone is
// refused with *upgrade.Refused.
func EnsureMarker(ctx context.Context, conn *pgx.Conn) error {
	err := pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if err := ensureOwnSchema(ctx, tx); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, createMarker)
		return err
	})
	if err != nil {
		return fmt.Errorf("create marker: %w", err)
	}
	return nil
}

// AdvanceMarker writes the next number on the source, durably, and returns it.
func AdvanceMarker(ctx context.Context, conn *pgx.Conn) (int64, error) {
	_, number, err := AdvanceMarkerAfter(ctx, conn)
	return number, err
}

// AdvanceMarkerAfter is AdvanceMarker, and tells where the WAL stood before, in the same round trip.
func AdvanceMarkerAfter(ctx context.Context, conn *pgx.Conn) (before LSN, number int64, err error) {
	var batch pgx.Batch
	batch.Queue(readInsertLSN).QueryRow(func(row pgx.Row) error { return row.Scan(scanLSN{&before}) })
	batch.Queue(advanceMarker).QueryRow(func(row pgx.Row) error { return row.Scan(&number) })
	if err := conn.SendBatch(ctx, &batch).Close(); err != nil {
		return 0, 0, fmt.Errorf("advance marker: %w", err)
	}
	return before, number, nil
}

// ReadMarker reads the marker; on the target it is the newest that was applied.
func ReadMarker(ctx context.Context, conn *pgx.Conn) (Marker, error) {
	var m Marker
	if err := conn.QueryRow(ctx, readMarker).Scan(&m.Number, &m.At); err != nil {
		return Marker{}, fmt.Errorf("read marker: %w", err)
	}
	return m, nil
}

// groupMarker is the quoted name of the marker of a group after the first.
func groupMarker(group int) string {
	return quoteIdent(upgrade.Schema, fmt.Sprintf("marker_%d", group))
}

// createGroupMarker makes the marker of a group after the first.
func createGroupMarker(group int) string {
	return fmt.Sprintf(`
		CREATE TABLE %[1]s (PRIMARY KEY (id), CHECK (id = %[2]d)) INHERITS (pgleap.marker);
		ALTER TABLE %[1]s OWNER TO pgleap;
		INSERT INTO %[1]s SELECT %[2]d, number, at FROM ONLY pgleap.marker`, groupMarker(group), group)
}

// DropMarker removes the schema with the markers. A schema of that name that is somebody else's stays.
func DropMarker(ctx context.Context, conn *pgx.Conn) error {
	ours, err := hasOwnSchema(ctx, conn)
	if err != nil {
		return fmt.Errorf("drop marker: %w", err)
	}
	if !ours {
		return nil
	}
	var tables []string
	for group := 2; group <= upgrade.MaxTableGroups; group++ {
		tables = append(tables, groupMarker(group))
	}
	tables = append(tables, quoteIdent(upgrade.Schema, "marker"))
	err = execAll(ctx, conn, []string{
		"DROP TABLE IF EXISTS " + strings.Join(tables, ", "),
		"DROP SCHEMA IF EXISTS " + quoteIdent(upgrade.Schema),
	})
	if err != nil {
		return fmt.Errorf("drop marker: %w", err)
	}
	return nil
}
