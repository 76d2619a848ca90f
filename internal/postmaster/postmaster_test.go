package postmaster

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pgleap/pgleap/internal/pgtest"
	"github.com/pgleap/pgleap/internal/run"
	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/internal/upgrade/step"
)

// peer lets the owner in as the superuser, over the socket only, as Debian's pg_hba.conf does.
const peer = "local all postgres peer\n"

// newHost is this machine, with what scripts/install-postgres installed.
func newHost(t *testing.T) *Host {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	return New("here", run.New(log), []string{"/opt/pgleap/postgres", filepath.Dir(filepath.Dir(pgtest.Bindir(t, 17)))}, log)
}

// onlyPostgres skips a test of peer authentication where the owner is not called like the superuser.
func onlyPostgres(t *testing.T, c *pgtest.Cluster) {
	t.Helper()
	if c.Owner != "postgres" {
		t.Skip("peer authentication as postgres needs to run as postgres or as root")
	}
}

func inspect(t *testing.T, h *Host, c *pgtest.Cluster) upgrade.Cluster {
	t.Helper()
	found, err := h.Inspect(t.Context(), step.InspectArgs{Pgdata: c.Pgdata})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// wantRefusal checks that an error tells what is wrong, and what to do.
func wantRefusal(t *testing.T, err error, reason, remedy string) {
	t.Helper()
	refused, ok := errors.AsType[*upgrade.Refused](err)
	if !ok || !strings.Contains(refused.Reason, reason) || !strings.Contains(refused.Remedy, remedy) || refused.Remedy == "" {
		t.Errorf("error %#v\nwant a refusal with %q and the remedy %q", err, reason, remedy)
	}
}

// scratch makes a directory of the owner's that every user can reach.
func scratch(t *testing.T, owner string) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "postmaster-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	give(t, dir, owner)
	return dir
}

func give(t *testing.T, path, owner string) {
	t.Helper()
	user, err := run.LookupUser(owner)
	if err != nil {
		t.Fatal(err)
	}
	if err := user.Chown(path); err != nil {
		t.Fatal(err)
	}
}

func mkdir(t *testing.T, path, owner string) string {
	t.Helper()
	if err := os.MkdirAll(path, 0o755); err != nil {
		t.Fatal(err)
	}
	give(t, path, owner)
	return path
}
