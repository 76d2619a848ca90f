package onhost

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// A base backup copies what lies in the data directory beside the tables, so it counts for a clone, as much as is copied.
func TestWhatABaseBackupCopiesBesideTables(t *testing.T) {
	w, source, args := precheckBed(t)
	args.Plan.Options.SkipSchemaRehearsal = true // it has a test of its own
	user, err := owner(args.Plan)
	if err != nil {
		t.Fatal(err)
	}
	workload := func(mode upgrade.Mode) upgrade.Workload {
		t.Helper()
		plan := args.Plan
		plan.Mode = mode
		report := precheckOnHost(t, w, plan, nil)
		if report.Estimate == nil {
			t.Fatalf("no estimate: %q", report.NotChecked)
		}
		return report.Estimate.Workload
	}
	put := func(path string) {
		t.Helper()
		path = filepath.Join(source.Pgdata, path)
		if err := makeDir(filepath.Dir(path), user); err != nil {
			t.Fatal(err)
		}
		if err := writeOwned(path, nil, user, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(path, 1<<30); err != nil { // it takes no room here, but copied it does
			t.Fatal(err)
		}
	}
	before := workload(upgrade.BlueGreen)
	if before.OtherBytes == 0 || before.OtherBytes > 1<<24 {
		t.Errorf("a fresh cluster has %d bytes beside its tables", before.OtherBytes)
	}
	for _, path := range []string{"pg_stat_tmp/pgss_query_texts.stat", "pg_replslot/a", "pgsql_tmp7.0", "backup_manifest", "pg_wal/spare"} {
		put(path)
	}
	if err := os.Symlink("/dev/zero", filepath.Join(source.Pgdata, "zero")); err != nil {
		t.Fatal(err)
	}
	if after := workload(upgrade.BlueGreen).OtherBytes; after > before.OtherBytes+1<<24 {
		t.Errorf("what is left out of a base backup is counted: %d bytes, then %d", before.OtherBytes, after)
	}
	put("log/postgresql.log")
	put("core")
	after := workload(upgrade.BlueGreen)
	if grown := after.OtherBytes - before.OtherBytes; grown < 2<<30 || grown > 2<<30+1<<24 {
		t.Errorf("a log and a core file of 1 GiB each count for %d bytes", grown)
	}
	if grown := after.DiskNeeded(upgrade.BlueGreen, "") - before.DiskNeeded(upgrade.BlueGreen, ""); grown < 2<<30 {
		t.Errorf("they take %d bytes more of the target's file system", grown)
	}
	if other := workload(upgrade.InPlace).OtherBytes; other != 0 {
		t.Errorf("%d bytes in place, where nothing of that is copied", other)
	}
}
