package pgbin

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pgleap/pgleap/internal/pgtest"
	"github.com/pgleap/pgleap/internal/upgrade"
)

func TestParseBackupProgress(t *testing.T) {
	const kB = 1024
	for line, want := range map[string][2]int64{
		"    0/56336 kB (0%), 0/1 tablespace":                                      {0, 56336 * kB},
		"49724/56336 kB (88%), 0/1 tablespace":                                     {49724 * kB, 56336 * kB},
		"56345/56345 kB (100%), 1/1 tablespace                      ":              {56345 * kB, 56345 * kB},
		"1234/56345 kB (2%), 0/3 tablespaces (/d/base/1/2619                    )": {1234 * kB, 56345 * kB},
	} {
		done, total, ok := parseBackupProgress(line)
		if !ok || done != want[0] || total != want[1] {
			t.Errorf("parseBackupProgress(%q) = %d, %d, %t; want %v", line, done, total, ok, want)
		}
	}
	for _, line := range []string{"", "waiting for checkpoint", "NOTICE:  WAL archiving is not enabled", "12345 kB (99%)"} {
		if _, _, ok := parseBackupProgress(line); ok {
			t.Errorf("%q is taken for progress", line)
		}
	}
}

func FuzzParseBackupProgress(f *testing.F) {
	f.Add("49724/56336 kB (88%), 0/1 tablespace")
	f.Fuzz(func(t *testing.T, line string) {
		if done, total, ok := parseBackupProgress(line); ok && (done < 0 || total < 0) {
			t.Errorf("%d of %d", done, total)
		}
	})
}

func TestBasebackupArgs(t *testing.T) {
	b := PgBasebackup{
		From: upgrade.Address{Host: "/it's here", Port: 5432}, User: "pg leap", Pgdata: "/d", WALDir: "/wal/a b",
		TablespaceMapping: map[string]string{"/b=c": "/x", "/a": "/y"}, FastCheckpoint: true, WALMethod: WALNone,
	}
	args := b.args()
	for _, want := range []string{
		`--dbname=host='/it\'s here' port=5432 user='pg leap' sslmode=disable application_name=pgleap`,
		"--checkpoint=fast", "--wal-method=none", `--tablespace-mapping=/b\=c=/x`, "--tablespace-mapping=/a=/y", "--no-password", "--waldir=/wal/a b",
	} {
		if !slices.Contains(args, want) {
			t.Errorf("%q is not in %q", want, args)
		}
	}
}

// A backup becomes a standby that runs.
func TestBasebackup(t *testing.T) {
	for _, major := range pgtest.Versions(t) {
		source := pgtest.Start(t, major)
		source.Exec(t, "postgres", "create table t as select g, repeat('x', 500) from generate_series(1, 40000) g")
		as, dir := callerFor(t, source)
		clone := filepath.Join(dir, "clone")
		backup := PgBasebackup{
			Bindir: source.Bindir, From: upgrade.Address{Host: source.SocketDir, Port: source.Port}, User: source.Superuser,
			Pgdata: clone, Slot: "clone", CreateSlot: true, FastCheckpoint: true, StandbyConfiguration: true, NoSync: true,
		}
		var done, total int64
		err := backup.Run(t.Context(), as, func(d, n int64) {
			if d < done {
				t.Errorf("progress went back from %d to %d", done, d)
			}
			done, total = d, n
		})
		if err != nil {
			t.Fatal(err)
		}
		if total < 20<<20 || done != total {
			t.Errorf("progress ended at %d of %d bytes", done, total)
		}
		startAndStopStandby(t, as, source, clone, dir)
		err = backup.Run(t.Context(), as, nil)
		if err == nil || !strings.Contains(err.Error(), "exists but is not empty") {
			t.Errorf("backup over a backup: %v", err)
		}
	}
}

func startAndStopStandby(t *testing.T, as Caller, source *pgtest.Cluster, clone, dir string) {
	t.Helper()
	pgctl := PgCtl{Bindir: source.Bindir, Pgdata: clone}
	options := Options("listen_addresses=", "unix_socket_directories="+dir, "cluster_name=it's a clone")
	if err := pgctl.Start(t.Context(), as, filepath.Join(dir, "log"), options, time.Minute); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = pgctl.Stop(t.Context(), as, StopImmediate, time.Minute) })
	pid, err := ReadPostmasterPid(clone)
	if err != nil || pid.SocketDir != dir || pid.Port != source.Port || pid.Status != "ready" || pid.Listen != "" {
		t.Errorf("lock file: %+v, %v", pid, err)
	}
	if err := pgctl.Promote(t.Context(), as, time.Minute); err != nil {
		t.Error(err)
	}
	if err := pgctl.Stop(t.Context(), as, StopFast, time.Minute); err != nil {
		t.Error(err)
	}
	data, err := PgControldata(t.Context(), as, source.Bindir, clone)
	if err != nil || data.State != StateShutDown || data.TimelineID != 2 {
		t.Errorf("after promotion and stop: %s on timeline %d, %v", data.State, data.TimelineID, err)
	}
}
