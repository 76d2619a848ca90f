package switchover

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgleap/pgleap/internal/pgtest"
)

func TestParentOf(t *testing.T) {
	for pid, want := range map[int]int{
		os.Getpid(): os.Getppid(),
		1 << 30:     0, // nobody
	} {
		got, err := parentOf(pid)
		must(t, "look at a process", err)
		if got != want {
			t.Errorf("parent of process %d is %d, want %d", pid, got, want)
		}
	}
}

// TestParentIn: the name of a process may hold anything.
func TestParentIn(t *testing.T) {
	for stat, want := range map[string]int{
		"17 (postgres) S 4 17 17 0 -1":       4,
		"17 (a) R 5 (b) c) ) D 4 17 17 0 -1": 4,
		"17 (postgres) Z 4 17 17 0 -1":       0,
		"17 (postgres) X 4 17 17 0 -1":       0,
		"17 (postgres) S":                    0,
		"17 (postgres) S four":               0,
		"":                                   0,
	} {
		if got := parentIn(stat); got != want {
			t.Errorf("parent in %q is %d, want %d", stat, got, want)
		}
	}
}

// TestUnreadableProcess: a process that cannot be looked at does not count as gone.
func TestUnreadableProcess(t *testing.T) {
	var limit syscall.Rlimit
	must(t, "read limit", syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit))
	none := limit
	none.Cur = 0
	must(t, "allow no more files", syscall.Setrlimit(syscall.RLIMIT_NOFILE, &none))
	_, err := parentOf(os.Getpid())
	must(t, "allow files again", syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit))
	if err == nil {
		t.Error("a process that could not be looked at counts as gone")
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
		awaitLeaving(t, postmaster, conn)
	}
}

// awaitLeaving: the fence does not stand as long as somebody is there who was told to leave.
func awaitLeaving(t *testing.T, postmaster int, conn *pgx.Conn) {
	t.Helper()
	s := &section{postmaster: postmaster, leaving: []int{int(conn.PgConn().PID())}}
	soon, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if s.awaitFence(soon) == nil {
		t.Error("the fence stands, and a session is still there")
	}
	must(t, "leave", conn.Close(t.Context()))
	must(t, "await the fence", s.awaitFence(t.Context()))
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
