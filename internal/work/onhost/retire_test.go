package onhost

import (
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/pgleap/pgleap/internal/pgtest"
	"github.com/pgleap/pgleap/internal/postmaster"
	"github.com/pgleap/pgleap/internal/run"
	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/internal/upgrade/step"
)

// A former cluster is stopped, once or twice, and its data stay. A directory that another cluster
// has moved into is left alone, and one that is gone has nothing to stop.
func TestRetireCluster(t *testing.T) {
	source := pgtest.Start(t, pgtest.Versions(t)[0])
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	runner := run.New(log)
	host := postmaster.New("h1", runner, nil, log)
	worker := New(host, runner, filepath.Join(t.TempDir(), "agent"), GuardCommand{}, log, time.Now)
	cluster, err := host.Inspect(t.Context(), step.InspectArgs{Pgdata: source.Pgdata})
	if err != nil {
		t.Fatal(err)
	}
	running := func() bool {
		_, is := host.Running(cluster)
		return is
	}

	stranger := cluster
	stranger.SystemIdentifier = "1"
	if _, err := worker.RetireCluster(t.Context(), stranger); upgrade.CauseOf(err) != upgrade.CauseServing || !running() {
		t.Errorf("another cluster's directory: %v, running %t", err, running())
	}
	gone := cluster
	gone.Pgdata = filepath.Join(t.TempDir(), "gone")
	if _, err := worker.RetireCluster(t.Context(), gone); err != nil || !running() {
		t.Errorf("a directory that is gone: %v, running %t", err, running())
	}
	for range 2 {
		if _, err := worker.RetireCluster(t.Context(), cluster); err != nil || running() {
			t.Errorf("retired: %v, running %t", err, running())
		}
	}
	// One that was down before is not started with the system either.
	cluster.Manager, stranger.Manager = upgrade.ManagerPgCtlcluster, upgrade.ManagerPgCtlcluster
	if err := os.WriteFile(startConf(cluster), []byte("auto\n"), 0o644); err != nil { //nolint:gosec // as postgresql-common has it
		t.Fatal(err)
	}
	for _, c := range []struct {
		cluster upgrade.Cluster
		boot    string
	}{{stranger, "auto\n"}, {cluster, "manual\n"}} {
		_, err := worker.RetireCluster(t.Context(), c.cluster)
		if boot, _ := os.ReadFile(startConf(cluster)); err != nil || string(boot) != c.boot {
			t.Errorf("retired while it was down, as system %s: %v, its start.conf says %q", c.cluster.SystemIdentifier, err, boot)
		}
	}
	source.Restart(t) // its data are as they were
}

// A former cluster that cannot be stopped runs on, and is started with the system as before.
func TestRetireClusterFails(t *testing.T) {
	source := pgtest.Start(t, pgtest.Versions(t)[0])
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	runner := run.New(log)
	host := postmaster.New("h1", runner, nil, log)
	worker := New(host, runner, filepath.Join(t.TempDir(), "agent"), GuardCommand{}, log, time.Now)
	cluster, err := host.Inspect(t.Context(), step.InspectArgs{Pgdata: source.Pgdata})
	if err != nil {
		t.Fatal(err)
	}
	cluster.Manager, cluster.Name = upgrade.ManagerPgCtlcluster, "unknown to postgresql-common" // which does not stop it
	const absent = "absent"
	for _, boot := range []string{absent, "auto\n", "# mine\nmanual\n"} {
		if boot != absent {
			if err := os.WriteFile(startConf(cluster), []byte(boot), 0o644); err != nil { //nolint:gosec // as postgresql-common has it
				t.Fatal(err)
			}
		}
		_, err := worker.RetireCluster(t.Context(), cluster)
		if _, running := host.Running(cluster); err == nil || !running {
			t.Fatalf("retired: %v, running %t", err, running)
		}
		now, err := os.ReadFile(startConf(cluster))
		if boot == absent && !errors.Is(err, fs.ErrNotExist) || boot != absent && string(now) != boot {
			t.Errorf("its start.conf was %q, and says %q, %v", boot, now, err)
		}
	}
}
