package postgres

import (
	"context"
	"fmt"
	"slices"
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

// sequencesLocked bounds the sequences that we hold locks on at a time, in all databases together. Who reads a sequence
// locks it to the end of the transaction, and when there is no room for locks the applications get no more either:
// by default there is room for 6400 (lock.c, NLOCKENTS).
const sequencesLocked = 500

// SequencesAtOnce is how many sequences one session may read or set in a transaction when as many databases are
// worked on at a time.
func SequencesAtOnce(databases int) int { return max(sequencesLocked/max(databases, 1), 20) }

// ReadSequences reads where sequences stand, so many at once. It reads the sequence relations
// themselves: pg_sequences shows NULL for one that was never called, even after a setval.
func ReadSequences(ctx context.Context, conn *pgx.Conn, names []string, atOnce int) ([]Sequence, error) {
	read := make([]Sequence, 0, len(names))
	for some := range slices.Chunk(names, atOnce) {
		err := withoutLocks(ctx, conn, func() error {
			var batch pgx.Batch
			queueSequences(&batch, some, &read)
			return conn.SendBatch(ctx, &batch).Close()
		})
		if err != nil {
			return nil, fmt.Errorf("read sequences: %w", err)
		}
	}
	return read, nil
}

// sendWithSequences asks what is in a batch, and where sequences stand after that, in one round trip as long as they
// are not more than may be read at once.
func sendWithSequences(ctx context.Context, conn *pgx.Conn, batch *pgx.Batch, names []string, atOnce int, read *[]Sequence) error {
	first := min(len(names), atOnce)
	queueSequences(batch, names[:first], read)
	if err := conn.SendBatch(ctx, batch).Close(); err != nil || first == len(names) {
		return err
	}
	rest, err := ReadSequences(ctx, conn, names[first:], atOnce)
	*read = append(*read, rest...)
	return err
}

func queueSequences(batch *pgx.Batch, names []string, read *[]Sequence) {
	if len(names) == 0 {
		return
	}
	batch.Queue(sequenceQuery(names)).Query(func(rows pgx.Rows) error {
		part, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Sequence])
		*read = append(*read, part...)
		return err
	})
}

func sequenceQuery(names []string) string {
	arms := make([]string, len(names))
	for i, name := range names {
		arms[i] = "SELECT " + quoteLiteral(name) + ", last_value, is_called FROM " + name
	}
	return strings.Join(arms, "\nUNION ALL ")
}

// SetSequences sets sequences, so many at once, and fails if one of them does not stand where it should
// afterwards.
func SetSequences(ctx context.Context, conn *pgx.Conn, to []Sequence, atOnce int) error {
	for some := range slices.Chunk(to, atOnce) {
		if err := setSequences(ctx, conn, some); err != nil {
			return err
		}
	}
	return nil
}

func setSequences(ctx context.Context, conn *pgx.Conn, to []Sequence) error {
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
