package pgbin

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// PostmasterPid is the lock file of a running cluster, postmaster.pid
// (src/include/utils/pidfile.h). It outlives a crash: that it exists does not mean that the
// cluster runs.
type PostmasterPid struct {
	Pid       int // negative: a standalone backend (postgres --single)
	Pgdata    string
	StartedAt time.Time
	Port      int
	SocketDir string // first of unix_socket_directories; empty without one
	Listen    string // first of listen_addresses; "*" for all; empty without one
	Status    string // "starting", "standby", "ready" or "stopping"
}

// ReadPostmasterPid reads postmaster.pid. Without one the error is fs.ErrNotExist.
func ReadPostmasterPid(pgdata string) (PostmasterPid, error) {
	path := filepath.Join(pgdata, "postmaster.pid")
	content, err := os.ReadFile(path)
	if err != nil {
		return PostmasterPid{}, fmt.Errorf("read lock file: %w", err)
	}
	pid, err := parsePostmasterPid(string(content))
	if err != nil {
		return PostmasterPid{}, fmt.Errorf("read lock file %s: %w", path, err)
	}
	return pid, nil
}

// RunningPostmaster finds the postmaster of a data directory. The lock file alone proves nothing: it outlives a
// crash, and its pid may be a stranger's by now. The process must be a server and work in that directory
// (src/backend/utils/init/miscinit.c, ChangeToDataDir).
func RunningPostmaster(pgdata string) (PostmasterPid, bool) {
	lock, err := ReadPostmasterPid(pgdata)
	if err != nil || lock.Pid <= 0 {
		return PostmasterPid{}, false
	}
	process := "/proc/" + strconv.Itoa(lock.Pid)
	name, err := os.ReadFile(process + "/comm")
	if err != nil || !IsServer(strings.TrimSpace(string(name))) {
		return PostmasterPid{}, false
	}
	here, err := os.Stat(pgdata)
	if err != nil {
		return PostmasterPid{}, false
	}
	works, err := os.Stat(process + "/cwd")
	if errors.Is(err, fs.ErrPermission) {
		return lock, true // only root and its owner can see more
	}
	return lock, err == nil && os.SameFile(here, works)
}

// IsServer tells whether a process that is called so may be a server: up to 15 postmaster is a link to postgres
// (src/backend/Makefile), and a process has the name by which it was started. The units of the packages for Red Hat take
// the link.
func IsServer(name string) bool { return name == "postgres" || name == "postmaster" }

// parsePostmasterPid takes a file that is still being written, too: the postmaster adds lines as it starts.
func parsePostmasterPid(content string) (PostmasterPid, error) {
	lines := strings.Split(content, "\n")
	line := func(n int) string {
		if n < len(lines) {
			return strings.TrimSpace(lines[n])
		}
		return ""
	}
	var p PostmasterPid
	var err error
	if p.Pid, err = strconv.Atoi(line(0)); err != nil || p.Pid == 0 {
		return PostmasterPid{}, fmt.Errorf("no process id in its first line")
	}
	p.Pgdata = line(1)
	if seconds, err := strconv.ParseInt(line(2), 10, 64); err == nil {
		p.StartedAt = time.Unix(seconds, 0)
	}
	if port, err := strconv.Atoi(line(3)); err == nil && port > 0 && port < 65536 {
		p.Port = port
	}
	p.SocketDir, p.Listen, p.Status = line(4), line(5), line(7)
	return p, nil
}
