// Package endpointtest holds what every endpoint driver must do, as tests on real clusters.
package endpointtest

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgleap/pgleap/internal/endpoint"
	"github.com/pgleap/pgleap/internal/pgtest"
)

// Fixture is an endpoint whose clients go to Source, and that can be sent to Target.
type Fixture struct {
	Driver         endpoint.Driver
	Source, Target *pgtest.Cluster
	// SourceAddress and TargetAddress are these clusters as the endpoint knows them.
	SourceAddress, TargetAddress endpoint.Address
	// Databases are two names that clients use; in both clusters they are called the same.
	Databases []string
	// Connect opens a client's connection through the endpoint. It may be called while it is paused.
	Connect func(ctx context.Context, database string) (*pgx.Conn, error)
}

// Run holds a driver to the contract of package endpoint. The fixture is made anew for each test.
func Run(t *testing.T, newFixture func(t *testing.T) Fixture) {
	for _, test := range []struct {
		name string
		run  func(t *testing.T, f Fixture)
	}{
		{"a healthy endpoint can be switched, and is described", describes},
		{"pause and resume may be repeated", pauseAndResumeRepeated},
		{"a pause tells whose connections it has closed", pauseTellsBackends},
		{"clients that come during a pause wait, and go on", clientsQueue},
		{"a transaction in flight is waited for", transactionInFlight},
		{"a pause that expires is undone and names its blocker", expiredPause},
		{"a cancelled pause is undone", cancelledPause},
		{"a move needs a pause", moveNeedsPause},
		{"a move takes clients to the other cluster, and back", moveAndBack},
		{"a second move does nothing", secondMove},
		{"a writer loses nothing and sees no error", writer},
		{"another session resumes what a dead one paused", resumedByAnother},
		{"recovery to the source undoes a move", recoverToSource},
		{"recovery to the target finishes what was begun", recoverToTarget},
		{"a guard rolls back when its parent dies", guardRollsBack},
		{"a guard rolls forward when the deadline passes", guardRollsForward},
		{"a guard that is dismissed does nothing", guardDismissed},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, newFixture(t)) })
	}
}

func describes(t *testing.T, f Fixture) {
	if err := f.Driver.Check(t.Context()); err != nil {
		t.Fatalf("check: %v", err)
	}
	for _, database := range f.Databases {
		f.where(t, database) // some drivers learn of a database by its first client
	}
	state := f.state(t)
	if !state.At(f.SourceAddress) {
		t.Errorf("clients do not all go to %v: %+v", f.SourceAddress, state.Databases)
	}
	if state.Version == "" || state.Driver == "" {
		t.Errorf("driver %q, version %q: want both", state.Driver, state.Version)
	}
	for _, want := range f.Databases {
		found := false
		for _, d := range state.Databases {
			found = found || d.Name == want && d.Dbname == want
		}
		if !found {
			t.Errorf("database %s is missing in %+v", want, state.Databases)
		}
	}
}

func pauseAndResumeRepeated(t *testing.T, f Fixture) {
	s := f.open(t)
	must(t, "resume what is not paused", s.Resume(t.Context()))
	must(t, "pause", s.Pause(t.Context()))
	must(t, "pause again", s.Pause(t.Context()))
	if !f.state(t).Paused() {
		t.Errorf("not paused: %+v", f.state(t))
	}
	must(t, "resume", s.Resume(t.Context()))
	must(t, "resume again", s.Resume(t.Context()))
	f.wantAt(t, f.Source)
}

func pauseTellsBackends(t *testing.T, f Fixture) {
	s := f.open(t)
	var want []int
	for _, database := range f.Databases {
		holder, other := f.client(t, database), f.client(t, database) // made after the session was
		exec(t, holder, "begin")
		var held, used int
		must(t, "ask", holder.QueryRow(t.Context(), "select pg_backend_pid()").Scan(&held))
		must(t, "ask", other.QueryRow(t.Context(), "select pg_backend_pid()").Scan(&used))
		exec(t, holder, "commit")
		want = append(want, held, used)
	}
	must(t, "pause", s.Pause(t.Context()))
	got := s.ServerPIDs()
	must(t, "resume", s.Resume(t.Context()))
	for _, pid := range want {
		if !slices.Contains(got, pid) {
			t.Errorf("backends are %v, want %v", got, want)
		}
	}
}

