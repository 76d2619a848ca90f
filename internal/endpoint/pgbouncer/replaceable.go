package pgbouncer

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// What keeps a file from being replaced must be known while nobody waits: a switch replaces it after its commit point.
// It is found without touching the file, which another switch may be editing.

// editable tells why a file cannot be replaced, if so: a new file must be made beside it, and
// must belong to the same user.
func (f *file) editable() error {
	probe, err := os.CreateTemp(filepath.Dir(f.path), tempPattern(f.path))
	if err != nil {
		return err
	}
	return errors.Join(copyOwner(probe, f.info), probe.Close(), os.Remove(probe.Name()))
}

// pinned tells why a rename cannot replace a file that may be written beside, or why PgBouncer would not see it.
func (f *file) pinned() (reason, remedy string) {
	// The attributes come before all rights, root's too (namei.c, inode_permission and may_open). Nothing is written.
	held, err := os.OpenFile(f.path, os.O_WRONLY, 0)
	if err == nil {
		_ = held.Close()
	}
	if errors.Is(err, syscall.EPERM) {
		return "it is immutable or append-only", "chattr -ia " + f.path
	}
	const directory = "mount its directory instead of the file"
	if slices.ContainsFunc(mounts("self"), func(m mount) bool { return m.point == f.path }) {
		return "it is mounted as a single file", directory // EBUSY
	}
	if pid := f.mountedFor(); pid != "" {
		return fmt.Sprintf("PgBouncer (process %s) has it mounted as a single file, and would go on reading the old one", pid), directory
	}
	return "", ""
}

// mountedFor finds a PgBouncer that reaches the file by a mount of it alone, as one in a container may: that
// holds on to the inode, whatever comes in its place. The console's pid would be that of the container. Processes
// that we may not look at are passed over.
func (f *file) mountedFor() (pid string) {
	names, _ := filepath.Glob("/proc/[0-9]*/comm") // only a malformed pattern is an error
	for _, name := range names {
		if comm, err := os.ReadFile(name); err != nil || strings.TrimSpace(string(comm)) != "pgbouncer" {
			continue
		}
		pid := filepath.Base(filepath.Dir(name))
		root := filepath.Join("/proc", pid, "root")
		if slices.ContainsFunc(mounts(pid), func(m mount) bool { return f.mountedAt(m, root) }) {
			return pid
		}
	}
	return ""
}

// mountedAt tells whether a mount below another process's root directory is one of the file alone.
func (f *file) mountedAt(m mount, root string) bool {
	if filepath.Base(m.root) != filepath.Base(f.path) {
		return false // and need not be looked at: a look at a dead network mount would not return
	}
	if m.point == f.path && sameFile(root, "/") {
		return false // on the file itself, as by systemd's ReadOnlyPaths: the rename takes such a mount away
	}
	at, err := os.Stat(filepath.Join(root, m.point))
	return err == nil && os.SameFile(at, f.info)
}

// mount is what a process has mounted: a directory or a file of a file system, and where.
type mount struct{ root, point string }

// mounts lists what a process has mounted, or nothing if we may not know.
func mounts(pid string) []mount {
	text, err := os.ReadFile(filepath.Join("/proc", pid, "mountinfo"))
	if err != nil {
		return nil
	}
	return parseMounts(string(text))
}

// parseMounts reads the fourth and the fifth field of each line, see proc_pid_mountinfo(5).
func parseMounts(text string) []mount {
	unescape := strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)
	var out []mount
	for line := range strings.Lines(text) {
		if fields := strings.Fields(line); len(fields) > 4 {
			out = append(out, mount{root: unescape.Replace(fields[3]), point: unescape.Replace(fields[4])})
		}
	}
	return out
}
