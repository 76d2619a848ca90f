package run

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

func newRunner() *Runner { return New(slog.New(slog.DiscardHandler)) }

// shell is a command of /bin/sh.
func shell(script string) Command { return Command{Path: "/bin/sh", Args: []string{"-c", script}} }

// await polls for a condition.
func await(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.After(10 * time.Second)
	for !holds() {
		select {
		case <-deadline:
			t.Fatalf("waited 10 s: %s", what)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// gone tells whether a process has ended; a zombie has.
func gone(pid int) bool {
	_, err := startTime(pid)
	return err != nil
}

func TestRunReturnsAndKeepsOutput(t *testing.T) {
	command := shell("echo out; echo err >&2")
	command.Transcript = filepath.Join(t.TempDir(), "transcript")
	for range 2 {
		result, err := newRunner().Run(t.Context(), command)
		if err != nil || result.Stdout != "out\n" || result.Stderr != "err\n" {
			t.Errorf("Run = %+v, %v", result, err)
		}
	}
	content, err := os.ReadFile(command.Transcript)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"# /bin/sh -c echo out", "out\n", "err\n"} {
		if strings.Count(string(content), want) != 2 {
			t.Errorf("%q is not twice in the transcript:\n%s", want, content)
		}
	}
	if info, err := os.Stat(command.Transcript); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("transcript: %v, %v", info.Mode(), err)
	}
}

// A program that leaves another one behind, which holds its output, ends as its own exit code says. One that has failed
// has left nothing that anybody wants.
func TestRunWithSomethingInTheBackground(t *testing.T) {
	for _, test := range []struct{ name, end, want string }{
		{"content", "exit 0", ""},
		{"failed", "exit 3", "sh: exit code 3"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			left := filepath.Join(dir, "left")
			command := shell("sleep 600 & echo $! > " + left + "; " + test.end)
			command.Grace, command.Transcript = 100*time.Millisecond, filepath.Join(dir, "transcript")
			_, err := newRunner().Run(t.Context(), command)
			text := ""
			if err != nil {
				text, _, _ = strings.Cut(err.Error(), " (")
			}
			if text != test.want {
				t.Errorf("error %q, want %q", text, test.want)
			}
			pid, err := os.ReadFile(left)
			if err != nil {
				t.Fatal(err)
			}
			number, err := strconv.Atoi(strings.TrimSpace(string(pid)))
			if running := err == nil && !gone(number); running != (test.want == "") {
				t.Errorf("process %d runs: %t (%v)", number, running, err)
			}
			_ = syscall.Kill(number, syscall.SIGKILL)
			kept, err := os.ReadFile(command.Transcript)
			if told := strings.Contains(string(kept), "what it left running holds its output"); err != nil || told != (test.want == "") {
				t.Errorf("transcript %q (%v)", kept, err)
			}
		})
	}
}

func TestRunTellsHowItFailed(t *testing.T) {
	command := shell("echo first; echo; echo 'last words'; exit 3")
	command.Transcript = filepath.Join(t.TempDir(), "transcript")
	_, err := newRunner().Run(t.Context(), command)
	failed, ok := errors.AsType[*Error](err)
	if !ok || failed.ExitCode != 3 || failed.Tail != "first | last words" {
		t.Errorf("error %#v", err)
	}
	if want := "sh: exit code 3: first | last words (transcript: " + command.Transcript + ")"; err.Error() != want {
		t.Errorf("error %q, want %q", err, want)
	}
	_, err = newRunner().Run(t.Context(), Command{Path: "/no/such/program"})
	if failed, ok := errors.AsType[*Error](err); !ok || failed.ExitCode != -1 || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing program: %#v", err)
	}
}

func TestEnvironmentIsClean(t *testing.T) {
	t.Setenv("PGHOST", "somewhere")
	t.Setenv("LC_ALL", "de_DE.UTF-8")
	result, err := newRunner().Run(t.Context(), Command{Path: "/usr/bin/env", Env: []string{"PGPASSFILE=/p"}})
	if err != nil {
		t.Fatal(err)
	}
	env := strings.Split(result.Stdout, "\n")
	if strings.Contains(result.Stdout, "PGHOST") || !slices.Contains(env, "LC_ALL=C") || !slices.Contains(env, "PGPASSFILE=/p") {
		t.Errorf("environment:\n%s", result.Stdout)
	}
}

