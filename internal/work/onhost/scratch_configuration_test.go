package onhost

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pgleap/pgleap/internal/pgtest"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// TestPrecheckTriesTheConfiguration: the source serves with what its files no longer say. What the
// target would not start with is found while nothing has happened, told with its place, and gone
// after the remedy.
func TestPrecheckTriesTheConfiguration(t *testing.T) {
	pgtest.Slow(t)
	w, source, args := precheckBed(t)
	conf, hba, auto := filepath.Join(source.Pgdata, "postgresql.conf"), filepath.Join(source.Pgdata, "pg_hba.conf"), filepath.Join(source.Pgdata, "postgresql.auto.conf")
	plan := args.Plan
	plan.Number = args.Number + 1
	scratch, err := w.makeScratch(t.Context(), plan)
	defer scratch.remove(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	expect := func(want ...string) {
		t.Helper()
		read, err := scratch.configuration(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, read.Complaints); diff != "" {
			t.Errorf("complaints (-want +got):\n%s", diff)
		}
	}
	expect()

	source.Exec(t, "postgres", `ALTER SYSTEM SET shared_preload_libraries = 'no_such_library'`)
	undo := extend(t, conf, "log_timezone = 'Nowhere/Land'\nwork_mem = 1kB\nlc_messages = 'C'\n")
	// Wrong values are told all at once, before a start is tried.
	expect(`invalid value for parameter "log_timezone": "Nowhere/Land"`, `1 kB is outside the valid range for parameter "work_mem" (64 kB .. 2147483647 kB)`)
	undo()
	expect(`could not access file "no_such_library": No such file or directory`)

	report, err := w.Precheck(t.Context(), args)
	if err != nil {
		t.Fatal(err)
	}
	said := find(report, "configuration-invalid")
	want := []string{fmt.Sprintf(`shared_preload_libraries (%s:3: could not access file "no_such_library": No such file or directory)`, auto)}
	if diff := cmp.Diff(want, said.Objects); diff != "" || said.Severity != upgrade.Blocker || report.Configuration == nil {
		t.Errorf("a %s, configuration %+v, objects (-want +got):\n%s", said.Severity, report.Configuration, diff)
	}
	for _, remedy := range said.RemedySQL {
		source.Exec(t, remedy.Database, remedy.SQL)
	}
	expect()

	undo = extend(t, hba, "host all all 192.0.2.0/24 no-such-method\n")
	expect("could not load " + hba)
	undo()
	expect()
}

// extend adds lines to a file, whose owner stays, and returns what takes them away again.
func extend(t *testing.T, path, lines string) (undo func()) {
	t.Helper()
	write := func(text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	before := read(path)
	write(before + lines)
	return func() { write(before) }
}
