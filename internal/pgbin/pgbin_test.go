package pgbin

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/pgleap/pgleap/internal/pgtest"
	"github.com/pgleap/pgleap/internal/run"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// scratch makes a directory of the user's with a short path, for data directories and sockets.
func scratch(t *testing.T, owner run.User) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "pgbin-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := owner.Chown(dir); err != nil {
		t.Fatal(err)
	}
	return dir
}

// callerFor runs programs as the owner of a cluster.
func callerFor(t *testing.T, c *pgtest.Cluster) (Caller, string) {
	t.Helper()
	owner, err := run.LookupUser(c.Owner)
	if err != nil {
		t.Fatal(err)
	}
	dir := scratch(t, owner)
	runner := run.New(discard())
	return Caller{Runner: runner, As: owner, Transcript: filepath.Join(dir, "transcript")}, dir
}

func versionOf(t *testing.T, as Caller, bindir string) upgrade.VersionNum {
	t.Helper()
	version, err := Version(t.Context(), as.Runner, bindir)
	if err != nil {
		t.Fatal(err)
	}
	return version
}

func writeFile(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }
