package switchover

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
)

// postmasterPID reads the first line of postmaster.pid.
func postmasterPID(pgdata string) (int, error) {
	content, err := os.ReadFile(filepath.Join(pgdata, "postmaster.pid"))
	if err != nil {
		return 0, fmt.Errorf("find the postmaster: %w", err)
	}
	first, _, _ := strings.Cut(string(content), "\n")
	pid, err := strconv.Atoi(strings.TrimSpace(first))
	if err != nil {
		return 0, fmt.Errorf("find the postmaster in %s: %w", pgdata, err)
	}
	return pid, nil
}

// children lists the child processes of the postmaster, those included that have just been forked
// and that no view shows yet. It goes by every process's parent: /proc/PID/task/TID/children may
// leave one out while another exits (proc(5)), a walk through /proc does not.
func children(postmaster int) ([]int, error) {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	defer dir.Close() //nolint:errcheck // it was only read
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	var pids []int
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue // no process
		}
		parent, err := parentOf(pid)
		if errors.Is(err, os.ErrPermission) && !sameOwner(pid, postmaster) {
			continue // as with hidepid=1 (proc(5)); the postmaster's children have its owner
		}
		if err != nil {
			return nil, err
		}
		if parent == postmaster {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}

// sameOwner tells whether two processes belong to the same user, or one of them cannot be asked.
func sameOwner(pid, other int) bool {
	var a, b syscall.Stat_t
	if syscall.Lstat("/proc/"+strconv.Itoa(pid), &a) != nil || syscall.Lstat("/proc/"+strconv.Itoa(other), &b) != nil {
		return true
	}
	return a.Uid == b.Uid
}

// parentOf is the parent of a process; 0 when the process is gone or only its zombie is left. Every process of the
// machine is asked about while clients wait, and os.ReadFile takes two to three times as long.
func parentOf(pid int) (int, error) {
	stat, err := readStat(pid)
	if errors.Is(err, syscall.ENOENT) || errors.Is(err, syscall.ESRCH) {
		return 0, nil
	}
	if err != nil { // whoever cannot be looked at is not gone
		return 0, fmt.Errorf("look at process %d: %w", pid, err)
	}
	return parentIn(stat), nil
}

// readStat reads the beginning of /proc/PID/stat: the name in it has at most 64 bytes, and what is needed comes
// right after that.
func readStat(pid int) (string, error) {
	var buffer [512]byte
	for {
		fd, err := syscall.Open("/proc/"+strconv.Itoa(pid)+"/stat", syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
		n := 0
		if err == nil {
			n, err = syscall.Read(fd, buffer[:])
			_ = syscall.Close(fd) // it was only read
		}
		if err != syscall.EINTR { //nolint:errorlint // a system call's own
			return string(buffer[:max(n, 0)]), err
		}
	}
}

// parentIn is field 4 of /proc/PID/stat; 0 for a zombie.
func parentIn(stat string) int {
	fields := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
	if len(fields) < 2 || fields[0] == "Z" || fields[0] == "X" {
		return 0
	}
	parent, err := strconv.Atoi(fields[1])
	if err != nil {
		return 0
	}
	return parent
}

// unlisted are the auxiliary processes that pg_stat_activity never shows (the logger, called syslogger from
// 19 on; the collector until 14; the archiver until 13). The title of a session cannot look like that, whatever its user and database
// are called: it has the client's address behind them.
var unlisted = regexp.MustCompile(`: ((sys)?logger|stats collector|archiver( (archiving|last was|failed on) [0-9A-Za-z.]+)?)\s*$`)

// clientForm is in the title of every session from its first moment on (backend_startup.c, before 17
// postmaster.c, BackendInitialize): the client's name and port, or [local].
var clientForm = regexp.MustCompile(`\[local\]|\(\d+\)`)

// noSession tells by the title of a child that is not in pg_stat_activity that it is no session and
// will never be: an auxiliary process, or a background worker without a database, such as
// autoprewarm's. A child that was just forked has the command line of the postmaster still.
func noSession(title string) bool {
	return unlisted.MatchString(title) || strings.HasPrefix(title, "postgres: ") && !clientForm.MatchString(title)
}

// isNoSession looks at a child's title.
func isNoSession(pid int) bool {
	title, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil {
		return false
	}
	return noSession(strings.TrimRight(string(title), "\x00 "))
}
