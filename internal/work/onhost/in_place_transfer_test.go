package onhost

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pgleap/pgleap/internal/pgbin"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// placesIn are a source's data directory and a target's place, each in a directory of its own.
func placesIn(t *testing.T, source, target string) places {
	t.Helper()
	for _, dir := range []string{source, target} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(source, "PG_VERSION"), []byte("15\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return places{source: source, target: target}
}

// otherFileSystem is a directory on another file system than dir, which can neither link nor clone
// files of dir's.
func otherFileSystem(t *testing.T, dir string) string {
	t.Helper()
	other, err := os.MkdirTemp("/dev/shm", "pgleap-test-")
	if err != nil || sameFileSystem(dir, other) {
		t.Skipf("/dev/shm is no file system of its own: %v", err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(other) })
	return other
}

func TestChooseTransfer(t *testing.T) {
	dir := t.TempDir()
	near := placesIn(t, filepath.Join(dir, "source"), filepath.Join(dir, "target"))
	far := placesIn(t, filepath.Join(dir, "source"), filepath.Join(otherFileSystem(t, dir), "target"))
	clones := tryClone(near, self(t)) == nil
	best := map[bool]pgbin.Transfer{true: pgbin.TransferClone, false: pgbin.TransferLink}[clones]
	for _, test := range []struct {
		name    string
		wanted  upgrade.Transfer
		version upgrade.VersionNum
		at      places
		want    pgbin.Transfer
		refused string
	}{
		{"the fastest that can be taken back", upgrade.TransferAuto, 180000, near, best, ""},
		{"nothing but a copy works", upgrade.TransferAuto, 180000, far, pgbin.TransferCopy, ""},
		{"copy", upgrade.TransferCopy, 150000, far, pgbin.TransferCopy, ""},
		{"link", upgrade.TransferLink, 150000, near, pgbin.TransferLink, ""},
		{"link to another file system", upgrade.TransferLink, 150000, far, "", "cannot be transferred by link here"},
		{"clone to another file system", upgrade.TransferClone, 150000, far, "", "cannot be transferred by clone here"},
		{"copy-file-range", upgrade.TransferCopyFileRange, 170000, near, pgbin.TransferCopyFileRange, ""},
		{"copy-file-range before its time", upgrade.TransferCopyFileRange, 160005, near, "", "came with 17"},
		{"swap", upgrade.TransferSwap, 180000, near, pgbin.TransferSwap, ""},
		{"swap before its time", upgrade.TransferSwap, 170000, near, "", "came with 18"},
		{"swap with another file system", upgrade.TransferSwap, 180000, far, "", "cannot be transferred by swap here"},
	} {
		got, err := chooseTransfer(test.wanted, test.version, test.at, self(t))
		if got.Transfer != test.want || (err == nil) != (test.refused == "") || err != nil && !strings.Contains(err.Error(), test.refused) {
			t.Errorf("%s: %+v, %v; want %q %s", test.name, got, err, test.want, test.refused)
		}
		if err == nil && (got.Why == "" || wayBack(got.Transfer) == "") {
			t.Errorf("%s: it does not say why, or until when there is a way back", test.name)
		}
	}
	if diff := cmp.Diff([]string{"source", "target"}, list(t, dir)); diff != "" {
		t.Errorf("what the trials left (-want +got):\n%s", diff)
	}
	for _, at := range []places{near, far} {
		if left := list(t, at.target); len(left) > 0 {
			t.Errorf("the trials left %v", left)
		}
	}
}

// A way to transfer files that was asked for by name is tried by the precheck, where the target will be: it does not pass
// what the upgrade would refuse.
func TestPrecheckTriesTheTransfer(t *testing.T) {
	w, source, args := precheckBed(t)
	args.Plan.Mode, args.Plan.Target.Port = upgrade.InPlace, source.Port
	args.Plan.Options.SkipSchemaRehearsal = true // it has a test of its own
	far := otherFileSystem(t, source.Pgdata)
	if err := os.Chmod(far, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		transfer upgrade.Transfer
		dir      string
		refused  string // how the finding begins, if there is one
	}{
		{upgrade.TransferClone, far, "files cannot be transferred by clone here: "},
		{upgrade.TransferAuto, far, ""},
		{upgrade.TransferLink, filepath.Dir(source.Pgdata), ""},
	} {
		took := map[upgrade.Transfer]string{upgrade.TransferAuto: "copy", upgrade.TransferLink: "link"}[test.transfer]
		t.Run(string(test.transfer), func(t *testing.T) {
			args.Plan.Options.Transfer, args.Plan.Target.Pgdata = test.transfer, filepath.Join(test.dir, "target")
			report, err := w.Precheck(t.Context(), args)
			if err != nil {
				t.Fatal(err)
			}
			if found := find(report, "transfer-method"); test.refused == "" && found.Total > 0 {
				t.Errorf("%s: %q", found.Severity, found.Objects)
			}
			if test.refused != "" {
				expectFinding(t, report, "transfer-method", upgrade.Blocker, test.refused)
			}
			if len(report.NotChecked) > 0 {
				t.Errorf("not checked: %q", report.NotChecked)
			}
			switch told := report.Estimate.Transfer; {
			case told == nil:
				if test.refused == "" {
					t.Error("the report does not tell the transfer")
				}
			case string(told.Transfer) != took || told.Why == "" || told.WayBack != wayBack(pgbin.Transfer(took)):
				t.Errorf("the report tells of %+v", told)
			}
		})
	}
}

// A tablespace within the source's data directory cannot be upgraded in place.
func TestPrecheckOfATablespaceWithinTheDataDirectory(t *testing.T) {
	w, source, args := precheckBed(t)
	plan := args.Plan
	plan.Mode = upgrade.InPlace
	user, err := owner(plan)
	if err != nil {
		t.Fatal(err)
	}
	within := filepath.Join(source.Pgdata, "space")
	if err := makeDir(within, user); err != nil {
		t.Fatal(err)
	}
	source.Exec(t, "postgres", `CREATE TABLESPACE within LOCATION '`+within+`'`)
	foreseen, err := w.foreseeTransfer(t.Context(), plan, filepath.Dir(source.Pgdata))
	if err != nil || !strings.HasPrefix(foreseen.Refused, "the tablespace at "+within+" lies within") {
		t.Errorf("foreseen: %+v, %v", foreseen, err)
	}
}

func TestPace(t *testing.T) {
	at := time.Unix(0, 0)
	p := newPace(func() time.Time { return at })
	for _, step := range []struct {
		after       time.Duration
		phase       string
		done, total int64
		want        string
	}{
		{0, pgbin.PhaseDumping, 0, 4, ""},
		{time.Second, pgbin.PhaseDumping, 1, 4, ""}, // too soon to tell
		{9 * time.Second, pgbin.PhaseDumping, 2, 4, ", about 10s left in this phase"},
		{10 * time.Second, pgbin.PhaseDumping, 4, 4, ""},
		{0, pgbin.PhaseTransfer, 1, 1000, ""}, // a phase of its own
		{10 * time.Second, pgbin.PhaseTransfer, 100, 1000, ", about 1m30s left in this phase"},
		{time.Second, pgbin.PhaseSyncing, 0, 0, ""}, // cannot be counted
	} {
		at = at.Add(step.after)
		if got := p.remaining(step.phase, step.done, step.total); got != step.want {
			t.Errorf("%s, %d of %d: got %q, want %q", step.phase, step.done, step.total, got, step.want)
		}
	}
}

func TestPgUpgradeFailureIsExplained(t *testing.T) {
	for _, test := range []struct {
		failure        pgbin.Failure
		reason, remedy string
	}{
		{
			pgbin.Failure{Check: "Checking for presence of required libraries", Files: map[string][]pgbin.Line{
				"loadable_libraries.txt": {{Database: "shop", Object: `could not load library "$libdir/postgis-3"`}},
			}},
			`pg_upgrade: Checking for presence of required libraries: could not load library "$libdir/postgis-3" in database shop`, "install the package",
		},
		{
			pgbin.Failure{Check: "Checking for prepared transactions", Message: "The source cluster contains prepared transactions"},
			"pg_upgrade: Checking for prepared transactions: The source cluster contains prepared transactions", "COMMIT PREPARED",
		},
		{
			pgbin.Failure{Check: "Checking names of databases, roles and tablespaces", Files: map[string][]pgbin.Line{
				"db_role_tablespace_invalid_names.txt": {{Object: `role "say\r"`}},
			}},
			`pg_upgrade: Checking names of databases, roles and tablespaces: role "say\r"`, "whose names have line breaks",
		},
		{
			pgbin.Failure{Check: "Checking for uses of gist_inet_ops/gist_cidr_ops", Files: map[string][]pgbin.Line{
				"gist_inet_ops.txt": {{Database: "shop", Object: `public.by_net`}},
			}},
			`pg_upgrade: Checking for uses of gist_inet_ops/gist_cidr_ops: public.by_net in database shop`, "drop the indexes",
		},
		{
			pgbin.Failure{Check: "Checking output plugins", Files: map[string][]pgbin.Line{
				"disallowed_output_plugins.txt": {{Object: `cdc`}},
			}},
			`pg_upgrade: Checking output plugins: cdc`, "output_plugin_libraries",
		},
		{
			pgbin.Failure{Check: "Checking for something new", Message: "it is so"},
			"pg_upgrade: Checking for something new: it is so", "its whole output is kept",
		},
	} {
		refused, ok := explainPgUpgrade(&test.failure, nil).(*upgrade.Refused) //nolint:errorlint // it is not wrapped
		if !ok || refused.Reason != test.reason || !strings.Contains(refused.Remedy, test.remedy) {
			t.Errorf("%+v", refused)
		}
	}
	if err := explainPgUpgrade(os.ErrPermission, nil); err != os.ErrPermission { //nolint:errorlint // the same one
		t.Errorf("another error became %v", err)
	}
}

func TestIsWithin(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"pgdata/space", "pgdata2", "aside"} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(filepath.Join(dir, "pgdata", "space"), filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]bool{
		"pgdata": true, "pgdata/space": true, "pgdata2": false, "aside": false, "link": true, "nosuch": false,
	} {
		if got := isWithin(filepath.Join(dir, path), filepath.Join(dir, "pgdata")); got != want {
			t.Errorf("%s: %t", path, got)
		}
	}
}
