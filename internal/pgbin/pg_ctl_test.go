package pgbin

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pgleap/pgleap/internal/pgtest"
	"github.com/pgleap/pgleap/internal/run"
)

func TestStartFailureShowsTheServersOwnWords(t *testing.T) {
	for _, major := range pgtest.Versions(t) {
		cluster := pgtest.Start(t, major)
		as, dir := callerFor(t, cluster)
		cluster.Stop(t)
		pgctl := PgCtl{Bindir: cluster.Bindir, Pgdata: cluster.Pgdata}
		if running, err := pgctl.Status(t.Context(), as); running || err != nil {
			t.Errorf("status of a stopped cluster: %t, %v", running, err)
		}
		if err := pgctl.Stop(t.Context(), as, StopFast, time.Minute); err != nil {
			t.Errorf("stop a stopped cluster: %v", err)
		}
		log := filepath.Join(dir, "log")
		err := pgctl.Start(t.Context(), as, log, Options("shared_preload_libraries=no_such_library"), time.Minute)
		failed, ok := errors.AsType[*run.Error](err)
		if !ok || failed.ExitCode != 1 || !strings.Contains(err.Error(), "no_such_library") || strings.Contains(err.Error(), "still starting") {
			t.Errorf("start with a missing library: %v", err)
		}
		// The second failure must not be explained with the words of the first.
		err = pgctl.Start(t.Context(), as, log, Options("wal_level=minimal", "max_wal_senders=5"), time.Minute)
		if err == nil || !strings.Contains(err.Error(), "WAL streaming") || strings.Contains(err.Error(), "no_such_library") {
			t.Errorf("start with contradicting settings: %v", err)
		}
		err = pgctl.Start(t.Context(), as, log, Options("logging_collector=on", "log_directory="+filepath.Join(dir, "collected"), "hba_file=/no/such/file"), time.Minute)
		if err == nil || !strings.Contains(err.Error(), "/no/such/file") {
			t.Errorf("start with the logging collector: %v", err)
		}
		if err := pgctl.Start(t.Context(), as, log, "", time.Minute); err != nil {
			t.Fatal(err)
		}
		if running, err := pgctl.Status(t.Context(), as); !running || err != nil {
			t.Errorf("status of a running cluster: %t, %v", running, err)
		}
		if err := pgctl.Reload(t.Context(), as); err != nil {
			t.Error(err)
		}
		if err := pgctl.Stop(t.Context(), as, StopImmediate, time.Minute); err != nil {
			t.Error(err)
		}
	}
}

func TestReadFromDoesNotFollowLinks(t *testing.T) {
	dir := t.TempDir()
	secret, link := filepath.Join(dir, "secret"), filepath.Join(dir, "log")
	if err := os.WriteFile(secret, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(secret, link); err != nil {
		t.Fatal(err)
	}
	if got := readFrom(link, 0); got != "" {
		t.Errorf("read %q through a link", got)
	}
	if got := readFrom(secret, 3); got != "ret" {
		t.Errorf("read %q from offset 3", got)
	}
}
