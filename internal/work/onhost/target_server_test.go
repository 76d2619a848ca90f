package onhost

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pgleap/pgleap/internal/pgconf"
	"github.com/pgleap/pgleap/internal/pgtest"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// insistent is a library of contrib that can be preloaded only; without SELinux it does nothing.
const insistent = "sepgsql"

// A library that insists on being preloaded, and from 17 on a slot of a plugin that only the source's own setting
// allows, and a trigger that lets nobody in, stand in nobody's way.
func TestPrecheckPreloadsAsTheSource(t *testing.T) {
	pgtest.Slow(t)
	versions := pgtest.Versions(t)
	for _, major := range []int{versions[0], versions[len(versions)-1]} {
		out, err := exec.CommandContext(t.Context(), filepath.Join(pgtest.Bindir(t, major), "pg_config"), "--pkglibdir").Output()
		if err != nil {
			t.Skipf("PostgreSQL %d has no pg_config to tell where its libraries are: %v", major, err)
		}
		if _, err := os.Stat(filepath.Join(strings.TrimSpace(string(out)), insistent+".so")); err != nil {
			t.Skipf("PostgreSQL %d has no library that insists on being preloaded: %v", major, err)
		}
	}
	w, source, args := precheckBed(t, pgtest.Config(map[string]string{
		"shared_preload_libraries": insistent, "wal_level": "logical", "max_prepared_transactions": "2",
	}))
	source.Exec(t, "postgres", `CREATE FUNCTION label() RETURNS text LANGUAGE c AS '$libdir/`+insistent+`', 'sepgsql_getcon'`)
	args.Plan.Mode, args.Plan.Options.SkipSchemaRehearsal = upgrade.InPlace, true // that has a test of its own
	if source.Major >= 17 {
		source.Exec(t, "postgres", `ALTER SYSTEM SET output_plugin_libraries = 'pgoutput', 'test_decoding'`, `SELECT pg_reload_conf()`)
		source.Exec(t, "postgres", `SELECT pg_create_logical_replication_slot('cdc', 'test_decoding')`)
		source.Exec(t, "postgres", `
			CREATE FUNCTION refused() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'nobody may'; END $$;
			CREATE EVENT TRIGGER refusing ON login EXECUTE FUNCTION refused()`)
	}
	report, err := w.Precheck(t.Context(), args)
	if err != nil {
		t.Fatal(err)
	}
	if !report.Passed() {
		t.Errorf("not passed: %+v\nnot checked: %v", report.Findings, report.NotChecked)
	}
}

func TestTargetServer(t *testing.T) {
	for _, c := range []struct {
		name, conf string
		want       []string
	}{
		{"nothing", "port = 5433\n", []string{"max_worker_processes=0"}},
		{
			"what pg_upgrade's server needs", "shared_preload_libraries = 'a, \"b c\"'\nmax_worker_processes = 8\noutput_plugin_libraries = ''\nmax_active_replication_origins = 40\n",
			[]string{"max_worker_processes=0", `shared_preload_libraries=a, "b c"`, "max_active_replication_origins=40"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			conf, err := pgconf.ParseConf([]byte(c.conf))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, targetServer(conf)); diff != "" {
				t.Errorf("settings (-want +got):\n%s", diff)
			}
		})
	}
}
