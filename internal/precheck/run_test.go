package precheck

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pgleap/pgleap/internal/pgtest"
	"github.com/pgleap/pgleap/internal/postgres"
	"github.com/pgleap/pgleap/internal/upgrade"
)

func pair(t *testing.T, options ...pgtest.Option) stage {
	t.Helper()
	versions := pgtest.Versions(t)
	target := pgtest.Start(t, versions[len(versions)-1])
	return stage{pgtest.Start(t, versions[0], options...), target}
}

// shop is a schema like pgbench's, with what is allowed.
const shop = `
	CREATE TABLE branches (bid int PRIMARY KEY, balance int);
	CREATE TABLE accounts (aid int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, bid int REFERENCES branches, balance int);
	CREATE TABLE history (aid int, delta int, at timestamp DEFAULT now());
	ALTER TABLE history REPLICA IDENTITY FULL;
	CREATE TABLE ledger (id bigserial, at date, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
	CREATE TABLE ledger_2026 PARTITION OF ledger FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
	CREATE TYPE mood AS ENUM ('good', 'bad');
	CREATE DOMAIN amount AS numeric(12, 2) CHECK (VALUE >= 0);
	CREATE TABLE orders (id uuid PRIMARY KEY, mood mood, amount amount, doc jsonb, twice numeric GENERATED ALWAYS AS (amount * 2) STORED);
	CREATE VIEW totals AS SELECT sum(amount) FROM orders;
	CREATE MATERIALIZED VIEW moods AS SELECT mood, count(*) FROM orders GROUP BY mood;
	INSERT INTO branches VALUES (1, 0);
	INSERT INTO accounts (bid, balance) SELECT 1, 0 FROM generate_series(1, 100);`

// Each of these finds a fresh database named shop.
func TestRun(t *testing.T) {
	s := pair(t)
	for name, test := range map[string]func(*testing.T, stage){
		"a clean instance passes":                     testCleanInstancePasses,
		"other rules of sorting":                      testCollationVersions,
		"accepted by name":                            testAcceptedByName,
		"what cannot be checked does not pass":        testWhatCannotBeChecked,
		"a locked table is not waited for":            testLockedTable,
		"objects are capped, but counted all of them": testObjectsAreCapped,
	} {
		t.Run(name, func(t *testing.T) {
			s.source.Exec(t, "postgres", `DROP DATABASE IF EXISTS shop WITH (FORCE)`)
			s.source.CreateDatabase(t, "shop")
			test(t, s)
		})
	}
}

func testCleanInstancePasses(t *testing.T, s stage) {
	s.source.Exec(t, "shop", shop, `CREATE EXTENSION hstore`)
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	report, err := Run(t.Context(), s.subject(t, upgrade.Options{}), now)
	if err != nil {
		t.Fatal(err)
	}
	if !report.Passed() {
		t.Errorf("not passed: %+v, not checked: %v", report.Findings, report.NotChecked)
	}
	for _, f := range report.Findings {
		if f.Severity != upgrade.Info && f.Check != sourceMinor.ID && f.Check != defaults.ID {
			t.Errorf("unexpected %s: %s: %v", f.Severity, f.Check, f.Objects)
		}
	}
	if report.Configuration == nil || report.Configuration.Kept == 0 {
		t.Errorf("configuration: got %+v", report.Configuration)
	}
	if report.Estimate == nil || report.Estimate.Workload.Relations == 0 || report.Estimate.Disk < report.Estimate.Workload.DataBytes {
		t.Errorf("estimate: got %+v", report.Estimate)
	}
	report.Findings, report.NotChecked, report.Source, report.Target, report.Configuration, report.Estimate = nil, nil, 0, 0, nil, nil
	want := upgrade.Report{
		Number: 7, ID: "00000000-0000-0000-0000-000000000007", Instance: "shop", Mode: upgrade.ZeroDowntime,
		CheckedAt: now, ValidUntil: now.Add(7 * 24 * time.Hour),
	}
	if diff := cmp.Diff(want, report); diff != "" {
		t.Errorf("report (-want +got):\n%s", diff)
	}
}

