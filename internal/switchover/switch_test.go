package switchover

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/pgleap/pgleap/internal/pgtest"
	"github.com/pgleap/pgleap/internal/postgres"
)

// TestSwitchUnderLoad: clients write through the endpoint all the time, and something that no fence ends, as a
// background worker, while everything is drained. Every entry that was acknowledged is on the target once, no
// client sees an error, and both sides were alike when they stood still.
func TestSwitchUnderLoad(t *testing.T) {
	t.Parallel()
	b := lay(t, partlyForeign)
	b.source.Exec(t, "app", "INSERT INTO parcel VALUES (1), (2)", "DELETE FROM parcel WHERE id = 2")
	w := b.write(t)
	w.awaitMore(t, 200)
	var steps []string
	config := b.config(t)
	var kept Snapshots
	config.Keep = func(s Snapshots) { kept = s }
	worker := b.ours(t, b.source, "app")
	config.OnStep = func(step string) {
		steps = append(steps, step)
		switch step {
		case "drain":
			w.work(t, worker)
		case "sequences":
			w.working.Store(false)
		}
	}
	outcome, err := Run(t.Context(), config)
	must(t, "switch over", err)
	if !outcome.Switched {
		t.Fatalf("it did not switch: %s", outcome.Reason)
	}
	t.Logf("pause %s: %v", outcome.Pause, outcome.Steps)
	want := []string{"ready", "pause", "fence", "drain", "sequences", "proof", "snapshots", "commit", "move", "resume", "turn"}
	if diff := cmp.Diff(want, steps); diff != "" {
		t.Errorf("steps (-want +got):\n%s", diff)
	}
	wantAlike(t, kept)
	kept.Close()
	var parcels int
	must(t, "count parcels", b.ours(t, b.target, "app").QueryRow(t.Context(), "SELECT count(*) FROM public.parcel_here").Scan(&parcels))
	if parcels != 1 {
		t.Errorf("%d rows in the partition that is not foreign, want 1", parcels)
	}
	w.awaitMore(t, 200)
	w.stop(t)
	b.wantStage(t, config.Journal, StageDone)
	b.wantServing(t, b.target)
	for _, database := range databases {
		w.wantOnce(t, b.ours(t, b.target, database), database)
	}
}

// partlyForeign is a table with a partition on a server that cannot be reached: nothing may look at its rows.
const partlyForeign = `
	CREATE FOREIGN DATA WRAPPER nowhere;
	CREATE SERVER elsewhere FOREIGN DATA WRAPPER nowhere;
	CREATE TABLE parcel (id int NOT NULL) PARTITION BY RANGE (id);
	CREATE TABLE parcel_here PARTITION OF parcel (PRIMARY KEY (id)) FOR VALUES FROM (0) TO (10);
	CREATE FOREIGN TABLE parcel_there PARTITION OF parcel FOR VALUES FROM (10) TO (20) SERVER elsewhere`

// writers are clients that make entries through the endpoint.
type writersOfEntries struct {
	cancel context.CancelFunc
	done   sync.WaitGroup
	mu     sync.Mutex
	acked  map[string][]string
	errs   []error

	working atomic.Bool
}

// work writes to app as fast as it can, until working is false.
func (w *writersOfEntries) work(t *testing.T, worker *pgx.Conn) {
	w.working.Store(true)
	w.done.Go(func() {
		for n := 0; w.working.Load(); n++ {
			ref := fmt.Sprintf("worker-%d", n)
			_, err := worker.Exec(t.Context(), "INSERT INTO public.entry (ref) VALUES ($1)", ref)
			w.note("app", ref, err)
		}
	})
}

func (b *bed) write(t *testing.T) *writersOfEntries {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	w := &writersOfEntries{cancel: cancel, acked: map[string][]string{}}
	t.Cleanup(func() { w.stop(t) })
	for i := range 8 {
		database := databases[i%len(databases)]
		client := b.bouncer.Connect(t, "app", database)
		w.done.Go(func() {
			for n := 0; sleep(ctx, 5*time.Millisecond) == nil; n++ {
				ref := fmt.Sprintf("%d-%d", i, n)
				// Not with ctx: ending the load must not leave a write of unknown outcome.
				_, err := client.Exec(context.WithoutCancel(ctx), "INSERT INTO entry (ref) VALUES ($1)", ref)
				w.note(database, ref, err)
				if err != nil {
					return
				}
			}
		})
	}
	return w
}

