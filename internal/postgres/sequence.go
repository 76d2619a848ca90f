package postgres

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
)

// Sequence is a sequence and where it stands.
type Sequence struct {
	Name      string // quoted and schema-qualified
	LastValue int64
	IsCalled  bool
}

// Sequences lists the names of all sequences of a database, quoted and schema-qualified:
// owned, identity, unlogged and free ones, but no temporary ones.
func Sequences(ctx context.Context, conn *pgx.Conn) ([]string, error) {
	rows, err := conn.Query(ctx, `
		SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname)
		FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE c.relkind = 'S' AND c.relpersistence <> 't' AND n.nspname <> 'pgleap'
		ORDER BY c.oid`)
	if err != nil {
		return nil, fmt.Errorf("list sequences: %w", err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("list sequences: %w", err)
	}
	return names, nil
}

// sequencesPerQuery bounds the arms of one UNION ALL.
const sequencesPerQuery = 500

// ReadSequences reads where sequences stand, in one round trip. It reads the sequence relations
// themselves: pg_sequences shows NULL for one that was never called, even after a setval.
func ReadSequences(ctx context.Context, conn *pgx.Conn, names []string) ([]Sequence, error) {
	read := make([]Sequence, 0, len(names))
	var batch pgx.Batch
	queueSequences(&batch, names, &read)
	if err := conn.SendBatch(ctx, &batch).Close(); err != nil {
		return nil, fmt.Errorf("read sequences: %w", err)
	}
	return read, nil
}

func sequenceQuery(names []string) string {
	arms := make([]string, len(names))
	for i, name := range names {
		arms[i] = "SELECT " + quoteLiteral(name) + ", last_value, is_called FROM " + name
	}
	return strings.Join(arms, "\nUNION ALL ")
}

// SetSequences sets sequences in one round trip and one transaction, and fails if one of them
// does not stand where it should afterwards.
func SetSequences(ctx context.Context, conn *pgx.Conn, to []Sequence) error {
	if len(to) == 0 {
		return nil
	}
	names, values, called := make([]string, len(to)), make([]int64, len(to)), make([]bool, len(to))
	for i, s := range to {
		names[i], values[i], called[i] = s.Name, s.LastValue, s.IsCalled
	}
	var set int
	err := conn.QueryRow(ctx, `
		SELECT count(*) FILTER (WHERE setval(name::regclass, value, called) = value)::int
		FROM unnest($1::text[], $2::bigint[], $3::boolean[]) AS wanted (name, value, called)`,
		names, values, called).Scan(&set)
	if err != nil {
		return fmt.Errorf("set %d sequences in %s: %w", len(to), conn.Config().Database, err)
	}
	if set != len(to) {
		return fmt.Errorf("set sequences in %s: %d of %d stand where they should", conn.Config().Database, set, len(to))
	}
	return nil
}