// What takes a restart of the source is violated at once, in a cluster of its own.
func TestSettingsThatTakeARestart(t *testing.T) {
	s := pair(t, pgtest.Config(map[string]string{
		"wal_level": "replica", "max_replication_slots": "1", "max_wal_senders": "1", "max_prepared_transactions": "2", "max_connections": "6",
		"max_logical_replication_workers": "1",
	}))
	s.source.CreateDatabase(t, "shop")
	s.source.Exec(t, "shop", `SELECT pg_create_physical_replication_slot('standby1')`)
	s.source.Exec(t, "shop", `BEGIN; SELECT txid_current(); PREPARE TRANSACTION 'it''s open'`)
	checks := []Check{walLevel, replicationSlots, walSenders, switchback, connections, preparedTransactions}
	look := func() (objects []string, remedies []upgrade.RemedySQL) {
		t.Helper()
		report, err := run(t.Context(), checks, s.subject(t, upgrade.Options{}), time.Now())
		if err != nil || len(report.NotChecked) > 0 {
			t.Fatal(err, report.NotChecked)
		}
		for _, f := range report.Findings {
			objects = append(objects, f.Objects...)
			remedies = append(remedies, f.RemedySQL...)
		}
		return objects, remedies
	}
	objects, remedies := look()
	prepared := objects[len(objects)-1]
	want := []string{
		"max_replication_slots = 1 (1 in use, 3 more needed)",
		"max_wal_senders = 1 (0 in use, 4 more needed)",
		"max_logical_replication_workers = 1 (0 in use, 2 more needed)",
		"max_connections = 6 (0 in use, 7 more needed)",
	}
	if s.source.Major < 19 {
		want = append([]string{"wal_level = replica"}, want...)
	}
	if diff := cmp.Diff(want, objects[:len(objects)-1]); diff != "" {
		t.Errorf("objects (-want +got):\n%s", diff)
	}
	if !strings.HasPrefix(prepared, "'it''s open' (database shop, of postgres, prepared 20") {
		t.Errorf("prepared transaction: got %s", prepared)
	}
	for _, r := range remedies {
		s.source.Exec(t, r.Database, r.SQL)
	}
	s.source.Restart(t)
	if objects, _ := look(); len(objects) > 0 {
		t.Errorf("after the remedies and a restart: still found %v", objects)
	}
}

func testCollationVersions(t *testing.T, s stage) {
	s.source.Exec(t, "shop", `CREATE TABLE customers (id int PRIMARY KEY, name text COLLATE "en-x-icu")`)
	const version = `SELECT pg_collation_actual_version(oid) FROM pg_collation WHERE collname = 'en-x-icu'`
	var old, changed string
	if err := s.source.Connect(t, "shop").QueryRow(t.Context(), version).Scan(&old); err != nil {
		t.Fatal(err)
	}
	if err := s.target.Connect(t, "postgres").QueryRow(t.Context(), version).Scan(&changed); err != nil {
		t.Fatal(err)
	}
	if old == changed {
		t.Skipf("both versions use the same ICU (%s)", old)
	}
	look := func(accepted ...string) upgrade.Report {
		t.Helper()
		report, err := run(t.Context(), []Check{locales, collationVersions}, s.subject(t, upgrade.Options{Accepted: accepted}), time.Now())
		if err != nil || len(report.Findings) != 1 || len(report.NotChecked) > 0 {
			t.Fatalf("got %+v, %v", report, err)
		}
		return report
	}
	object := `shop.pg_catalog."en-x-icu"`
	report := look()
	if got := report.Findings[0].Objects; !slices.Equal(got, []string{object}) || report.Passed() {
		t.Errorf("got %v, passed: %t", got, report.Passed())
	}
	if notes := report.Findings[0].Notes; !slices.Contains(notes, old+" on the source, "+changed+" on the target") {
		t.Errorf("the versions are missing: %q", notes)
	}
	if report := look("collation-versions:" + object); !report.Passed() {
		t.Errorf("accepted, but not passed: %+v", report.Findings)
	}
}