func (w *writersOfEntries) note(database, ref string, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err != nil {
		w.errs = append(w.errs, fmt.Errorf("entry %s: %w", ref, err))
		return
	}
	w.acked[database] = append(w.acked[database], ref)
}

func (w *writersOfEntries) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	count := 0
	for _, refs := range w.acked {
		count += len(refs)
	}
	return count
}

func (w *writersOfEntries) awaitMore(t *testing.T, more int) {
	t.Helper()
	first := w.count()
	await(t, "clients to write", func() bool { return w.count() >= first+more })
}

func (w *writersOfEntries) stop(t *testing.T) {
	t.Helper()
	w.cancel()
	w.done.Wait()
	for _, err := range w.errs {
		t.Errorf("a client saw an error: %v", err)
	}
	w.errs = nil
}

// wantOnce wants the acknowledged entries, and no others; ref is unique there.
func (w *writersOfEntries) wantOnce(t *testing.T, conn *pgx.Conn, database string) {
	t.Helper()
	got := refs(t, conn)
	want := slices.Sorted(slices.Values(w.acked[database]))
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("entries of %s (-acknowledged +stored):\n%s", database, diff)
	}
}

func refs(t *testing.T, conn *pgx.Conn) []string {
	t.Helper()
	rows, err := conn.Query(t.Context(), "SELECT ref FROM public.entry")
	must(t, "read entries", err)
	all, err := pgx.CollectRows(rows, pgx.RowTo[string])
	must(t, "read entries", err)
	slices.Sort(all)
	return all
}

// TestSequencesAreExact sets every kind of sequence to where it stands on the source, also one that
// moves when the pause has begun, and one that TRUNCATE has set back on the target in between. What a background
// worker has in hand meanwhile comes along.
func TestSequencesAreExact(t *testing.T) {
	t.Parallel()
	b := lay(t,
		`CREATE SEQUENCE ascending CACHE 20`,
		`CREATE SEQUENCE descending INCREMENT -3 MINVALUE -1000 START -1`,
		`CREATE SEQUENCE small AS smallint MAXVALUE 32767`,
		`CREATE SEQUENCE untouched START 77`,
		`CREATE SEQUENCE set_back`,
		`CREATE UNLOGGED TABLE scratch (id serial)`,
		`CREATE TABLE emptied (id serial PRIMARY KEY)`,
		`CREATE SCHEMA "Odd ""schema"""`, `CREATE SEQUENCE "Odd ""schema"""."it's \ odd"`,
		`GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO app`, `ALTER TABLE emptied OWNER TO app`)
	b.source.Exec(t, "app",
		`SELECT nextval('ascending') FROM generate_series(1, 1234)`,
		`SELECT nextval('descending') FROM generate_series(1, 5)`,
		`SELECT setval('small', 32767)`,
		`SELECT setval('set_back', 100, false)`,
		`SELECT nextval('scratch_id_seq')`,
		`INSERT INTO emptied SELECT FROM generate_series(1, 9)`,
		`SELECT setval('"Odd ""schema"""."it''s \ odd"', 9223372036854775807)`)
	client, worker := b.bouncer.Connect(t, "app", "app"), b.ours(t, b.source, "app")
	b.source.Exec(t, "app", `SELECT lo_create(4711)`)
	config := b.config(t)
	config.Plan.Options.Accepted = []string{"large-objects:app"}
	var committed sync.WaitGroup
	config.OnStep = func(step string) {
		switch step {
		case "pause":
			_, err := client.Exec(t.Context(), `SELECT nextval('descending'), nextval('entry_id_seq')`)
			must(t, "move sequences", err)
			// Its sequence stands where it was set before the pause, on the source.
			_, err = client.Exec(t.Context(), `TRUNCATE emptied RESTART IDENTITY; INSERT INTO emptied SELECT FROM generate_series(1, 9)`)
			must(t, "empty a table", err)
		case "drain":
			_, err := worker.Exec(t.Context(), `BEGIN; INSERT INTO public.entry (ref) VALUES ('of a worker')`)
			must(t, "write past the fence", err)
		case "proof":
			committed.Go(func() {
				_, err := worker.Exec(t.Context(), `SELECT pg_sleep(0.05); COMMIT`)
				must(t, "commit past the fence", err)
			})
		}
	}
	outcome, err := Run(t.Context(), config)
	committed.Wait()
	must(t, "switch over", err)
	if !outcome.Switched {
		t.Fatalf("it did not switch: %s", outcome.Reason)
	}
	if got := refs(t, b.ours(t, b.target, "app")); !slices.Equal(got, []string{"of a worker"}) {
		t.Errorf("entries on the target: %q, want the one that was open during the drain", got)
	}
	source, target := b.ours(t, b.source, "app"), b.ours(t, b.target, "app")
	names, err := postgres.Sequences(t.Context(), source)
	must(t, "list sequences", err)
	want, err := postgres.ReadSequences(t.Context(), source, names, 2)
	must(t, "read the source's", err)
	got, err := postgres.ReadSequences(t.Context(), target, names, 2)
	must(t, "read the target's", err)
	if diff := cmp.Diff(want, got); diff != "" || len(got) != 9 {
		t.Errorf("%d sequences (-source +target):\n%s", len(got), diff)
	}
}

