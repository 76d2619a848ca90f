package postgres_test

import (
	"strings"
	"testing"

	"github.com/pgleap/pgleap/internal/pgtest"
	"github.com/pgleap/pgleap/internal/postgres"
)

// TestSequencesAtOnce: there are more sequences than a server has room for locks. All of them are read and set in
// transactions that lock a few each, where one that locks all of them fails, and takes the applications' room.
func TestSequencesAtOnce(t *testing.T) {
	t.Parallel()
	c := pgtest.Start(t, pgtest.Versions(t)[0], pgtest.Config(map[string]string{
		"max_locks_per_transaction": "10", "max_connections": "10", "max_wal_senders": "2", "autovacuum_max_workers": "1", "max_worker_processes": "1",
	}))
	c.Exec(t, "postgres", `DO $$ BEGIN FOR i IN 1..2500 LOOP EXECUTE format('CREATE SEQUENCE s%s', i); COMMIT; END LOOP; END $$`)
	conn := in(t, c, "postgres")
	names, err := postgres.Sequences(t.Context(), conn)
	must(t, "list sequences", err)
	if _, err := postgres.ReadSequences(t.Context(), conn, names, len(names)); err == nil || !strings.Contains(err.Error(), "out of shared memory") {
		t.Fatalf("reading all at once: got %v, want no room for the locks", err)
	}
	atOnce := postgres.SequencesAtOnce(20)
	read, err := postgres.ReadSequences(t.Context(), conn, names, atOnce)
	must(t, "read sequences", err)
	for i := range read {
		read[i].LastValue, read[i].IsCalled = int64(i)+7, true
	}
	must(t, "set sequences", postgres.SetSequences(t.Context(), conn, read, atOnce))
	state, err := postgres.ReadDatabaseState(t.Context(), conn, names, atOnce, "")
	must(t, "look at the database", err)
	tx, err := conn.Begin(t.Context())
	must(t, "begin", err)
	inside, err := postgres.ReadSequences(t.Context(), conn, names, atOnce) // as a comparison does
	must(t, "read sequences in a transaction", err)
	must(t, "end", tx.Rollback(t.Context()))
	for i, want := range read {
		if want.Name != names[i] || state.Sequences[i] != want || inside[i] != want {
			t.Fatalf("%s: got %+v and %+v, want %+v", names[i], state.Sequences[i], inside[i], want)
		}
	}
	if state.ShapeMark == "" || len(state.Sequences) != len(names) {
		t.Errorf("read %d of %d sequences, mark %q", len(state.Sequences), len(names), state.ShapeMark)
	}
}