func testAcceptedByName(t *testing.T, s stage) {
	s.source.Exec(t, "shop", `CREATE UNLOGGED TABLE a (id int); CREATE UNLOGGED TABLE b (id int)`)
	for _, c := range []struct {
		name     string
		accepted []string
		want     upgrade.Severity
	}{
		{"nothing", nil, upgrade.Blocker},
		{"one of two", []string{"unlogged-tables:shop.public.a"}, upgrade.Blocker},
		{"under another check's name", []string{"large-objects:shop.public.a", "large-objects:shop.public.b"}, upgrade.Blocker},
		{"both", []string{"unlogged-tables:shop.public.a", "unlogged-tables:shop.public.b"}, upgrade.Warning},
	} {
		t.Run(c.name, func(t *testing.T) {
			subject := s.subject(t, upgrade.Options{Accepted: c.accepted})
			subject.Plan.Mode = upgrade.BlueGreen
			report, err := run(t.Context(), []Check{unloggedTables(0)}, subject, time.Now())
			if err != nil || len(report.Findings) != 1 {
				t.Fatalf("got %+v, %v", report, err)
			}
			f := report.Findings[0]
			if f.Severity != c.want || f.Accepted != (c.want == upgrade.Warning) || report.Passed() != f.Accepted || f.Total != 2 {
				t.Errorf("got %s, accepted: %t, passed: %t", f.Severity, f.Accepted, report.Passed())
			}
		})
	}
}

func testWhatCannotBeChecked(t *testing.T, s stage) {
	s.source.Exec(t, "shop", `CREATE TABLE t (id int)`, `ALTER TABLE t REPLICA IDENTITY FULL`)
	subject := s.subject(t, upgrade.Options{})
	subject.Target = Known(postgres.Login{}, errors.New("initdb failed"))
	subject.Host.TargetSpace = Known(Space{}, errors.New("no such file system"))
	failing := Check{
		ID: "failing", Severity: upgrade.Info, Modes: everyMode(), Scope: PerPublished,
		Find: query(`SELECT (1 / (datconnlimit + 1))::text, NULL, NULL FROM pg_database WHERE datname = current_database()`),
	}
	after := Check{ID: "after", Severity: upgrade.Info, Modes: everyMode(), Scope: PerPublished, Find: query(`SELECT 'x', NULL, NULL`)}
	checks := []Check{diskSpace, build, failing, after}
	report, err := run(t.Context(), checks, subject, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"disk-space: measure the target's file system: no such file system",
		"build: ask the target's programs: initdb failed",
		"failing in database postgres: ERROR: division by zero (SQLSTATE 22012)",
		"failing in database shop: ERROR: division by zero (SQLSTATE 22012)",
	}
	if diff := cmp.Diff(want, report.NotChecked); diff != "" {
		t.Errorf("not checked (-want +got):\n%s", diff)
	}
	if report.Passed() || len(report.Findings) != 1 || report.Findings[0].Total != 2 {
		t.Errorf("got %+v", report)
	}
}

// A table that somebody holds an ACCESS EXCLUSIVE lock on is not waited for.
func testLockedTable(t *testing.T, s stage) {
	s.source.Exec(t, "shop", `CREATE TABLE t (id int)`, `ALTER TABLE t REPLICA IDENTITY FULL`)
	conn := s.source.Connect(t, "shop")
	if _, err := conn.Exec(t.Context(), `BEGIN; LOCK TABLE t`); err != nil {
		t.Fatal(err)
	}
	report, err := run(t.Context(), []Check{fullIdentitySize}, s.subject(t, upgrade.Options{}), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if len(report.NotChecked) != 1 || !strings.Contains(report.NotChecked[0], "lock timeout") {
		t.Errorf("got %v", report.NotChecked)
	}
}

func testObjectsAreCapped(t *testing.T, s stage) {
	conn := s.source.Connect(t, "shop")
	for i := range upgrade.MaxObjects + 5 {
		if _, err := conn.Exec(t.Context(), fmt.Sprintf(`CREATE TABLE t%d (id int)`, i)); err != nil {
			t.Fatal(err)
		}
	}
	report, err := run(t.Context(), []Check{replicaIdentity}, s.subject(t, upgrade.Options{}), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if len(report.Findings) != 1 {
		t.Fatalf("got %+v", report)
	}
	f := report.Findings[0]
	if f.Total != upgrade.MaxObjects+5 || len(f.Objects) != upgrade.MaxObjects || len(f.RemedySQL) != upgrade.MaxObjects {
		t.Errorf("total %d, objects %d, remedies %d", f.Total, len(f.Objects), len(f.RemedySQL))
	}
}

func TestSourceThatIsDown(t *testing.T) {
	s := pair(t)
	subject := s.subject(t, upgrade.Options{})
	s.source.Stop(t)
	if _, err := Run(context.Background(), subject, time.Now()); err == nil {
		t.Error("no error")
	}
}
