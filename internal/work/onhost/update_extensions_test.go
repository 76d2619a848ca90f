package onhost

import (
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pgleap/pgleap/internal/pgtest"
	"github.com/pgleap/pgleap/internal/postgres"
	"github.com/pgleap/pgleap/internal/postmaster"
	"github.com/pgleap/pgleap/internal/run"
	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/internal/upgrade/step"
)

// endsUpdate does something at the update of an extension, and says in the server's log that it was tried.
func endsUpdate(extension, does string) string {
	return `
		CREATE FUNCTION public.ends() RETURNS event_trigger LANGUAGE plpgsql AS $f$ BEGIN
			IF current_query() LIKE '%` + extension + `%' THEN
				RAISE LOG 'an update is tried';
				` + does + `
			END IF;
		END $f$;
		CREATE EVENT TRIGGER ends ON ddl_command_start WHEN TAG IN ('ALTER EXTENSION') EXECUTE FUNCTION public.ends();
		ALTER EVENT TRIGGER ends ENABLE ALWAYS`
}

// extensionBed is a server that stands for a target, and its agent.
func extensionBed(t *testing.T, version int, settings map[string]string) (*pgtest.Cluster, *Worker, upgrade.Plan) {
	t.Helper()
	cluster := pgtest.Start(t, version, pgtest.Config(settings))
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	runner := run.New(log)
	host := postmaster.New("h1", runner, []string{filepath.Dir(pgtest.Bindir(t, version))}, log)
	inspected, err := host.Inspect(t.Context(), step.InspectArgs{Pgdata: cluster.Pgdata})
	if err != nil {
		t.Fatal(err)
	}
	w := New(host, runner, filepath.Join(t.TempDir(), "agent"), GuardCommand{}, log, time.Now)
	return cluster, w, upgrade.Plan{Number: 7, ID: "u", Instance: "shop", Source: inspected, Target: inspected}
}

// outdated are the extensions that have not the version of their server.
func outdated(t *testing.T, cluster *pgtest.Cluster, databases ...string) (names []string) {
	t.Helper()
	for _, database := range databases {
		updates, err := postgres.ExtensionUpdates(t.Context(), cluster.Connect(t, database))
		if err != nil {
			t.Fatal(err)
		}
		for _, u := range updates {
			names = append(names, database+" "+u.Name)
		}
	}
	return names
}

// An update that ends its session, and the server with it, is tried once, however often the step is. It is kept in mind
// until somebody has mended it, and the others are done when the server is back.
func TestUpdateExtensionEndsServer(t *testing.T) {
	pgtest.Slow(t)
	const crash = `COPY (SELECT pg_backend_pid()) TO PROGRAM 'xargs kill -9';`
	ends := []struct {
		name, does string
		settings   map[string]string
	}{
		{"crash", crash, nil},
		{"crash for good", crash, map[string]string{"restart_after_crash": "off"}},
		{"session", `PERFORM pg_terminate_backend(pg_backend_pid());`, nil},
	}
	for _, version := range pgtest.Versions(t) {
		for _, end := range ends {
			t.Run(fmt.Sprintf("%s of %d", end.name, version), func(t *testing.T) {
				cluster, w, plan := extensionBed(t, version, end.settings)
				for _, database := range []string{"depot", "shop"} {
					cluster.CreateDatabase(t, database)
					cluster.Exec(t, database, `CREATE EXTENSION hstore VERSION '1.4'`, `CREATE EXTENSION pg_trgm VERSION '1.3'`)
				}
				cluster.Exec(t, "depot", endsUpdate("hstore", end.does))
				tries := func(want int) {
					t.Helper()
					// The second is that of a server that was started again whose log is not its owner's.
					logs := read(filepath.Join(cluster.SocketDir, "server.log")) + read(filepath.Join(cluster.Pgdata, "pg_ctl.log"))
					if got := strings.Count(logs, "an update is tried"); got != want {
						t.Errorf("it was tried %d times, want %d", got, want)
					}
				}
				var done step.Done
				for range 2 { // as the engine does when the agent has died
					var err error
					done, err = w.updateExtensions(t.Context(), plan)
					if err != nil || len(done.Findings) != 1 {
						t.Fatalf("found %+v, %v", done, err)
					}
					found := done.Findings[0]
					if found.Database != "depot" || found.Extension != "hstore" || !strings.Contains(found.Reason, "process ended while its script ran") {
						t.Errorf("found %+v", found)
					}
					if !slices.ContainsFunc(done.Events, func(e upgrade.Event) bool { return strings.HasPrefix(e.Text, found.Reason) }) {
						t.Errorf("it is not told: %+v", done.Events)
					}
				}
				tries(1)
				if diff := cmp.Diff([]string{"depot hstore"}, outdated(t, cluster, "depot", "shop")); diff != "" {
					t.Errorf("outdated (-want +got):\n%s", diff)
				}

				recheck := func(retry bool, want int) {
					t.Helper()
					open, err := w.RecheckFindings(t.Context(), step.RecheckFindingsArgs{Cluster: plan.Target, Findings: done.Findings, Retry: retry})
					if err != nil || len(open) != want {
						t.Errorf("open are %+v, %v", open, err)
					}
				}
				recheck(false, 1)
				recheck(true, 1)
				tries(2)
				cluster.Exec(t, "depot", `DROP EVENT TRIGGER ends`)
				recheck(true, 0)
			})
		}
	}
}

// An update whose agent was killed is kept in mind, and not tried again: nobody knows what it did. One that had come to
// its end is forgotten.
func TestUpdateExtensionOutlivesAgent(t *testing.T) {
	pgtest.Slow(t)
	versions := pgtest.Versions(t)
	cluster, w, plan := extensionBed(t, versions[len(versions)-1], nil)
	cluster.CreateDatabase(t, "shop")
	cluster.Exec(t, "shop", `CREATE EXTENSION hstore VERSION '1.4'`, `CREATE EXTENSION pg_trgm`)
	files, err := w.files(plan)
	if err != nil {
		t.Fatal(err)
	}
	begun := []upgrade.OpenFinding{{Database: "shop", Extension: "hstore", Reason: "begun"}, {Database: "shop", Extension: "pg_trgm", Reason: "begun"}}
	if err := files.write(noteExtensions, begun); err != nil {
		t.Fatal(err)
	}
	done, err := w.updateExtensions(t.Context(), plan)
	if err != nil || len(done.Findings) != 1 || done.Findings[0].Extension != "hstore" {
		t.Errorf("found %+v, %v", done.Findings, err)
	}
	if diff := cmp.Diff([]string{"shop hstore"}, outdated(t, cluster, "shop")); diff != "" {
		t.Errorf("outdated (-want +got):\n%s", diff)
	}
}