func clientsQueue(t *testing.T, f Fixture) {
	s := f.open(t)
	old := f.client(t, f.Databases[0])
	must(t, "pause", s.Pause(t.Context()))
	results := make(chan error, 2)
	go func() {
		_, err := old.Exec(t.Context(), "select 1")
		results <- err
	}()
	go func() {
		fresh, err := f.Connect(t.Context(), f.Databases[1])
		if err == nil {
			_, err = fresh.Exec(t.Context(), "select 1")
			err = errors.Join(err, fresh.Close(t.Context()))
		}
		results <- err
	}()
	f.await(t, "two clients wait", func(state endpoint.State) bool {
		waiting := 0
		for _, d := range state.Databases {
			waiting += d.ClientsWaiting
		}
		return waiting == 2
	})
	select {
	case err := <-results:
		t.Fatalf("a client was answered during the pause: %v", err)
	default:
	}
	must(t, "resume", s.Resume(t.Context()))
	for range 2 {
		must(t, "client that waited", <-results)
	}
}

func transactionInFlight(t *testing.T, f Fixture) {
	s := f.open(t)
	client := f.client(t, f.Databases[0])
	exec(t, client, "begin")
	exec(t, client, "create table t (id int)")
	paused := make(chan error, 1)
	go func() { paused <- s.Pause(t.Context()) }()
	exec(t, client, "insert into t values (1)") // goes on while the pause waits for it
	select {
	case err := <-paused:
		t.Fatalf("pause returned during a transaction: %v", err)
	default:
	}
	exec(t, client, "commit")
	must(t, "pause", <-paused)
	if n := count(t, f.Source, f.Databases[0]); n != 1 {
		t.Errorf("%d rows of the transaction arrived, want 1", n)
	}
	must(t, "resume", s.Resume(t.Context()))
}

func expiredPause(t *testing.T, f Fixture) {
	s := f.open(t)
	holder := f.client(t, f.Databases[0])
	exec(t, holder, "begin")
	exec(t, holder, "create table t (id int)")
	for _, limit := range []time.Duration{time.Second, 0} { // the second has passed before anything is sent
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		defer cancel()
		err := s.Pause(ctx)
		blocked, is := errors.AsType[*endpoint.Blocked](err)
		if !is || !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("pause within %s: %v, want a *Blocked that wraps the deadline", limit, err)
		}
		var pid int
		if err := holder.QueryRow(t.Context(), "select pg_backend_pid()").Scan(&pid); err != nil {
			t.Fatalf("the holder was disturbed: %v", err)
		}
		if len(blocked.Transactions) != 1 || blocked.Transactions[0].ServerPID != pid || blocked.Transactions[0].Database != f.Databases[0] {
			t.Errorf("blocked by %+v, want backend %d in %s", blocked.Transactions, pid, f.Databases[0])
		}
		f.wantAt(t, f.Source) // others go on at once
	}
	exec(t, holder, "insert into t values (1)")
	exec(t, holder, "commit")
	must(t, "pause again", s.Pause(t.Context()))
	must(t, "resume", s.Resume(t.Context()))
	f.wantAt(t, f.Source)
}

func cancelledPause(t *testing.T, f Fixture) {
	s := f.open(t)
	holder := f.client(t, f.Databases[0])
	exec(t, holder, "begin")
	exec(t, holder, "select 1")
	ctx, cancel := context.WithCancel(t.Context())
	paused := make(chan error, 1)
	go func() { paused <- s.Pause(ctx) }()
	f.await(t, "the pause has begun", endpoint.State.Paused)
	cancel()
	if err := <-paused; !errors.Is(err, context.Canceled) {
		t.Fatalf("pause: %v, want it cancelled", err)
	}
	exec(t, holder, "commit")
	f.wantAt(t, f.Source)
}

func moveNeedsPause(t *testing.T, f Fixture) {
	s := f.open(t)
	f.wantAt(t, f.Source)
	err := s.Move(t.Context(), f.TargetAddress)
	if _, is := errors.AsType[*endpoint.NotPaused](err); !is {
		t.Fatalf("move: %v, want *NotPaused", err)
	}
	f.wantAt(t, f.Source)
	if state := f.state(t); !state.At(f.SourceAddress) {
		t.Errorf("state is %+v", state)
	}
}

