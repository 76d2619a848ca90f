package onhost

import (
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pgleap/pgleap/internal/pgbin"
	"github.com/pgleap/pgleap/internal/pgtest"
	"github.com/pgleap/pgleap/internal/postmaster"
	"github.com/pgleap/pgleap/internal/run"
	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/internal/upgrade/step"
)

// One table that cannot be analyzed keeps no other from what it lacks, be that only what CREATE STATISTICS says: vacuumdb
// ends at the first.
func TestMissingStatisticsTableByTable(t *testing.T) {
	pgtest.Slow(t)
	cluster := pgtest.Start(t, 18, pgtest.Config(map[string]string{"autovacuum": "off"}))
	cluster.Exec(t, "postgres", `
		CREATE FUNCTION key(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1';
		CREATE TABLE refused AS SELECT n AS id, repeat('x', 100) AS t FROM generate_series(1, 10000) n;
		CREATE INDEX ON refused (key(id));
		CREATE OR REPLACE FUNCTION key(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1 / 0';
		CREATE TABLE fine AS SELECT n AS a, n AS b FROM generate_series(1, 100) n; ANALYZE fine;
		CREATE STATISTICS together (dependencies) ON a, b FROM fine`,
		`VACUUM refused`) // which makes it known as the largest, and so the first
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	runner := run.New(log)
	host := postmaster.New("h1", runner, []string{filepath.Dir(cluster.Bindir)}, log)
	w := New(host, runner, filepath.Join(t.TempDir(), "agent"), GuardCommand{}, log, time.Now)
	inspected, err := host.Inspect(t.Context(), step.InspectArgs{Pgdata: cluster.Pgdata})
	if err != nil {
		t.Fatal(err)
	}
	plan := upgrade.Plan{Number: 7, ID: "u", Instance: "shop", Source: inspected, Target: inspected, Options: upgrade.Options{}.WithDefaults()}
	done, err := w.analyzeTarget(t.Context(), plan, host.Login(inspected, "postgres"), pgbin.AnalyzeMissing)
	if err != nil || !slices.ContainsFunc(done.Events, func(e upgrade.Event) bool {
		return e.Level == upgrade.LevelWarning && strings.Contains(e.Text, "analyze public.refused")
	}) {
		t.Errorf("nothing is told of a table that cannot be analyzed: %+v, %v", done.Events, err)
	}
	var collected bool
	err = cluster.Connect(t, "postgres").QueryRow(t.Context(), `SELECT EXISTS (SELECT FROM pg_statistic_ext_data)`).Scan(&collected)
	if err != nil || !collected {
		t.Errorf("extended statistics are collected: %t, %v", collected, err)
	}
}
