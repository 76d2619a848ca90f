package test

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/test/harness"
)

// Whatever cannot be done is refused with one sentence that says what to do, and changes nothing.
func TestBadInputIsRefused(t *testing.T) {
	from, to := versions(t)
	s := newScene(t, from, to)
	before, err := s.source.State(s.ctx)
	s.must(err)
	target := strconv.Itoa(to)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	s.must(err)
	defer taken.Close()
	takenPort := strconv.Itoa(taken.Addr().(*net.TCPAddr).Port)
	full := filepath.Join(s.place.Dir, "full")
	s.must(errors.Join(os.Mkdir(full, 0o755), os.WriteFile(filepath.Join(full, "file"), nil, 0o644)))
	closed := filepath.Join(s.place.Dir, "closed")
	s.must(os.Mkdir(closed, 0o700))

	for _, test := range []struct {
		name string
		args []string
		says string
	}{
		{"unknown instance", []string{"upgrade", "nobody", "--to", target}, "nobody"},
		{"unknown instance, precheck", []string{"precheck", "nobody", "--to", target}, "nobody"},
		{"unknown instance, switchover", []string{"switchover", "nobody", "switch"}, "nobody"},
		{"unknown task", []string{"task", "show", "4711"}, "4711"},
		{"target is the source's version", []string{"upgrade", id, "--to", strconv.Itoa(from)}, "above"},
		{"target is older", []string{"upgrade", id, "--to", "9"}, ""},
		{"no target", []string{"upgrade", id}, "to"},
		{"no programs of the target", []string{"upgrade", id, "--to", strconv.Itoa(missingVersion(from))}, "not installed"},
		{"the same for a precheck", []string{"precheck", id, "--to", strconv.Itoa(missingVersion(from))}, "not installed"},
		{"port taken", []string{"upgrade", id, "--to", target, "--target-port", takenPort}, takenPort},
		{"port of the source", []string{"upgrade", id, "--to", target, "--target-port", strconv.Itoa(s.source.Port)}, "taken"},
		{"data directory not empty", []string{"upgrade", id, "--to", target, "--target-pgdata", full}, "not empty"},
		{"data directory of the source", []string{"upgrade", id, "--to", target, "--target-pgdata", s.source.Pgdata}, ""},
		{"data directory in that of the source", []string{"upgrade", id, "--to", target, "--target-pgdata", s.source.Pgdata + "/new"}, "within"},
		{"data directory relative", []string{"upgrade", id, "--to", target, "--target-pgdata", "new"}, "absolute"},
		{"deadline too short", []string{"upgrade", id, "--to", target, "--switchover-timeout", "9s"}, "10s"},
		{"deadline too long", []string{"upgrade", id, "--to", target, "--switchover-timeout", "3601s"}, "1h"},
		{"unknown mode", []string{"upgrade", id, "--to", target, "--mode", "magic"}, "magic"},
		{"unknown time of statistics", []string{"upgrade", id, "--to", target, "--statistics", "never"}, "never"},
		{"unknown flag", []string{"upgrade", id, "--to", target, "--faster"}, "faster"},
		{"nothing to switch", []string{"switchover", id, "switch"}, ""},
		{"unknown verb", []string{"switchover", id, "jump"}, "jump"},
		{"added twice", []string{"instance", "add", "twice", "--pgdata", s.source.Pgdata}, id},
		{"no data directory", []string{"instance", "add", "other", "--pgdata", full}, "not a PostgreSQL data directory"},
		{"nobody on the port", []string{"instance", "add", "other", "--port", "1"}, "1"},
		{"no such instance to remove", []string{"instance", "remove", "nobody"}, "nobody"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s.t = t
			if said := s.refused(test.args...); !strings.Contains(said, test.says) {
				t.Errorf("it says %q, which does not tell of %q", said, test.says)
			}
		})
	}
	s.t = t
	if os.Geteuid() == 0 {
		t.Run("no permission", func(t *testing.T) {
			s.t = t
			if said := s.refused("upgrade", id, "--to", target, "--target-pgdata", closed+"/data"); !strings.Contains(said, "reach") {
				t.Errorf("it says %q", said)
			}
		})
		s.t = t
	}
	s.unchanged(before)
	var tasks []upgrade.Task
	s.must(s.server.JSON(s.ctx, &tasks, "tasks"))
	if len(tasks) > 0 {
		t.Errorf("%d tasks were made: %+v", len(tasks), tasks)
	}

	t.Run("PostgreSQL down", func(t *testing.T) {
		s.t = t
		s.must(s.source.Stop(s.ctx))
		for _, command := range []string{"upgrade", "precheck"} {
			if said := s.refused(command, id, "--to", target); !strings.Contains(said, "not running") {
				t.Errorf("%s says %q", command, said)
			}
		}
		s.refused("instance", "add", "other", "--pgdata", s.source.Pgdata)
		s.must(s.source.Start(s.ctx))
	})
	t.Run("PgBouncer down", func(t *testing.T) {
		s.t = t
		s.must(s.place.End(s.ctx, "pgbouncer"))
		if said := s.refused("upgrade", id, "--to", target); !strings.Contains(said, "PgBouncer") {
			t.Errorf("it says %q", said)
		}
	})
	s.t = t
	s.unchanged(before)
}

// missingVersion is one that is newer than the source and not installed.
func missingVersion(from int) int {
	for major := from + 1; ; major++ {
		if _, err := harness.FindBindir(major); err != nil {
			return major
		}
	}
}