func moveAndBack(t *testing.T, f Fixture) {
	s := f.open(t)
	f.wantAt(t, f.Source)
	for _, to := range []struct {
		cluster *pgtest.Cluster
		address endpoint.Address
	}{{f.Target, f.TargetAddress}, {f.Source, f.SourceAddress}} {
		must(t, "prepare", s.Prepare(t.Context(), to.address))
		must(t, "pause", s.Pause(t.Context()))
		must(t, "move", s.Move(t.Context(), to.address))
		must(t, "resume", s.Resume(t.Context()))
		f.wantAt(t, to.cluster)
		if state := f.state(t); !state.At(to.address) {
			t.Errorf("state is %+v, want all at %v", state, to.address)
		}
		must(t, "check", f.Driver.Check(t.Context()))
	}
}

func secondMove(t *testing.T, f Fixture) {
	s := f.open(t)
	must(t, "pause", s.Pause(t.Context()))
	must(t, "move without prepare", s.Move(t.Context(), f.TargetAddress))
	must(t, "move again", s.Move(t.Context(), f.TargetAddress))
	must(t, "resume", s.Resume(t.Context()))
	must(t, "move once more, not paused", s.Move(t.Context(), f.TargetAddress))
	f.wantAt(t, f.Target)
}

func resumedByAnother(t *testing.T, f Fixture) {
	must(t, "pause", f.open(t).Pause(t.Context()))
	other := f.open(t)
	must(t, "resume", other.Resume(t.Context()))
	f.wantAt(t, f.Source)
}

func recoverToSource(t *testing.T, f Fixture) {
	dead := f.open(t)
	must(t, "prepare", dead.Prepare(t.Context(), f.TargetAddress))
	must(t, "pause", dead.Pause(t.Context()))
	must(t, "move", dead.Move(t.Context(), f.TargetAddress))
	other := f.open(t)
	must(t, "recover", other.Recover(t.Context(), f.SourceAddress))
	must(t, "recover again", other.Recover(t.Context(), f.SourceAddress))
	f.wantAt(t, f.Source)
	must(t, "check", f.Driver.Check(t.Context()))
}

func recoverToTarget(t *testing.T, f Fixture) {
	dead := f.open(t)
	must(t, "pause", dead.Pause(t.Context()))
	other := f.open(t)
	must(t, "recover", other.Recover(t.Context(), f.TargetAddress))
	f.wantAt(t, f.Target)
	must(t, "recover what runs", f.open(t).Recover(t.Context(), f.SourceAddress))
	f.wantAt(t, f.Source)
}

// open opens a session that is closed when the test ends.
func (f Fixture) open(t *testing.T) endpoint.Session {
	t.Helper()
	s, err := f.Driver.Open(t.Context())
	must(t, "open", err)
	t.Cleanup(s.Close)
	return s
}

func (f Fixture) state(t *testing.T) endpoint.State {
	t.Helper()
	state, err := f.Driver.Describe(t.Context())
	must(t, "describe", err)
	return state
}

// await polls the state.
func (f Fixture) await(t *testing.T, what string, is func(endpoint.State) bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for tick := time.NewTicker(5 * time.Millisecond); ; <-tick.C {
		state := f.state(t)
		if is(state) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: not so, last seen %+v", what, state)
		}
	}
}

func (f Fixture) client(t *testing.T, database string) *pgx.Conn {
	t.Helper()
	conn, err := f.Connect(t.Context(), database)
	must(t, "connect through the endpoint", err)
	t.Cleanup(func() { _ = conn.Close(context.WithoutCancel(t.Context())) })
	return conn
}

// where asks, through the endpoint, for the port of the cluster that answers.
func (f Fixture) where(t *testing.T, database string) int {
	t.Helper()
	var port int
	if err := f.client(t, database).QueryRow(t.Context(), "select current_setting('port')::int").Scan(&port); err != nil {
		t.Fatalf("ask database %s where it is: %v", database, err)
	}
	return port
}

func (f Fixture) wantAt(t *testing.T, want *pgtest.Cluster) {
	t.Helper()
	for _, database := range f.Databases {
		if got := f.where(t, database); got != want.Port {
			t.Errorf("clients of %s are at port %d, want %d", database, got, want.Port)
		}
	}
}

func exec(t *testing.T, c *pgx.Conn, sql string) {
	t.Helper()
	if _, err := c.Exec(t.Context(), sql); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

func count(t *testing.T, c *pgtest.Cluster, database string) int {
	t.Helper()
	var n int
	if err := c.Connect(t, database).QueryRow(t.Context(), "select count(*) from t").Scan(&n); err != nil {
		t.Fatalf("count rows: %v", err)
	}
	return n
}

func must(t *testing.T, what string, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}
