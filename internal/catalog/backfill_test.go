package catalog_test

import (
	"database/sql"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"

	"github.com/pgleap/pgleap/internal/catalog"
	"github.com/pgleap/pgleap/internal/pgtest"
	"github.com/pgleap/pgleap/internal/upgrade"
)

func TestRecordOfTheFirstVersion(t *testing.T) {
	t.Parallel()
	t.Run("SQLite", func(t *testing.T) {
		t.Parallel()
		file := newFile(t)
		path, err := url.Parse(file)
		ok(t, err)
		db, err := sql.Open("sqlite", (&url.URL{Scheme: "file", Path: path.Path}).String())
		ok(t, err)
		writeFirstVersion(t, db, goose.DialectSQLite3)
		checkFilledIn(t, open(t, file))
	})
	t.Run("PostgreSQL", func(t *testing.T) {
		t.Parallel()
		server := pgtest.Start(t, 15)
		server.Exec(t, "postgres", "CREATE SCHEMA record")
		config, err := pgx.ParseConfig(inSchema(t, server, "record"))
		ok(t, err)
		writeFirstVersion(t, stdlib.OpenDB(*config), goose.DialectPostgres)
		checkFilledIn(t, open(t, inSchema(t, server, "record")))
	})
}

// writeFirstVersion makes a record as the first released schema had it, and closes it.
func writeFirstVersion(t *testing.T, db *sql.DB, dialect goose.Dialect) {
	t.Helper()
	const name = "00001_record.sql"
	schema, err := os.ReadFile("migrations/" + name)
	ok(t, err)
	provider, err := goose.NewProvider(dialect, db, fstest.MapFS{name: {Data: schema}},
		goose.WithTableName("catalog_version"), goose.WithDisableGlobalRegistry(true))
	ok(t, err)
	_, err = provider.Up(t.Context())
	ok(t, err)
	_, err = db.ExecContext(t.Context(), firstVersion)
	ok(t, err)
	ok(t, db.Close())
}

// firstVersion is what an early pgleap has written: noon is 1772366400 seconds after 1970.
const firstVersion = `
INSERT INTO instance (id, host, pgdata, cluster, endpoint, created_at) VALUES
       ('orders',  'db1', '/data/orders',  '{"host": "db1", "pgdata": "/data/orders"}', '{"driver": "pgbouncer"}', 1772366400000000),
       ('billing', 'db1', '/data/billing', '{"host": "db1", "pgdata": "/data/billing"}', '{}',                     1772366400000000);

INSERT INTO task (number, id, kind, instance, mode, source, target, status, phase, reason,
                  progress, switchover, plan, phases, started_at, ended_at, requested_by) VALUES
       (1, 'a', 'precheck', 'orders', 'zero-downtime', 150018, 17, 'succeeded', '', '',
        'null', 'null', 'null', '[]', 1772366400000000, 1772366401000000, 'token cli'),
       (2, 'b', 'upgrade', 'orders', 'zero-downtime', 150018, 17, 'succeeded', 'finishing', '',
        'null', '{"switched": true, "startedAt": "2026-03-01T12:00:05Z", "endedAt": "2026-03-01T12:00:05.25Z"}',
        '{"number": 2, "options": {"statistics": "after"}}', '[]', 1772366402000000, 1772366410000000, 'token cli'),
       (3, 'c', 'upgrade', 'orders', 'zero-downtime', 150018, 17, 'running', 'synchronizing', '',
        'null', '{"switched": false, "startedAt": "2026-03-01T12:01:00Z", "endedAt": "0001-01-01T00:00:00Z"}',
        'null', '[]', 1772366420000000, NULL, 'token cli'),
       (4, 'd', 'precheck', 'orders', 'zero-downtime', 150018, 17, 'succeeded', '', '',
        'null', 'null', 'null', '[]', 1772366400000000, 1772366401000000, 'token cli'),
       (5, 'e', 'upgrade', 'billing', 'blue-green', 150018, 17, 'failed', '', '',
        'null', 'null', '{"number":5,"options":{"cloneOnly":true}}', '[]', 1772366400000000, 1772366401000000, 'token cli'),
       (6, 'f', 'upgrade', 'billing', 'blue-green', 150018, 17, 'failed', '', '',
        'null', '{"switched": false, "startedAt": "0001-01-01T00:00:00Z", "endedAt": "2026-03-01T12:00:05Z"}',
        '{"number":6,"options":{}}', '[]', 1772366400000000, 1772366406000000, 'token cli');

INSERT INTO event (task, seq, batch, at, level, phase, message) VALUES
       (2, 1, 'a', 1772366403000000, 'info', 'base backup', 'copied the data directory'),
       (2, 2, 'a', 1772366405000000, 'info', 'switchover', 'Clients went on at the target.');

INSERT INTO report (number, instance, mode, target, checked_at, body, retired) VALUES
       (1, 'orders', 'zero-downtime', 17, 1772366400000000,
        '{"number": 1, "instance": "orders", "findings": [{"severity": "warning"}], "validUntil": "2026-03-08T12:00:00Z"}', 0),
       (4, 'orders', 'zero-downtime', 17, 1772366400000000,
        '{"number": 4, "instance": "orders", "findings": [{"severity": "blocker"}], "validUntil": "2026-03-08T12:00:00Z"}', 0);
`

