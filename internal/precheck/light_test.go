package precheck

import (
	"context"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/pgleap/pgleap/internal/pgtest"
	"github.com/pgleap/pgleap/internal/postgres"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// What the applications of a source notice of a precheck: nothing.
func TestPrecheckIsLight(t *testing.T) {
	pgtest.Slow(t)
	s := pair(t, pgtest.Config(map[string]string{"autovacuum": "off"})) // it makes files of its own
	s.source.CreateDatabase(t, "shop")
	s.source.CreateDatabase(t, "Other shop")
	s.source.Exec(t, "shop", shop, `CREATE EXTENSION hstore`, `CREATE TABLE keyless (id int)`, `CREATE UNLOGGED TABLE cache (id int)`)
	s.source.Exec(t, "Other shop", shop)
	t.Run("locks", func(t *testing.T) { testLocks(t, s) })
	t.Run("reads", func(t *testing.T) { testReads(t, s) })
	t.Run("sessions", func(t *testing.T) { testSessions(t, s, s.subject(t, upgrade.Options{})) })
	t.Run("sessions by a connection string", func(t *testing.T) {
		subject := s.subject(t, upgrade.Options{})
		subject.Source = postgres.Login{ConnString: s.source.DSN("postgres"), Database: "postgres"} // as pgleap precheck --dsn has it
		testSessions(t, s, subject)
	})
	t.Run("traces", func(t *testing.T) { testTraces(t, s) })
	t.Run("cancelled", func(t *testing.T) { testCancelled(t, s) })
}

// A check's locks last until its transaction ends: they are looked at from outside just before.
func watched(checks []Check, after func(check string, pid uint32)) []Check {
	all := slices.Clone(checks)
	for i, check := range all {
		all[i].Find = func(ctx context.Context, f *Facts, s Session) ([]Found, error) {
			found, err := check.find(ctx, f, s)
			after(check.ID, s.Tx.Conn().PgConn().PID())
			return found, err
		}
	}
	return all
}

func testLocks(t *testing.T, s stage) {
	watcher := s.source.Connect(t, "postgres")
	var mutex sync.Mutex
	heavy := func(pid uint32) []string {
		mutex.Lock()
		defer mutex.Unlock()
		rows, err := watcher.Query(t.Context(), `
			SELECT format('%s %s %s', locktype, mode, relation) FROM pg_locks
			WHERE pid = $1 AND locktype <> 'virtualxid' AND mode <> 'AccessShareLock'`, pid)
		if err != nil {
			t.Error(err)
			return nil
		}
		defer rows.Close()
		var locks []string
		for rows.Next() {
			var lock string
			if err := rows.Scan(&lock); err != nil {
				t.Error(err)
			}
			locks = append(locks, lock)
		}
		return locks
	}
	for _, mode := range everyMode() {
		subject := s.subject(t, upgrade.Options{})
		subject.Plan.Mode = mode
		looked := 0
		checks := watched(All(), func(check string, pid uint32) {
			if locks := heavy(pid); len(locks) > 0 {
				t.Errorf("%s, in mode %s, holds %q", check, mode, locks)
			}
			mutex.Lock()
			looked++
			mutex.Unlock()
		})
		if _, err := run(t.Context(), checks, subject, time.Now()); err != nil {
			t.Fatal(err)
		}
		if looked < 20 {
			t.Errorf("mode %s: only %d checks were watched", mode, looked)
		}
	}
	// A watcher that sees nothing proves nothing.
	seen := 0
	culprit := Check{
		ID: "culprit", Modes: everyMode(), Scope: PerCluster,
		Find: func(ctx context.Context, _ *Facts, in Session) ([]Found, error) {
			_, err := in.Tx.Exec(ctx, `LOCK TABLE pg_catalog.pg_class IN ROW SHARE MODE`)
			return nil, err
		},
	}
	_, err := run(t.Context(), watched([]Check{culprit}, func(_ string, pid uint32) { seen += len(heavy(pid)) }), s.subject(t, upgrade.Options{}), time.Now())
	if err != nil || seen == 0 {
		t.Errorf("a lock that is too strong was seen %d times, %v", seen, err)
	}
}

// A check goes through a catalog a few times, however many types, functions or tables there are: a source may have
// tens of thousands.
func testReads(t *testing.T, s stage) {
	const times = 20
	checks := slices.Clone(All())
	var all atomic.Int64
	for i, check := range checks {
		checks[i].Find = func(ctx context.Context, f *Facts, in Session) ([]Found, error) {
			before := catalogReads(t, in)
			found, err := check.find(ctx, f, in)
			if err != nil {
				return found, err
			}
			for catalog, after := range catalogReads(t, in) {
				tuples := after.read - before[catalog].read
				all.Add(tuples)
				if tuples > times*after.rows {
					t.Errorf("%s in %s reads %d rows of %s, which has %d", check.ID, in.Database, tuples, catalog, after.rows)
				}
			}
			return found, nil
		}
	}
	report, err := run(t.Context(), checks, s.subject(t, upgrade.Options{}), time.Now())
	if err != nil || len(report.NotChecked) > 0 {
		t.Fatal(err, report.NotChecked)
	}
	if all.Load() == 0 {
		t.Error("nothing was counted")
	}
}

// catalogRead is what a session has read of a catalog, and what it has.
type catalogRead struct{ read, rows int64 }

// catalogReads tells what a session has read and not reported yet, which it does at the end of a transaction.
func catalogReads(t *testing.T, in Session) map[string]catalogRead {
	t.Helper()
	rows, err := in.Tx.Query(t.Context(), `
		SELECT relname, seq_tup_read + coalesce(idx_tup_fetch, 0),
			CASE relname WHEN 'pg_attribute' THEN (SELECT count(*) FROM pg_attribute) WHEN 'pg_class' THEN (SELECT count(*) FROM pg_class)
				WHEN 'pg_type' THEN (SELECT count(*) FROM pg_type) ELSE (SELECT count(*) FROM pg_proc) END
		FROM pg_stat_xact_sys_tables
		WHERE relid IN ('pg_attribute'::regclass, 'pg_class'::regclass, 'pg_type'::regclass, 'pg_proc'::regclass)`)
	if err != nil {
		t.Error(err)
		return nil
	}
	reads := map[string]catalogRead{}
	var catalog string
	var one catalogRead
	_, err = pgx.ForEachRow(rows, []any{&catalog, &one.read, &one.rows}, func() error {
		reads[catalog] = one
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	return reads
}

// No database has more than two sessions of ours at any time, and none is without its timeouts.
func testSessions(t *testing.T, s stage, subject Subject) {
	watcher := s.source.Connect(t, "postgres")
	var mutex sync.Mutex
	most, timeouts := 0, map[string]bool{}
	check := Check{
		ID: "sessions", Modes: everyMode(), Scope: PerDatabase,
		Find: func(ctx context.Context, _ *Facts, in Session) ([]Found, error) {
			var settings string
			err := in.Tx.QueryRow(ctx, `SELECT concat_ws(' ', current_setting('statement_timeout'), current_setting('lock_timeout'), current_setting('transaction_read_only'))`).Scan(&settings)
			mutex.Lock()
			defer mutex.Unlock()
			timeouts[settings] = true
			var n int
			if err := watcher.QueryRow(ctx, `
				SELECT coalesce(max(n), 0) FROM (
					SELECT count(*) AS n FROM pg_stat_activity WHERE application_name = 'pgleap' AND backend_type = 'client backend' GROUP BY datname
				) AS databases`).Scan(&n); err != nil {
				return nil, err
			}
			most = max(most, n)
			return nil, err
		},
	}
	report, err := run(t.Context(), []Check{check, check, check}, subject, time.Now())
	if err != nil || len(report.NotChecked) > 0 {
		t.Fatal(err, report.NotChecked)
	}
	if most < 1 || most > 2 {
		t.Errorf("at most %d sessions in a database", most)
	}
	if diff := cmp.Diff(map[string]bool{"1min 3s on": true}, timeouts); diff != "" {
		t.Errorf("settings (-want +got):\n%s", diff)
	}
}

// Relations and files are the same before and after; nor is there anything on the scratch cluster.
func testTraces(t *testing.T, s stage) {
	traces := func() []string {
		t.Helper()
		var all []string
		for _, database := range []string{"postgres", "template1", "shop", "Other shop"} {
			var n int
			if err := s.source.Connect(t, database).QueryRow(t.Context(), `SELECT count(*) FROM pg_class`).Scan(&n); err != nil {
				t.Fatal(err)
			}
			all = append(all, fmt.Sprintf("%s: %d relations", database, n))
		}
		var databases int
		if err := s.target.Connect(t, "postgres").QueryRow(t.Context(), `SELECT count(*) FROM pg_database`).Scan(&databases); err != nil {
			t.Fatal(err)
		}
		return append(append(all, fmt.Sprintf("%d databases on the scratch cluster", databases)), dataFiles(t, s.source.Pgdata)...)
	}
	login := s.subject(t, upgrade.Options{}).Source
	precheckAll := func() {
		t.Helper()
		if _, err := Run(t.Context(), s.subject(t, upgrade.Options{}), time.Now()); err != nil {
			t.Fatal(err)
		}
		if _, err := Fingerprint(t.Context(), login); err != nil {
			t.Fatal(err)
		}
	}
	before := traces()
	precheckAll()
	if diff := cmp.Diff(before, traces()); diff != "" {
		t.Errorf("(-before +after):\n%s", diff)
	}
}

// dataFiles are the files of a data directory, but for WAL and what the server writes by itself, such as the
// caches of a first session.
func dataFiles(t *testing.T, pgdata string) []string {
	t.Helper()
	var files []string
	err := filepath.WalkDir(pgdata, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return nil //nolint:nilerr // a file of the server's that has gone meanwhile
		case d.IsDir() && slices.Contains([]string{"pg_wal", "pg_stat", "pg_stat_tmp"}, d.Name()):
			return filepath.SkipDir
		case d.IsDir(), d.Name() == "pg_internal.init":
			return nil
		}
		files = append(files, strings.TrimPrefix(path, pgdata))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// Somebody changes his mind while a statement runs: it ends at once, and so do all sessions.
func testCancelled(t *testing.T, s stage) {
	source, target := s.source.Connect(t, "postgres"), s.target.Connect(t, "postgres")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	slow := Check{ID: "slow", Modes: everyMode(), Scope: PerDatabase, Find: query(`SELECT pg_sleep(50)::text, NULL, NULL`)}
	var asleep int
	go func() {
		defer cancel()
		for deadline := time.Now().Add(40 * time.Second); asleep < 2 && time.Now().Before(deadline); {
			const sleeping = `SELECT count(*) FROM pg_stat_activity WHERE application_name = 'pgleap' AND wait_event = 'PgSleep'`
			if source.QueryRow(t.Context(), sleeping).Scan(&asleep) != nil {
				return
			}
		}
	}()
	started := time.Now()
	_, err := run(ctx, []Check{collationVersions, slow}, s.subject(t, upgrade.Options{}), time.Now())
	<-ctx.Done()
	if asleep != 2 {
		t.Fatalf("%d statements ran at a time, not two", asleep)
	}
	if err == nil || !strings.Contains(err.Error(), context.Canceled.Error()) {
		t.Errorf("got %v", err)
	}
	if took := time.Since(started); took > 45*time.Second {
		t.Errorf("it took %s to end", took)
	}
	var sessions, probes int
	for deadline := time.Now().Add(30 * time.Second); ; { // a backend takes a moment to go
		const ours = `SELECT count(*) FROM pg_stat_activity WHERE application_name = 'pgleap'`
		if err := source.QueryRow(t.Context(), ours).Scan(&sessions); err != nil {
			t.Fatal(err)
		}
		if err := target.QueryRow(t.Context(), `SELECT count(*) FROM pg_database WHERE datname ~ '^pgleap'`).Scan(&probes); err != nil {
			t.Fatal(err)
		}
		if sessions == 0 && probes == 0 || time.Now().After(deadline) {
			break
		}
	}
	if sessions > 0 || probes > 0 {
		t.Errorf("%d sessions and %d databases are left", sessions, probes)
	}
}
