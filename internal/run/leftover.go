package run

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A program started by an agent that was killed goes on without it. Its successor must not
// start a second one beside it: it ends the first, by the pidfile. A pid alone may have been
// taken by a stranger since, so the pidfile has the process's start time too.

func writePidfile(path string, pid int) error {
	if path == "" {
		return nil
	}
	started, err := startTime(pid)
	if err != nil {
		return nil //nolint:nilerr // it has ended already: nothing is left over
	}
	content := fmt.Sprintf("%d %s\n", pid, started)
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return fmt.Errorf("write pidfile: %w", err)
	}
	defer f.Close() //nolint:errcheck // the write below is what counts
	if _, err := f.WriteString(content); err != nil {
		return fmt.Errorf("write pidfile %s: %w", path, err)
	}
	return nil
}

func removePidfile(path string) {
	if path != "" {
		_ = os.Remove(path)
	}
}

// EndLeftover ends the process group that a pidfile names, if it is still the one that was
// started for it: SIGTERM, then SIGKILL after ten seconds. Without a pidfile there is nothing to do.
func EndLeftover(ctx context.Context, pidfile string) error {
	pid, started, err := readPidfile(pidfile)
	if err != nil {
		return err
	}
	defer removePidfile(pidfile)
	if pid == 0 {
		return nil
	}
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		if now, err := startTime(pid); err != nil || now != started {
			return nil //nolint:nilerr // gone
		}
		_ = syscall.Kill(-pid, signal)
		if waitGone(ctx, pid, started, 10*time.Second) {
			return nil
		}
	}
	return fmt.Errorf("process %d of an earlier attempt does not end", pid)
}

// Alive tells whether the process that a pidfile names is still the one that was started for it.
func Alive(pidfile string) bool {
	pid, started, err := readPidfile(pidfile)
	if err != nil || pid == 0 {
		return false
	}
	now, err := startTime(pid)
	return err == nil && now == started
}

// readPidfile reads the pid and the start time of a process; 0 is nobody: there is no pidfile, or it
// was torn by a crash before the program could do anything.
func readPidfile(path string) (pid int, started string, err error) {
	content, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, "", nil
	}
	if err != nil {
		return 0, "", fmt.Errorf("read pidfile: %w", err)
	}
	text, started, _ := strings.Cut(strings.TrimSpace(string(content)), " ")
	if pid, err = strconv.Atoi(text); err != nil || pid <= 1 {
		return 0, "", nil //nolint:nilerr // torn
	}
	return pid, started, nil
}

func waitGone(ctx context.Context, pid int, started string, limit time.Duration) bool {
	deadline := time.NewTimer(limit)
	defer deadline.Stop()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		if now, err := startTime(pid); err != nil || now != started {
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-deadline.C:
			return false
		case <-tick.C:
		}
	}
}

// startTime is field 22 of /proc/PID/stat (proc(5)); a zombie counts as gone.
func startTime(pid int) (string, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return "", err
	}
	// The second field is the program's name in parentheses and may hold anything.
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	if len(fields) < 20 {
		return "", fmt.Errorf("unreadable /proc/%d/stat", pid)
	}
	if fields[0] == "Z" {
		return "", fs.ErrNotExist
	}
	return fields[19], nil
}
