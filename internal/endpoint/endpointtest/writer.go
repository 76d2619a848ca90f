package endpointtest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgleap/pgleap/internal/pgtest"
)

// writer lets clients write without interruption while the endpoint is paused, moved and resumed,
// there and back. Every acknowledged row must be in exactly one of the clusters, and while clients are
// held the cluster they left must not change.
func writer(t *testing.T, f Fixture) {
	for _, c := range []*pgtest.Cluster{f.Source, f.Target} {
		for _, database := range f.Databases {
			c.Exec(t, database, "create table t (id text primary key)")
		}
	}
	load := f.startLoad(t)
	s := f.open(t)
	for round := range 6 {
		from, address := f.Source, f.TargetAddress
		if round%2 == 1 {
			from, address = f.Target, f.SourceAddress
		}
		load.awaitProgress(t)
		must(t, "prepare", s.Prepare(t.Context(), address))
		start := time.Now()
		must(t, "pause", s.Pause(t.Context()))
		paused := time.Now()
		before := count(t, from, f.Databases[0]) + count(t, from, f.Databases[1])
		moving := time.Now()
		must(t, "move", s.Move(t.Context(), address))
		moved := time.Now()
		after := count(t, from, f.Databases[0]) + count(t, from, f.Databases[1])
		resuming := time.Now()
		must(t, "resume", s.Resume(t.Context()))
		t.Logf("pause %v, move %v, resume %v", paused.Sub(start), moved.Sub(moving), time.Since(resuming))
		if before != after {
			t.Errorf("the cluster at port %d got %d rows while clients were held", from.Port, after-before)
		}
	}
	load.awaitProgress(t)
	for _, database := range f.Databases {
		stored := map[string]int{}
		acknowledged := load.stop(t)[database]
		for _, c := range []*pgtest.Cluster{f.Source, f.Target} {
			for _, id := range ids(t, c, database) {
				stored[id]++
			}
		}
		for _, id := range acknowledged {
			if stored[id] != 1 {
				t.Errorf("acknowledged row %s of %s is there %d times", id, database, stored[id])
			}
		}
		t.Logf("%s: %d rows acknowledged, %d stored", database, len(acknowledged), len(stored))
	}
}

// load is a number of clients that write.
type load struct {
	cancel context.CancelFunc // no further write
	abort  context.CancelFunc // not even the end of those under way
	done   sync.WaitGroup
	mu     sync.Mutex
	acked  map[string][]string
	errs   []error
}

func (f Fixture) startLoad(t *testing.T) *load {
	ctx, cancel := context.WithCancel(t.Context())
	writes, abort := context.WithCancel(context.WithoutCancel(t.Context()))
	l := &load{cancel: cancel, abort: abort, acked: map[string][]string{}}
	t.Cleanup(func() {
		cancel()
		abort() // if the test failed, clients may still be held
		l.done.Wait()
	})
	for i := range 8 {
		w := &client{fixture: f, database: f.Databases[i%len(f.Databases)], reconnects: i >= 6}
		must(t, "connect through the endpoint", w.connect(t.Context()))
		l.done.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				id := fmt.Sprintf("%d-%d", i, n)
				// Not with ctx: ending the load must not leave a write of unknown outcome.
				if !l.record(w.database, id, w.insert(writes, id)) {
					break
				}
			}
			if w.conn != nil { // nil after a failed attempt to reconnect
				_ = w.conn.Close(context.WithoutCancel(ctx))
			}
		})
	}
	return l
}

// client is one that writes; some make a new connection for each row.
type client struct {
	fixture    Fixture
	database   string
	reconnects bool
	conn       *pgx.Conn
}

func (c *client) connect(ctx context.Context) (err error) {
	c.conn, err = c.fixture.Connect(ctx, c.database)
	return err
}

func (c *client) insert(ctx context.Context, id string) error {
	if c.reconnects {
		if err := errors.Join(c.conn.Close(ctx), c.connect(ctx)); err != nil {
			return err
		}
	}
	_, err := c.conn.Exec(ctx, "insert into t values ($1)", id)
	return err
}

func (l *load) record(database, id string, err error) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		l.errs = append(l.errs, fmt.Errorf("insert %s: %w", id, err))
		return false
	}
	l.acked[database] = append(l.acked[database], id)
	return true
}

// awaitProgress waits until every database has taken more writes.
func (l *load) awaitProgress(t *testing.T) {
	t.Helper()
	const more = 50
	first := l.counts()
	deadline := time.Now().Add(20 * time.Second)
	for tick := time.NewTicker(5 * time.Millisecond); ; <-tick.C {
		enough := true
		now := l.counts()
		for database, n := range now {
			enough = enough && n >= first[database]+more
		}
		if enough && len(now) > 1 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("clients do not get on: %v, then %v", first, now)
		}
	}
}

func (l *load) counts() map[string]int {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := map[string]int{}
	for database, ids := range l.acked {
		out[database] = len(ids)
	}
	return out
}

// stop ends the clients and returns what was acknowledged. A client's error is the test's.
func (l *load) stop(t *testing.T) map[string][]string {
	t.Helper()
	l.cancel()
	l.done.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, err := range l.errs {
		t.Errorf("a client saw an error: %v", err)
	}
	l.errs = nil
	return l.acked
}

func ids(t *testing.T, c *pgtest.Cluster, database string) []string {
	t.Helper()
	var all []string
	if err := c.Connect(t, database).QueryRow(t.Context(), "select coalesce(array_agg(id), '{}') from t").Scan(&all); err != nil {
		t.Fatalf("read rows: %v", err)
	}
	return all
}
