package harness

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Workplace is a directory with everything that a demonstration or a test makes: clusters, sockets,
// the server's state. Whatever runs in it is ended by Clear.
type Workplace struct {
	Dir   string
	owner owner
}

// NewWorkplace makes one. It lies below /var/tmp: on a disk, where the OS user postgres gets to, and
// with a path that is short enough for a Unix socket (107 bytes, unix(7)).
func NewWorkplace(pattern string) (*Workplace, error) {
	who, err := findOwner()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("/var/tmp", pattern)
	if err != nil {
		return nil, fmt.Errorf("make workplace: %w", err)
	}
	w := &Workplace{Dir: dir, owner: who}
	for _, sub := range []string{w.clusters(), w.sockets(), w.Logs()} {
		if err := errors.Join(os.Mkdir(sub, 0o755), who.own(sub)); err != nil {
			return nil, fmt.Errorf("make workplace: %w", err)
		}
	}
	return w, os.Chmod(dir, 0o755)
}

// OpenWorkplace is one that NewWorkplace made in an earlier run.
func OpenWorkplace(dir string) (*Workplace, error) {
	if base := filepath.Base(dir); filepath.Dir(filepath.Clean(dir)) != "/var/tmp" || !strings.HasPrefix(base, "pgleap-") {
		return nil, fmt.Errorf("%s is not a directory of a demonstration", dir)
	}
	if _, err := os.Stat(dir); err != nil {
		return nil, fmt.Errorf("open workplace: %w", err)
	}
	who, err := findOwner()
	return &Workplace{Dir: filepath.Clean(dir), owner: who}, err
}

func (w *Workplace) clusters() string { return filepath.Join(w.Dir, "postgresql") }
func (w *Workplace) sockets() string  { return filepath.Join(w.Dir, "run") }

// Logs is where the servers' logs are.
func (w *Workplace) Logs() string { return filepath.Join(w.Dir, "logs") }

// Owner is the OS user that PostgreSQL runs as.
func (w *Workplace) Owner() string { return w.owner.name }

// Clear ends what runs in the workplace and removes it.
func (w *Workplace) Clear(ctx context.Context) error {
	if err := w.Sweep(ctx); err != nil {
		return err
	}
	if err := os.RemoveAll(w.Dir); err != nil {
		return fmt.Errorf("remove workplace: %w", err)
	}
	return nil
}

// Sweep ends every server whose pid file is in the workplace, whoever started it: pgleap first, since
// it would start others again, then PgBouncer, then PostgreSQL.
func (w *Workplace) Sweep(ctx context.Context) error {
	failed := w.sweepPidFiles(ctx, serverPidFile, syscall.SIGTERM, syscall.SIGKILL)
	for _, program := range []string{"pg_basebackup", "pg_upgrade"} { // what an upgrade is in the middle of
		for _, pid := range w.Processes(program) {
			failed = errors.Join(failed, endProcess(ctx, pid, syscall.SIGTERM, syscall.SIGKILL))
		}
	}
	return errors.Join(failed,
		w.sweepPidFiles(ctx, "pgbouncer.pid", syscall.SIGTERM, syscall.SIGKILL),
		w.sweepPidFiles(ctx, "postmaster.pid", syscall.SIGINT, syscall.SIGQUIT)) // fast, immediate
}

// sweepPidFiles ends the processes whose pid files have a name.
func (w *Workplace) sweepPidFiles(ctx context.Context, name string, signals ...syscall.Signal) error {
	var failed error
	for _, file := range w.find(name) {
		if pid := w.runningPid(file); pid != 0 {
			failed = errors.Join(failed, endProcess(ctx, pid, signals...))
		}
	}
	return failed
}

// find lists the files of a name in the workplace.
func (w *Workplace) find(name string) []string {
	var found []string
	_ = filepath.WalkDir(w.Dir, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() && entry.Name() == name {
			found = append(found, path)
		}
		return nil // a directory that goes away meanwhile holds nothing any more
	})
	return found
}

