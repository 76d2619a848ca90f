package onhost

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pgleap/pgleap/internal/pgbin"
	"github.com/pgleap/pgleap/internal/pgtest"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// sharingDir is the variable with which this program starts itself in a mount namespace of its own: the directory
// on which to mount a file system that shares blocks between files, whose image lies beside it.
const sharingDir = "PGLEAP_TEST_SHARING_DIR"

// TestInPlaceClone upgrades on a file system that shares blocks between files: auto takes that, no block is
// copied, a death in the middle is undone, and the source's files are as they were when it was stopped.
func TestInPlaceClone(t *testing.T) {
	if dir := os.Getenv(sharingDir); dir != "" {
		inPlaceClone(t, dir)
		return
	}
	pgtest.Exhaustive(t)
	mkfs, err := exec.LookPath("mkfs.xfs")
	if err != nil || os.Geteuid() != 0 {
		t.Skipf("it makes a file system that shares blocks, which takes root and mkfs.xfs (Debian: apt-get install xfsprogs): %v", err)
	}
	dir, err := os.MkdirTemp("/tmp", "pgleap-sharing-") // the socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = os.Remove(dir + ".img")
		_ = os.Remove(dir) // empty: what was mounted on it has gone with its namespace
	})
	image, err := os.Create(dir + ".img")
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(image.Truncate(1<<30), image.Close()); err != nil { // it takes no more room than is used of it
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), mkfs, "-q", "-m", "reflink=1", image.Name()).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	again := exec.CommandContext(t.Context(), program, "-test.run=^TestInPlaceClone$", "-test.v")
	again.Env = append(os.Environ(), sharingDir+"="+dir)
	again.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	out, err := again.CombinedOutput()
	if err != nil || testing.Verbose() {
		t.Logf("%s", out)
	}
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(out), "--- SKIP") {
		t.Skipf("not in its namespace: %s", out)
	}
}

func inPlaceClone(t *testing.T, dir string) {
	if out, err := exec.CommandContext(t.Context(), "mount", "-o", "loop", dir+".img", dir).CombinedOutput(); err != nil {
		t.Skipf("no file system can be mounted here: %v: %s", err, out)
	}
	if err := os.Chmod(dir, 0o755); err != nil { //nolint:gosec // the servers' user passes through
		t.Fatal(err)
	}
	versions := pgtest.Versions(t)
	from, to := versions[0], versions[len(versions)-1]
	source := pgtest.Start(t, from, pgtest.Dir(filepath.Join(dir, "source")))
	b := newBed(t, source, pgtest.Bindir(t, to))
	b.databases = []string{"Depot's", "postgres", "shop"}
	b.fillSource()
	b.planUpgrade(to)
	b.plan.Mode, b.plan.Target.Port = upgrade.InPlace, b.plan.Source.Port
	b.source.Exec(t, "shop", `CREATE TABLE filled AS SELECT g FROM generate_series(1, 20000) g`)
	bouncer := b.adoptBouncer()
	asItWas := b.prepared()
	b.dieInPlace(inPlaceDeath{At: "pg_upgrade: " + pgbin.PhaseTransfer, PgUpgrade: true, Agent: true})
	b.recovers()
	b.isPutBack(asItWas, bouncer)
	b.plan.Number, b.plan.Endpoint = b.plan.Number+1, upgrade.Endpoint{}
	before := b.content(b.plan.Source)
	b.do("PrepareInPlace", b.worker.PrepareInPlace)
	if result := b.upgradeInPlace(); !result.Switchover.Switched {
		t.Fatalf("not upgraded: %s", result.Switchover.Reason)
	}
	var prepared inPlacePrepared
	files, err := b.worker.files(b.plan)
	b.must(err)
	_, err = files.read(noteInPlacePrepared, &prepared)
	b.must(err)
	if prepared.Chosen.Transfer != pgbin.TransferClone {
		t.Errorf("auto took %+v", prepared.Chosen)
	}
	path := b.ask(b.plan.Target, "shop", `SELECT pg_relation_filepath('filled')`)[0]
	extents, err := exec.CommandContext(t.Context(), "filefrag", "-v", filepath.Join(b.plan.Target.Pgdata, path)).CombinedOutput()
	if err != nil || !strings.Contains(string(extents), "shared") {
		t.Errorf("the blocks of a table are not shared with the source: %v\n%s", err, extents)
	}
	if diff := cmp.Diff(before, b.content(b.plan.Target)); diff != "" {
		t.Errorf("content of the target (-before +after):\n%s", diff)
	}
	b.source.Exec(t, "shop", `UPDATE account SET balance = 4711`) // on the target: it has the source's port
	b.must(b.worker.host.Stop(t.Context(), b.plan.Target, pgbin.StopFast, time.Minute))
	b.must(enableControl(b.plan.Source.Pgdata)) // as docs/in-place.md tells it
	b.must(b.worker.host.Start(t.Context(), b.plan.Source, "", time.Minute))
	if diff := cmp.Diff(before, b.content(b.plan.Source)); diff != "" {
		t.Errorf("content of the source, started again (-before +after):\n%s", diff)
	}
	b.must(b.worker.host.Stop(t.Context(), b.plan.Source, pgbin.StopFast, time.Minute))
}