// A blocker stops an upgrade before anything is touched, and the report names it with its remedy.
func TestBlockerStopsTheUpgrade(t *testing.T) {
	from, to := versions(t)
	s := newScene(t, from, to)
	s.must(s.source.Exec(s.ctx, harness.Shop, `CREATE TABLE keyless (a int)`, `CREATE UNLOGGED TABLE volatile (a int PRIMARY KEY)`)) // the latter is copied
	before, err := s.source.State(s.ctx)
	s.must(err)
	target := strconv.Itoa(to)

	result := s.server.CLI(s.ctx, "precheck", id, "--to", target, "--output", "json")
	if result.Code != 1 {
		t.Fatalf("pgleap precheck: exit code %d, want 1: %s", result.Code, result.Stderr)
	}
	var report upgrade.Report
	s.must(json.NewDecoder(strings.NewReader(result.Stdout)).Decode(&report))
	found := map[string]bool{}
	for _, f := range report.Findings {
		if f.Severity == upgrade.Blocker {
			found[f.Check+" "+strings.Join(f.Objects, ",")] = f.Remedy != ""
		}
	}
	if len(found) != 1 || report.Passed() {
		t.Errorf("blockers are %v, want that of table keyless; not checked: %v", found, report.NotChecked)
	}
	for finding, hasRemedy := range found {
		if !hasRemedy || !strings.Contains(finding, "keyless") {
			t.Errorf("unexpected finding %q", finding)
		}
	}

	number := s.upgrade()
	task, err := s.server.AwaitEnd(s.ctx, number, patience)
	s.must(err)
	if task.Status != upgrade.StatusFailed || task.Reason == "" {
		t.Errorf("the upgrade is %s (%s), want failed", task.Status, task.Reason)
	}
	s.unchanged(before)
}

// The API opens to the token only, the token to its owner only, and the state directory to one server.
func TestServerIsClosedToOthers(t *testing.T) {
	from, to := versions(t)
	s := newScene(t, from, to)
	token, err := s.server.Token()
	s.must(err)
	for _, test := range []struct {
		name, path, token string
		want              int
	}{
		{"no token", "/instances", "", http.StatusUnauthorized},
		{"wrong token", "/instances", "wrong", http.StatusUnauthorized},
		{"token that is too long", "/instances", token + "x", http.StatusUnauthorized},
		{"half a token", "/tasks", token[:len(token)/2], http.StatusUnauthorized},
		{"the token", "/instances", token, http.StatusOK},
		{"health needs none", "/health", "", http.StatusOK},
		{"unknown path", "/nothing", token, http.StatusNotFound},
	} {
		status, body, err := s.server.Request(s.ctx, http.MethodGet, test.path, test.token, "")
		if err != nil || status != test.want {
			t.Errorf("%s: status %d, want %d (%v): %s", test.name, status, test.want, err, body)
		}
	}
	s.must(filepath.WalkDir(s.server.StateDir, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() || strings.Contains(path, "/pgbouncer/") {
			return err
		}
		info, err := entry.Info()
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		if err == nil && info.Mode().Perm()&0o077 != 0 && info.Mode().IsRegular() && readableByOthers(path, s.server.StateDir) {
			t.Errorf("%s has mode %s", path, info.Mode())
		}
		return err
	}))

	ctx, cancel := context.WithTimeout(s.ctx, 30*time.Second)
	defer cancel()
	second := exec.CommandContext(ctx, pgleap, "server", "--state-dir", s.server.StateDir, "--listen", "127.0.0.1:0")
	output, err := second.CombinedOutput()
	if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.ExitCode() != 2 {
		t.Errorf("a second server on the same state directory: %v, want exit code 2: %s", err, output)
	}
	if text := strings.TrimSpace(string(output)); !strings.Contains(text, s.server.StateDir) {
		t.Errorf("it does not name the directory: %s", text)
	}
	if status, _, err := s.server.Request(s.ctx, http.MethodGet, "/health", "", ""); err != nil || status != http.StatusOK {
		t.Errorf("the first server is disturbed: status %d, %v", status, err)
	}
}

// readableByOthers tells whether all directories from the state directory down let others pass.
func readableByOthers(path, root string) bool {
	for dir := filepath.Dir(path); ; dir = filepath.Dir(dir) {
		info, err := os.Stat(dir)
		if err != nil || info.Mode().Perm()&0o001 == 0 {
			return false
		}
		if dir == root {
			return true
		}
	}
}

// A server that is asked to stop does so at once, and leaves no process of its own.
func TestServerStops(t *testing.T) {
	from, to := versions(t)
	s := newScene(t, from, to)
	begun := time.Now()
	s.must(s.server.Stop(s.ctx))
	if took := time.Since(begun); took > 20*time.Second {
		t.Errorf("it took %s", took)
	}
	if running := s.place.Processes(filepath.Base(pgleap)); len(running) > 0 {
		t.Errorf("processes %v are left", running)
	}
	if result := s.server.CLI(s.ctx, "tasks"); result.Code != 3 {
		t.Errorf("pgleap tasks without a server: exit code %d, want 3: %s", result.Code, result.Stderr)
	}
	begun = time.Now()
	s.must(s.server.Start(s.ctx))
	if took := time.Since(begun); took > time.Minute {
		t.Errorf("it took %s to be ready", took)
	}
}