func checkFilledIn(t *testing.T, c *catalog.Catalog) {
	t.Helper()
	checkNamed(t, c)
	upgrades := historyOf(t, c, catalog.HistoryFilter{Instance: "orders", Kind: upgrade.TaskUpgrade, OldestFirst: true})
	noon := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	at := func(d time.Duration) *time.Time { moment := noon.Add(d); return &moment }
	want := []catalog.Summary{
		{
			Number: 2, ID: "b", Kind: upgrade.TaskUpgrade, Instance: "orders", Mode: upgrade.ZeroDowntime,
			Source: 150018, Target: 17, Status: upgrade.StatusSucceeded, Phase: upgrade.PhaseFinishing,
			Statistics: upgrade.StatisticsAfter, StartedAt: *at(2 * time.Second), EndedAt: at(10 * time.Second),
			SwitchStartedAt: at(5 * time.Second), SwitchEndedAt: at(5250 * time.Millisecond), Switched: true,
			Log: "2026-03-01 12:00:03 --- Copied the data directory.\n2026-03-01 12:00:05 --- Clients went on at the target.\n",
		},
		{
			Number: 3, ID: "c", Kind: upgrade.TaskUpgrade, Instance: "orders", Mode: upgrade.ZeroDowntime,
			Source: 150018, Target: 17, Status: upgrade.StatusRunning, Phase: upgrade.PhaseSynchronizing,
			StartedAt: *at(20 * time.Second), SwitchStartedAt: at(time.Minute),
		},
	}
	if diff := cmp.Diff(want, upgrades); diff != "" {
		t.Errorf("upgrades (-want +got):\n%s", diff)
	}
	for validAt, want := range map[time.Duration]int{time.Hour: 1, 8 * 24 * time.Hour: 0} {
		passed := historyOf(t, c, catalog.HistoryFilter{Instance: "orders", Kind: upgrade.TaskPrecheck, PassedAt: *at(validAt)})
		if len(passed) != want || want > 0 && passed[0].Number != 1 {
			t.Errorf("passed after %s: %v", validAt, passed)
		}
	}
	billing := historyOf(t, c, catalog.HistoryFilter{Instance: "billing", Kind: upgrade.TaskUpgrade, OldestFirst: true})
	if len(billing) != 2 || !billing[0].CloneOnly || billing[1].CloneOnly || billing[1].SwitchEndedAt != nil {
		t.Errorf("a clone, and a switchover that has no beginning: %+v", billing)
	}
	// What follows goes on where it stood.
	ok(t, c.AppendEvents(t.Context(), 3, "b", []upgrade.Event{{At: noon, Text: "caught up"}}))
	log := historyOf(t, c, catalog.HistoryFilter{Instance: "orders", Kind: upgrade.TaskUpgrade, Number: 3})[0].Log
	if !strings.HasSuffix(log, "--- Caught up.\n") {
		t.Errorf("log %q", log)
	}
}

// checkNamed checks that every instance has a UUID of its own, and no window.
func checkNamed(t *testing.T, c *catalog.Catalog) {
	t.Helper()
	all, err := c.Instances(t.Context())
	ok(t, err)
	shape := regexp.MustCompile(`^[0-9a-f]{32}$`)
	seen := map[string]bool{}
	for _, in := range all {
		if !shape.MatchString(in.UUID) || seen[in.UUID] || in.Window != nil {
			t.Errorf("instance %q has UUID %q and window %v", in.ID, in.UUID, in.Window)
		}
		seen[in.UUID] = true
		if byUUID, err := c.InstanceByUUID(t.Context(), in.UUID); err != nil || byUUID.ID != in.ID {
			t.Errorf("UUID of %q leads to %q, %v", in.ID, byUUID.ID, err)
		}
	}
	if len(all) != 2 {
		t.Errorf("%d instances", len(all))
	}
}

func historyOf(t *testing.T, c *catalog.Catalog, f catalog.HistoryFilter) []catalog.Summary {
	t.Helper()
	page, _, err := c.History(t.Context(), f)
	ok(t, err)
	return page
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
