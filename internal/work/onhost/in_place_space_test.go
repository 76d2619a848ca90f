package onhost

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/pgleap/pgleap/internal/postgres"
	"github.com/pgleap/pgleap/internal/precheck"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// What is on one file system shares its room; a tablespace on another one has its own.
func TestPlaceCopies(t *testing.T) {
	dir := t.TempDir()
	other := otherFileSystem(t, dir)
	second := filepath.Join(other, "second")
	if err := os.Mkdir(second, 0o700); err != nil {
		t.Fatal(err)
	}
	sizes := map[uint32]postgres.TablespaceSize{
		1663: {Bytes: 1000, Files: 1}, 1664: {Bytes: 200, Files: 0}, 20001: {Bytes: 30, Files: 2}, 20002: {Bytes: 4, Files: 4}, 20003: {Bytes: 5, Files: 8},
	}
	got, err := placeCopies(sizes, map[uint32]string{20001: dir, 20002: other, 20003: second}, dir)
	if err != nil {
		t.Fatal(err)
	}
	want := precheck.Copied{
		ToTarget:  precheck.Space{Bytes: 1230, Inodes: 3},
		Elsewhere: []precheck.Room{{Dir: other, Need: precheck.Space{Bytes: 9, Inodes: 12}}},
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(precheck.Room{}, "Free")); diff != "" {
		t.Errorf("what is copied where (-want +got):\n%s", diff)
	}
	if len(got.Elsewhere) > 0 && got.Elsewhere[0].Free.Bytes == 0 {
		t.Error("the other file system has no room at all")
	}
	if _, err := placeCopies(sizes, map[uint32]string{20001: filepath.Join(other, "nosuch")}, dir); !errors.Is(err, syscall.ENOENT) {
		t.Errorf("a tablespace that is gone: %v", err)
	}
}

// A tablespace's files are copied where they are: where its file system is full the precheck says so, by that and no
// other, and so does the upgrade. Links need nothing there.
func TestTablespaceOnAFullFileSystem(t *testing.T) {
	w, source, args := precheckBed(t)
	plan := args.Plan
	plan.Mode, plan.Target.Port = upgrade.InPlace, source.Port
	plan.Options.SkipSchemaRehearsal = true // it has a test of its own
	small := smallDisk(t, filepath.Join(filepath.Dir(source.Pgdata), "small"))
	user, err := owner(plan)
	if err != nil {
		t.Fatal(err)
	}
	if err := makeDir(filepath.Join(small, "space"), user); err != nil {
		t.Fatal(err)
	}
	source.Exec(t, "postgres", `CREATE TABLESPACE fast LOCATION '`+filepath.Join(small, "space")+`'`,
		`CREATE TABLE filled TABLESPACE fast AS SELECT repeat('x', 1000) FROM generate_series(1, 30000)`, `CHECKPOINT`) // 40 MB
	report := func(transfer upgrade.Transfer) upgrade.Report {
		plan.Options.Transfer = transfer
		args.Plan = plan
		report, err := w.Precheck(t.Context(), args)
		if err != nil {
			t.Fatal(err)
		}
		return report
	}
	if found := find(report(upgrade.TransferCopy), "disk-space"); found.Total > 0 {
		t.Errorf("there is room: %s %q", found.Severity, found.Objects)
	}
	free := (&upgradeBed{T: t}).fill(small, 20<<20)
	expectFinding(t, report(upgrade.TransferCopy), "disk-space", upgrade.Blocker, "file system of the tablespace at "+small)
	if found := find(report(upgrade.TransferLink), "disk-space"); found.Total > 0 {
		t.Errorf("links take no room: %s %q", found.Severity, found.Objects)
	}
	if err := w.enoughSpace(t.Context(), plan, "copy"); err == nil || !strings.Contains(err.Error(), "the file system of "+small) {
		t.Errorf("the upgrade itself: %v", err)
	}
	free()
	if err := w.enoughSpace(t.Context(), plan, "copy"); err != nil {
		t.Errorf("there is room: %v", err)
	}
}