// TestNobodyGetsRoundTheFence: clients that go around the endpoint reconnect and insert as fast as they
// can, while the switchover is carried out again and again. Whatever the source has acknowledged
// to one of them is on the target.
func TestNobodyGetsRoundTheFence(t *testing.T) {
	pgtest.Slow(t)
	t.Parallel()
	b := lay(t)
	s := b.storm(t, 16)
	source, target := b.ours(t, b.source, "app"), b.ours(t, b.target, "app")
	for round := range 10 {
		s.awaitMore(t, 100)
		config := b.config(t)
		config.Plan.Options.TerminateDirectClients = true
		outcome, err := Run(t.Context(), config)
		must(t, "switch over", err)
		if !outcome.Switched {
			t.Fatalf("round %d did not switch: %s", round, outcome.Reason)
		}
		acked := s.acknowledged()
		t.Logf("round %d: %d entries, pause %s: %v", round, len(acked), outcome.Pause, outcome.Steps)
		onTarget := refs(t, target)
		for _, ref := range acked {
			if _, found := slices.BinarySearch(onTarget, ref); !found {
				t.Errorf("round %d: entry %s was acknowledged, and the target does not have it", round, ref)
			}
		}
		if diff := cmp.Diff(refs(t, source), onTarget); diff != "" {
			t.Errorf("round %d: entries (-source +target):\n%s", round, diff)
		}
		if t.Failed() {
			return
		}
		b.back(t, config)
	}
}

// storm is a number of clients of which one half makes a connection for every entry, and the other
// keeps it as long as it can.
type storm struct {
	mu    sync.Mutex
	acked []string
}

func (b *bed) storm(t *testing.T, clients int) *storm {
	t.Helper()
	s := &storm{}
	ctx, cancel := context.WithCancel(t.Context())
	var done sync.WaitGroup
	t.Cleanup(func() { cancel(); done.Wait() })
	config, err := pgx.ParseConfig(direct(b.source, "app"))
	must(t, "read address", err)
	config.DefaultQueryExecMode = pgx.QueryExecModeSimpleProtocol
	for i := range clients {
		done.Go(func() {
			for n := 0; ctx.Err() == nil; {
				n = s.enter(ctx, config, i, n)
			}
		})
	}
	return s
}

func direct(c *pgtest.Cluster, database string) string {
	return fmt.Sprintf("host=127.0.0.1 port=%d user=direct dbname=%s sslmode=disable", c.Port, database)
}

// enter connects and makes entries from number n on. It returns the next number.
func (s *storm) enter(ctx context.Context, config *pgx.ConnConfig, client, n int) int {
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return n // shut out by the fence, or terminated
	}
	defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // it may be terminated
	for {
		ref := fmt.Sprintf("%d-%d", client, n)
		n++ // an outcome may remain unknown
		if _, err := conn.Exec(ctx, "INSERT INTO entry (ref) VALUES ($1)", ref); err != nil {
			return n
		}
		s.mu.Lock()
		s.acked = append(s.acked, ref)
		s.mu.Unlock()
		if client%2 == 0 || sleep(ctx, 5*time.Millisecond) != nil {
			return n
		}
	}
}

func (s *storm) acknowledged() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.acked)
}

func (s *storm) awaitMore(t *testing.T, more int) {
	t.Helper()
	first := len(s.acknowledged())
	await(t, "direct clients to write", func() bool { return len(s.acknowledged()) >= first+more })
}