// runningPid reads a pid file and returns 0 unless that process is one of the workplace's: it works
// in it, or names it in its arguments. A number may belong to another program by now.
func (w *Workplace) runningPid(file string) int {
	content, err := os.ReadFile(file)
	if err != nil {
		return 0
	}
	first, _, _ := strings.Cut(string(content), "\n")
	pid, err := strconv.Atoi(strings.TrimSpace(first))
	if err != nil || pid <= 1 || !isAlive(pid) {
		return 0
	}
	proc := filepath.Join("/proc", strconv.Itoa(pid))
	cwd, _ := os.Readlink(filepath.Join(proc, "cwd"))
	arguments, _ := os.ReadFile(filepath.Join(proc, "cmdline"))
	if !strings.HasPrefix(cwd+"/", w.Dir+"/") && !strings.Contains(string(arguments), w.Dir+"/") {
		return 0
	}
	return pid
}

// Processes lists those that run a program for something in the workplace.
func (w *Workplace) Processes(program string) []int {
	names, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	var pids []int
	for _, name := range names {
		arguments, _ := os.ReadFile(name)
		first, _, _ := strings.Cut(string(arguments), "\x00")
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(name)))
		if err == nil && filepath.Base(first) == program && strings.Contains(string(arguments), w.Dir+"/") && isAlive(pid) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// endProcess sends one signal after the other until the process is gone.
func endProcess(ctx context.Context, pid int, signals ...syscall.Signal) error {
	var err error
	for _, signal := range signals {
		if err = syscall.Kill(pid, signal); errors.Is(err, syscall.ESRCH) {
			return nil
		}
		err = Await(ctx, 20*time.Second, fmt.Sprintf("process %d to end", pid), func(context.Context) error {
			if isAlive(pid) {
				return errors.New("it still runs")
			}
			return nil
		})
		if err == nil {
			return nil
		}
	}
	return err
}

// isAlive tells whether a process runs; a zombie does not.
func isAlive(pid int) bool {
	stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return false
	}
	_, state, _ := strings.Cut(string(stat), ") ") // the name in parentheses may hold anything, see proc(5)
	return !strings.HasPrefix(state, "Z") && !strings.HasPrefix(state, "X")
}

// owner is the OS user that runs PostgreSQL, which refuses to run as root.
type owner struct {
	name     string
	uid, gid int
	switches bool // we are root and become this user
}

func findOwner() (owner, error) {
	who, err := user.Current()
	switches := os.Geteuid() == 0
	if switches {
		if who, err = user.Lookup("postgres"); err != nil {
			return owner{}, errors.New("PostgreSQL refuses to run as root, and there is no OS user postgres: run scripts/install-tools")
		}
	}
	if err != nil {
		return owner{}, fmt.Errorf("find the current OS user: %w", err)
	}
	uid, errUID := strconv.Atoi(who.Uid)
	gid, errGID := strconv.Atoi(who.Gid)
	return owner{name: who.Username, uid: uid, gid: gid, switches: switches}, errors.Join(errUID, errGID)
}

// own hands a file to the owner.
func (o owner) own(path string) error {
	if !o.switches {
		return nil
	}
	return os.Chown(path, o.uid, o.gid)
}

// run runs a program as the owner. Its output is part of the error.
func (o owner) run(ctx context.Context, env []string, program string, args ...string) error {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = "/"
	cmd.Env = append(environment(), env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // Ctrl-C is for us: we end what we started
	if o.switches {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(o.uid), Gid: uint32(o.gid)}
	}
	output, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w\n%s", filepath.Base(program), err, Tail(string(output), 20))
	}
	return nil
}

// environment is our own, without what libpq and PostgreSQL's programs would obey.
func environment() []string {
	var env []string
	for _, entry := range os.Environ() {
		name, _, _ := strings.Cut(entry, "=")
		if strings.HasPrefix(name, "PG") && !strings.HasPrefix(name, "PGLEAP_") || strings.HasPrefix(name, "LC_") || name == "LANG" {
			continue
		}
		env = append(env, entry)
	}
	return append(env, "LC_ALL=C.UTF-8")
}

// Tail returns the last lines of a text.
func Tail(text string, lines int) string {
	all := strings.Split(strings.TrimRight(text, "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// End ends the processes of the workplace that run a program.
func (w *Workplace) End(ctx context.Context, program string) error {
	pids := w.Processes(program)
	if len(pids) == 0 {
		return fmt.Errorf("no %s runs in %s", program, w.Dir)
	}
	var failed error
	for _, pid := range pids {
		failed = errors.Join(failed, endProcess(ctx, pid, syscall.SIGTERM, syscall.SIGKILL))
	}
	return failed
}
