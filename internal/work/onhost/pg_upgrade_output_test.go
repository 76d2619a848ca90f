package onhost

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pgleap/pgleap/internal/run"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// Of what pg_upgrade leaves in the target, reports and recommended scripts are kept, which name objects, and
// the definitions are not, which have passwords.
func TestOutputOfPgUpgrade(t *testing.T) {
	me := run.User{UID: os.Geteuid(), GID: os.Getegid()}
	plan := upgrade.Plan{Target: upgrade.Cluster{Pgdata: t.TempDir()}}
	outdir, kept := filepath.Join(outputDir(plan), "20260101T000000.000"), filepath.Join(t.TempDir(), "a", "reports")
	if got, err := keepReports(outdir, kept, me); got != "" || err != nil {
		t.Errorf("of a directory that is not there: %q, %v", got, err)
	}
	for name, content := range map[string]string{
		"unicode_dependent_rels.txt": "In database: shop\n", "update_extensions.sql": `\connect shop`,
		"pg_upgrade_dump_globals.sql": "CREATE ROLE app PASSWORD 'x'", "dump/pg_upgrade_dump_globals.sql": "the same",
		"log/pg_upgrade_internal.log": "x", "delete_old_cluster.sh": "rm -rf",
	} {
		path := filepath.Join(outdir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("/etc/passwd", filepath.Join(outdir, "link.txt")); err != nil {
		t.Fatal(err)
	}
	for range 2 { // again, as a repeated step does
		if got, err := keepReports(outdir, kept, me); got != kept || err != nil {
			t.Fatalf("kept in %q, %v", got, err)
		}
	}
	names := list(t, kept)
	slices.Sort(names)
	if diff := cmp.Diff([]string{"unicode_dependent_rels.txt", "update_extensions.sql"}, names); diff != "" {
		t.Errorf("kept (-want +got):\n%s", diff)
	}
	for range 2 {
		if err := removeOutput(plan); err != nil {
			t.Error(err)
		}
	}
	if left := list(t, plan.Target.Pgdata); len(left) != 0 {
		t.Errorf("left in the target: %v", left)
	}
}
