package switchover

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"testing"

	"github.com/pgleap/pgleap/internal/pgtest"
)

func TestParentOf(t *testing.T) {
	if got, want := parentOf(os.Getpid()), os.Getppid(); got != want {
		t.Errorf("parent of this process is %d, want %d", got, want)
	}
	if got := parentOf(1 << 30); got != 0 {
		t.Errorf("parent of nobody is %d", got)
	}
}

// TestChildrenOfPostmaster: all that pg_stat_activity shows, and what it does not show is known by
// its title.
func TestChildrenOfPostmaster(t *testing.T) {
	t.Parallel()
	for _, major := range pgtest.Versions(t) {
		c := pgtest.Start(t, major, pgtest.Config(map[string]string{
			"logging_collector": "on", "archive_mode": "on", "archive_command": "true", "cluster_name": "prod",
		}))
		postmaster, err := postmasterPID(c.Pgdata)
		must(t, "find postmaster", err)
		if postmaster != c.Pid() {
			t.Errorf("postmaster is %d, want %d", postmaster, c.Pid())
		}
		conn := c.Connect(t, "postgres")
		var unknown []int
		t.Cleanup(func() {
			for _, pid := range unknown {
				title, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
				t.Errorf("process %d of PostgreSQL %d is unknown: %q", pid, major, bytes.TrimRight(title, "\x00 "))
			}
		})
		await(t, "every process to be listed or known", func() bool {
			var listed []int
			must(t, "list", conn.QueryRow(t.Context(), "SELECT array_agg(pid) FROM pg_stat_activity").Scan(&listed))
			pids, err := children(postmaster)
			must(t, "list children", err)
			unknown = slices.DeleteFunc(slices.Clone(pids), func(pid int) bool {
				return slices.Contains(listed, pid) || isNoSession(pid)
			})
			return len(unknown) == 0 && slices.Contains(pids, int(conn.PgConn().PID())) && len(pids) > 5
		})
	}
}

func TestTitles(t *testing.T) {
	for title, want := range map[string]bool{
		"postgres: logger":                                        true,
		"postgres: prod: logger ":                                 true,
		"postgres: prod: syslogger ":                              true,
		"postgres: stats collector ":                              true,
		"postgres: 13/main: archiver":                             true,
		"postgres: archiver last was 000000010000000000000003":    true,
		"postgres: archiver archiving 00000002.history":           true,
		"postgres: walsender pgleap 127.0.0.1(5) streaming 0/1":   false,
		"postgres: logger app 10.0.0.1(4711) authentication":      false,
		"postgres: archiver last was 10.0.0.1(4711)":              false,
		"postgres: archiver last was [local]":                     false,
		"postgres: archiver last was 10.0.0.1(4711) initializing": false,
		"/usr/lib/postgresql/15/bin/postgres -D /var/lib/data":    false,
		"postgres: autoprewarm leader":                            true,
		"postgres: prod: pg_cron scheduler ":                      true,
		"postgres: app app [local] authentication":                false,
		"postgres: prod: app app db.example.com(4711) startup":    false,
		"":                                     false,
		"postgres -D /var/lib/data":            false,
		"postgres: x logger 127.0.0.1(1) idle": false,
		"postgres: app logger: logger 127.0.0.1(1) authentication": false,
	} {
		if got := noSession(title); got != want {
			t.Errorf("%q: %v, want %v", title, got, want)
		}
	}
}
