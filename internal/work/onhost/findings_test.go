package onhost

import (
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pgleap/pgleap/internal/pgtest"
	"github.com/pgleap/pgleap/internal/postgres"
	"github.com/pgleap/pgleap/internal/postmaster"
	"github.com/pgleap/pgleap/internal/run"
	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/internal/upgrade/step"
)

// An extension that cannot be updated is kept in mind until it is, by whomever.
func TestFindings(t *testing.T) {
	pgtest.Slow(t)
	versions := pgtest.Versions(t)
	version := versions[len(versions)-1]
	cluster := pgtest.Start(t, version, pgtest.HBA("local broken all reject\nlocal all all trust\nhost all all 127.0.0.1/32 trust\n"))
	cluster.CreateDatabase(t, "broken")
	for _, database := range []string{"shop", "depot"} {
		cluster.CreateDatabase(t, database)
		// From 1.5 to 1.6 a function is made that somebody has made already.
		cluster.Exec(t, database, `CREATE EXTENSION hstore VERSION '1.4'`,
			`CREATE FUNCTION hstore_hash_extended(hstore, int8) RETURNS int8 LANGUAGE sql AS 'SELECT $2'`)
	}
	cluster.Exec(t, "template1", `CREATE EXTENSION hstore VERSION '1.4'`)
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	runner := run.New(log)
	host := postmaster.New("h1", runner, []string{filepath.Dir(pgtest.Bindir(t, version))}, log)
	w := New(host, runner, filepath.Join(t.TempDir(), "agent"), GuardCommand{}, log, time.Now)
	inspected, err := host.Inspect(t.Context(), step.InspectArgs{Pgdata: cluster.Pgdata})
	if err != nil {
		t.Fatal(err)
	}
	done, err := w.updateExtensions(t.Context(), upgrade.Plan{Number: 7, ID: "u", Instance: "shop", Source: inspected, Target: inspected})
	if err != nil || len(done.Findings) != 2 || done.Findings[0].Database != "depot" || !strings.Contains(done.Findings[0].Reason, "hstore_hash_extended") {
		t.Fatalf("found %+v, %v", done.Findings, err)
	}
	if !slices.ContainsFunc(done.Events, func(e upgrade.Event) bool {
		return e.Level == upgrade.LevelWarning && strings.Contains(e.Text, "extensions of broken could")
	}) {
		t.Errorf("nothing is told of a database that cannot be reached: %+v", done.Events)
	}
	left, err := postgres.ExtensionUpdates(t.Context(), cluster.Connect(t, "template1"))
	if err != nil || len(left) != 0 {
		t.Errorf("template1 has %+v, %v", left, err)
	}
	recheck := func(findings []upgrade.OpenFinding, retry bool, want ...string) []upgrade.OpenFinding {
		t.Helper()
		open, err := w.RecheckFindings(t.Context(), step.RecheckFindingsArgs{Cluster: inspected, Findings: findings, Retry: retry})
		if err != nil || len(open) != len(want) {
			t.Fatalf("open are %+v, %v, want those of %v", open, err, want)
		}
		for i, database := range want {
			if open[i].Database != database || open[i].Number != 7 || open[i].Since != findings[0].Since && open[i].Since != findings[len(findings)-1].Since {
				t.Errorf("open is %+v, want that of %s", open[i], database)
			}
		}
		return open
	}
	open := recheck(done.Findings, false, "depot", "shop")
	open = recheck(open, true, "depot", "shop")
	mend := `DROP FUNCTION hstore_hash_extended(hstore, int8)`
	cluster.Exec(t, "depot", mend, `ALTER EXTENSION hstore UPDATE`)
	open = recheck(open, false, "shop")
	cluster.Exec(t, "shop", mend)
	open = recheck(open, true)
	recheck(open, false)
}
