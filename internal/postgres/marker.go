package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgleap/pgleap/internal/upgrade"
)

const createMarker = `
	CREATE SCHEMA IF NOT EXISTS pgleap AUTHORIZATION pgleap;
	CREATE TABLE IF NOT EXISTS pgleap.marker (
		id     smallint PRIMARY KEY CHECK (id = 1),
		number bigint NOT NULL,
		at     timestamptz NOT NULL
	);
	ALTER TABLE pgleap.marker OWNER TO pgleap;
	COMMENT ON SCHEMA pgleap IS 'pgleap: for the running upgrade, removed when it has finished';
	INSERT INTO pgleap.marker VALUES (1, 0, clock_timestamp()) ON CONFLICT DO NOTHING;`

const advanceMarker = `
	UPDATE pgleap.marker
	SET number = number + 1, at = clock_timestamp()
	WHERE id = 1
	RETURNING number`

const readMarker = `SELECT number, at FROM pgleap.marker WHERE id = 1`

// Marker is a row that is updated on the source and read on the target: when the target shows
// a number, it has applied everything that the source committed before it.
type Marker struct {
	Number int64
	At     time.Time // the source's clock when it was written
}

// EnsureMarker makes the schema and the table with its one row.
func EnsureMarker(ctx context.Context, conn *pgx.Conn) error {
	if err := execAll(ctx, conn, []string{"BEGIN", createMarker + "COMMIT"}); err != nil {
		return fmt.Errorf("create marker: %w", err)
	}
	return nil
}

// AdvanceMarker writes the next number on the source, durably, and returns it.
func AdvanceMarker(ctx context.Context, conn *pgx.Conn) (int64, error) {
	var number int64
	if err := conn.QueryRow(ctx, advanceMarker).Scan(&number); err != nil {
		return 0, fmt.Errorf("advance marker: %w", err)
	}
	return number, nil
}

// ReadMarker reads the marker; on the target it is the newest that was applied.
func ReadMarker(ctx context.Context, conn *pgx.Conn) (Marker, error) {
	var m Marker
	if err := conn.QueryRow(ctx, readMarker).Scan(&m.Number, &m.At); err != nil {
		return Marker{}, fmt.Errorf("read marker: %w", err)
	}
	return m, nil
}

// DropMarker removes the schema with the marker.
func DropMarker(ctx context.Context, conn *pgx.Conn) error {
	err := execAll(ctx, conn, []string{
		"DROP TABLE IF EXISTS " + quoteIdent(upgrade.Schema, "marker"),
		"DROP SCHEMA IF EXISTS " + quoteIdent(upgrade.Schema),
	})
	if err != nil {
		return fmt.Errorf("drop marker: %w", err)
	}
	return nil
}