func TestOnLine(t *testing.T) {
	command := shell(`printf '1/3 kB\r2/3 kB  \r3/3 kB\n\n  indented\nno end'`)
	var lines []string
	command.OnLine = func(line string) { lines = append(lines, line) }
	if _, err := newRunner().Run(t.Context(), command); err != nil {
		t.Fatal(err)
	}
	if want := []string{"1/3 kB", "2/3 kB", "3/3 kB", "  indented", "no end"}; !slices.Equal(lines, want) {
		t.Errorf("lines %q, want %q", lines, want)
	}
}

// The end of ctx ends the children of a program, too, and one that does not listen.
func TestRunEndsTheWholeGroup(t *testing.T) {
	for name, script := range map[string]string{
		"child":    "sleep 1000 & echo $!; wait",
		"stubborn": "trap '' TERM; echo $$; while :; do sleep 0.1; done",
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			command := shell(script)
			command.Grace = 300 * time.Millisecond
			var pid int
			command.OnLine = func(line string) {
				pid, _ = strconv.Atoi(line)
				cancel()
			}
			_, err := newRunner().Run(ctx, command)
			if failed, ok := errors.AsType[*Error](err); !ok || failed.ExitCode != -1 || !errors.Is(err, context.Canceled) {
				t.Errorf("cancelled: %#v", err)
			}
			if pid == 0 {
				t.Fatal("it never said its pid")
			}
			await(t, "process "+strconv.Itoa(pid)+" still runs", func() bool { return gone(pid) })
		})
	}
}

// What a program that failed has left of its group ends with it: nobody would know of it any more. What one that ended
// well has put into the background goes on.
func TestRunEndsWhatIsLeft(t *testing.T) {
	const child = "sleep 1000 >/dev/null 2>&1 & echo $!; "
	for name, c := range map[string]struct {
		script string
		grace  time.Duration
		stays  bool
	}{
		"killed":                       {script: child + "kill -KILL $$"},
		"killed, and somebody writes":  {script: "sleep 1000 & echo $!; kill -KILL $$", grace: 300 * time.Millisecond},
		"killed, and somebody is deaf": {script: `(trap '' TERM; while :; do sleep 0.1; done) >/dev/null 2>&1 & echo $!; kill -KILL $$`, grace: 300 * time.Millisecond},
		"failed":                       {script: child + "exit 1"},
		"ended well":                   {script: child + "exit 0", stays: true},
	} {
		t.Run(name, func(t *testing.T) {
			command := shell(c.script)
			command.Grace = c.grace
			command.Pidfile = filepath.Join(t.TempDir(), "pid")
			var pid int
			command.OnLine = func(line string) { pid, _ = strconv.Atoi(line) }
			_, err := newRunner().Run(t.Context(), command)
			if pid == 0 || (err == nil) != c.stays || gone(pid) == c.stays {
				t.Errorf("process %d: gone %t, %v", pid, gone(pid), err)
			}
			if c.stays {
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
			if _, err := os.Stat(command.Pidfile); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("the pidfile is left: %v", err)
			}
		})
	}
}

func TestRunAsAnotherUser(t *testing.T) {
	nobody, err := LookupUser("nobody")
	if err != nil {
		t.Skip(err)
	}
	command := Command{Path: "/usr/bin/id", Args: []string{"-un"}, As: nobody}
	result, err := newRunner().Run(t.Context(), command)
	if err != nil || strings.TrimSpace(result.Stdout) != "nobody" {
		t.Errorf("id: %+v, %v", result, err)
	}
}

func TestTranscriptIsNoLink(t *testing.T) {
	dir := t.TempDir()
	target := filepath.Join(dir, "target")
	command := shell("echo x")
	command.Transcript = filepath.Join(dir, "transcript")
	if err := os.Symlink(target, command.Transcript); err != nil {
		t.Fatal(err)
	}
	if _, err := newRunner().Run(t.Context(), command); !errors.Is(err, syscall.ELOOP) {
		t.Errorf("Run = %v", err)
	}
	if _, err := os.Stat(target); err == nil {
		t.Error("the link was followed")
	}
}

