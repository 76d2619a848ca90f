package onhost

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/pgleap/pgleap/internal/precheck"
)

// openFiles asks the kernel for the limits of two running servers, by their data directories. The scratch server is
// started in the way that the target is going to be.
func openFiles(proc, source, scratch string) (limits precheck.OpenFiles, err error) {
	if limits.Source, err = fileLimit(proc, source); err != nil {
		return limits, err
	}
	limits.Target, err = fileLimit(proc, scratch)
	return limits, err
}

// fileLimit is the soft limit of open files that the postmaster of a data directory has.
func fileLimit(proc, pgdata string) (int64, error) {
	pid, err := postmasterPID(pgdata)
	if err != nil {
		return 0, err
	}
	text, err := os.ReadFile(filepath.Join(proc, pid, "limits"))
	if err != nil {
		return 0, fmt.Errorf("read the limits of a server: %w", err)
	}
	return parseFileLimit(string(text))
}

// parseFileLimit finds the soft limit in the table that proc(5) describes as /proc/pid/limits.
func parseFileLimit(limits string) (int64, error) {
	for line := range strings.Lines(limits) {
		rest, found := strings.CutPrefix(line, "Max open files")
		if !found {
			continue
		}
		fields := strings.Fields(rest)
		if len(fields) == 0 {
			break
		}
		if fields[0] == "unlimited" {
			return math.MaxInt64, nil
		}
		limit, err := strconv.ParseInt(fields[0], 10, 64)
		if err != nil {
			return 0, fmt.Errorf("read the limits of a server: %w", err)
		}
		return limit, nil
	}
	return 0, errors.New("read the limits of a server: there is none of open files")
}

// postmasterPID reads the first line of postmaster.pid, which is the process's number (miscinit.c, CreateLockFile); the
// file belongs to the cluster's owner, so it is not taken for more than a number.
func postmasterPID(pgdata string) (string, error) {
	text, err := os.ReadFile(filepath.Join(pgdata, "postmaster.pid"))
	if err != nil {
		return "", fmt.Errorf("find the server's process: %w", err)
	}
	first, _, _ := strings.Cut(string(text), "\n")
	pid, err := strconv.Atoi(strings.TrimSpace(first))
	if err != nil || pid <= 0 {
		return "", fmt.Errorf("find the server's process: %s has no number", filepath.Join(pgdata, "postmaster.pid"))
	}
	return strconv.Itoa(pid), nil
}
