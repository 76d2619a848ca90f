package postmaster

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/pgleap/pgleap/internal/pgbin"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// process is a running postmaster.
type process struct {
	pid    int
	pgdata string // its working directory (src/backend/utils/init/miscinit.c, ChangeToDataDir)
	bindir string // empty when it cannot be seen
	lock   pgbin.PostmasterPid
	// elsewhere tells that its data directory is not the one that has this path here: it runs in a container.
	elsewhere bool
}

// processes finds the postmasters of this machine that this process may look at.
func processes() []process {
	dirs, _ := filepath.Glob("/proc/[0-9]*") // the pattern is valid
	var found []process
	for _, dir := range dirs {
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err != nil {
			continue
		}
		if p, ok := lookAt(pid); ok {
			found = append(found, p)
		}
	}
	return found
}

// lookAt tells whether a process is a postmaster: it is called as a server is, its parent is not (its
// children are), and the lock file in its working directory names it. A standalone backend, such as
// initdb uses, writes a negative pid there.
func lookAt(pid int) (process, bool) {
	status, err := readStatus(pid)
	if err != nil || !pgbin.IsServer(status.name) {
		return process{}, false
	}
	if parent, err := readStatus(status.parent); err == nil && pgbin.IsServer(parent.name) {
		return process{}, false
	}
	cwd := fmt.Sprintf("/proc/%d/cwd", pid)
	pgdata, err := os.Readlink(cwd)
	if err != nil {
		return process{}, false
	}
	p := process{pid: pid, pgdata: pgdata, bindir: bindirOf(pid)}
	inside, errInside := os.Stat(filepath.Join(cwd, "PG_VERSION"))
	here, errHere := os.Stat(filepath.Join(pgdata, "PG_VERSION"))
	p.elsewhere = errInside == nil && (errHere != nil || !os.SameFile(inside, here))
	// In a container the lock file has the pid of the container's own count.
	p.lock, err = pgbin.ReadPostmasterPid(cwd)
	return p, err == nil && (p.lock.Pid == pid || p.elsewhere && p.lock.Pid > 0)
}

// bindirOf is where a process's program is, even if an update has replaced the file since.
func bindirOf(pid int) string {
	exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
	if err != nil {
		return ""
	}
	return filepath.Dir(strings.TrimSuffix(exe, " (deleted)"))
}

// status is what /proc/PID/status tells (proc(5)).
type status struct {
	name   string
	parent int
}

func readStatus(pid int) (status, error) {
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return status{}, err
	}
	return parseStatus(string(content)), nil
}

func parseStatus(content string) status {
	var s status
	for line := range strings.Lines(content) {
		key, value, _ := strings.Cut(line, ":")
		fields := strings.Fields(value)
		switch {
		case key == "Name":
			s.name = strings.TrimSpace(value)
		case key == "PPid" && len(fields) > 0:
			s.parent, _ = strconv.Atoi(fields[0]) // 0 is nobody
		}
	}
	return s
}

// postmasterOf finds the postmaster of a data directory.
func postmasterOf(pgdata string) (process, bool) {
	lock, running := pgbin.RunningPostmaster(pgdata)
	if !running {
		return process{}, false
	}
	return process{pid: lock.Pid, pgdata: pgdata, bindir: bindirOf(lock.Pid), lock: lock}, true
}

// Running tells whether the cluster's postmaster runs, and its pid. It may still be starting.
func (h *Host) Running(c upgrade.Cluster) (pid int, running bool) {
	p, running := postmasterOf(c.Pgdata)
	return p.pid, running
}