func TestStartDetached(t *testing.T) {
	command := shell("echo started; exec sleep 1000")
	command.Transcript = filepath.Join(t.TempDir(), "transcript")
	ctx, cancel := context.WithCancel(t.Context())
	pid, err := newRunner().StartDetached(ctx, command)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Kill(pid, syscall.SIGKILL) })
	cancel()
	await(t, "it said nothing", func() bool {
		content, _ := os.ReadFile(command.Transcript)
		return strings.HasSuffix(string(content), "started\n")
	})
	if gone(pid) {
		t.Error("it ended with the context")
	}
	if group, err := syscall.Getpgid(pid); err != nil || group != pid {
		t.Errorf("its process group is %d, %v", group, err)
	}
}

func TestEndLeftover(t *testing.T) {
	pidfile := filepath.Join(t.TempDir(), "pid")
	pid, err := newRunner().StartDetached(t.Context(), shell("sleep 1000 & exec sleep 1000"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Kill(-pid, syscall.SIGKILL) })
	if err := writePidfile(pidfile, pid); err != nil {
		t.Fatal(err)
	}
	if err := EndLeftover(t.Context(), pidfile); err != nil {
		t.Fatal(err)
	}
	if len(members(pid)) != 0 {
		t.Error("the leftover still runs")
	}
	if _, err := os.Stat(pidfile); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the pidfile is still there: %v", err)
	}
	if err := EndLeftover(t.Context(), pidfile); err != nil {
		t.Errorf("without a pidfile: %v", err)
	}
}

// A program that was killed has left its children: they are known by the pidfile that they were started with, and by
// nothing else, since another group may have that number by now.
func TestEndLeftoverWithoutItsLeader(t *testing.T) {
	for name, c := range map[string]struct {
		startedFor string
		stays      bool
	}{
		"its children":  {startedFor: "pid"},
		"somebody else": {startedFor: "pid2", stays: true},
		"a stranger":    {stays: true},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			command := shell("sleep 1000 & exec sleep 1000")
			if c.startedFor != "" {
				command.Pidfile = filepath.Join(dir, c.startedFor)
			}
			pid, err := newRunner().StartDetached(t.Context(), command)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = syscall.Kill(-pid, syscall.SIGKILL) })
			pidfile := filepath.Join(dir, "pid")
			if err := writePidfile(pidfile, pid); err != nil {
				t.Fatal(err)
			}
			await(t, "the two are not started", func() bool {
				started := 0
				for _, member := range members(pid) {
					if line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", member)); string(line) == "sleep\x001000\x00" {
						started++
					}
				}
				return started == 2
			})
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			await(t, "it does not end", func() bool { return gone(pid) })
			if err := EndLeftover(t.Context(), pidfile); err != nil {
				t.Fatal(err)
			}
			if left := len(members(pid)); (left == 1) != c.stays {
				t.Errorf("%d processes are left", left)
			}
			if _, err := os.Stat(pidfile); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("the pidfile is still there: %v", err)
			}
		})
	}
}

func TestEndLeftoverSparesStrangers(t *testing.T) {
	pid, err := newRunner().StartDetached(t.Context(), shell("exec sleep 1000"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Kill(pid, syscall.SIGKILL) })
	for _, content := range []string{fmt.Sprintf("%d 1\n", pid), strconv.Itoa(pid), "", "x y", "1 1", "-1 1"} {
		pidfile := filepath.Join(t.TempDir(), "pid")
		if err := os.WriteFile(pidfile, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := EndLeftover(t.Context(), pidfile); err != nil {
			t.Errorf("pidfile %q: %v", content, err)
		}
		if gone(pid) {
			t.Fatalf("pidfile %q ended a process that it does not name", content)
		}
	}
}

// While a program runs its pidfile names it; afterwards there is none.
func TestPidfile(t *testing.T) {
	command := shell("echo $$")
	command.Pidfile = filepath.Join(t.TempDir(), "pid")
	if _, err := newRunner().Run(t.Context(), command); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(command.Pidfile); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the pidfile is left: %v", err)
	}
}

func TestLookupUserRefusesWhomWeCannotBe(t *testing.T) {
	if _, err := LookupUser("no-such-user"); err == nil {
		t.Error("a user that does not exist is found")
	}
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	self, err := LookupUser(me.Username)
	if err != nil || self.UID != os.Geteuid() || !self.Reachable() {
		t.Errorf("ourselves: %+v, %v", self, err)
	}
	if os.Geteuid() != 0 {
		if root, err := LookupUser("root"); err == nil {
			t.Errorf("root is reachable from uid %d: %+v", os.Geteuid(), root)
		}
	}
}
