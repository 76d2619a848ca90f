package run

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
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
// The program may have ended before those that it had started, as when it alone was killed.
func EndLeftover(ctx context.Context, pidfile string) error {
	pid, started, err := readPidfile(pidfile)
	if err != nil {
		return err
	}
	if pid != 0 && isLeftover(pid, started, pidfile) && !endGroup(ctx, pid, 10*time.Second) {
		return fmt.Errorf("process group %d of an earlier attempt does not end", pid)
	}
	removePidfile(pidfile)
	return nil
}

// isLeftover tells whether a process group is still the one that was started for a pidfile. Whoever has the leader's pid
// now, if it is not the leader, has it since nobody of that group is left: a pid is not given away while it names a
// group (setpgid(2), fork(2)). Without a leader the number proves nothing, but what its members were started with does.
func isLeftover(pid int, started, pidfile string) bool {
	if now, err := startTime(pid); err == nil {
		return now == started
	}
	return slices.ContainsFunc(members(pid), func(member int) bool {
		environ, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", member))
		return err == nil && slices.Contains(strings.Split(string(environ), "\x00"), pidfileVariable+pidfile)
	})
}

// pidfileVariable begins the environment variable by which the children of a program are known when it is gone.
const pidfileVariable = "PGLEAP_PIDFILE="

// endGroup ends a process group: SIGTERM, then SIGKILL after the grace. It tells whether nobody is left.
func endGroup(ctx context.Context, group int, grace time.Duration) bool {
	if len(members(group)) == 0 {
		return true
	}
	_ = syscall.Kill(-group, syscall.SIGTERM)
	if awaitEmpty(ctx, group, grace) {
		return true
	}
	_ = syscall.Kill(-group, syscall.SIGKILL)
	return awaitEmpty(ctx, group, 10*time.Second)
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

func awaitEmpty(ctx context.Context, group int, limit time.Duration) bool {
	deadline := time.NewTimer(limit)
	defer deadline.Stop()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		if len(members(group)) == 0 {
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

// members are the processes of a group; a zombie counts as gone.
func members(group int) []int {
	if errors.Is(syscall.Kill(-group, 0), syscall.ESRCH) {
		return nil // as most of the time: no need to look at every process
	}
	var found []int
	stats, _ := filepath.Glob("/proc/[0-9]*/stat") // the pattern is right
	for _, path := range stats {
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if fields, err := stat(pid); err == nil && fields[groupField] == strconv.Itoa(group) {
			found = append(found, pid)
		}
	}
	return found
}

// startTime is when a process was started, in the kernel's ticks; a zombie counts as gone.
func startTime(pid int) (string, error) {
	fields, err := stat(pid)
	if err != nil {
		return "", err
	}
	return fields[startField], nil
}

// Of the fields of /proc/PID/stat from the third one on (proc(5)).
const (
	stateField = 0
	groupField = 5 - 3
	startField = 22 - 3
)

// stat reads the fields of a process from the third one on; a zombie counts as gone.
func stat(pid int) ([]string, error) {
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil, err
	}
	// The second field is the program's name in parentheses and may hold anything.
	fields := strings.Fields(string(content[strings.LastIndexByte(string(content), ')')+1:]))
	if len(fields) <= startField {
		return nil, fmt.Errorf("unreadable /proc/%d/stat", pid)
	}
	if fields[stateField] == "Z" {
		return nil, fs.ErrNotExist
	}
	return fields, nil
}
