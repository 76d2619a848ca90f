package pgtest

import (
	"context"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// owner is the OS user that runs the programs: postgres for root, otherwise the current user.
type owner struct {
	name     string
	uid, gid int
	switches bool
}

func findOwner(t testing.TB) owner {
	t.Helper()
	who, err := user.Current()
	if os.Geteuid() == 0 {
		if who, err = user.Lookup("postgres"); err != nil {
			t.Fatalf("PostgreSQL refuses to run as root, and there is no OS user postgres (%v): run scripts/install-tools", err)
		}
	}
	if err != nil {
		t.Fatalf("find the current OS user: %v", err)
	}
	uid, errUID := strconv.Atoi(who.Uid)
	gid, errGID := strconv.Atoi(who.Gid)
	if errUID != nil || errGID != nil {
		t.Fatalf("OS user %s has no numeric ids: %q, %q", who.Username, who.Uid, who.Gid)
	}
	return owner{name: who.Username, uid: uid, gid: gid, switches: os.Geteuid() == 0}
}

// command prepares a program that runs as the owner, from a directory that every user can enter.
func (o owner) command(ctx context.Context, program string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = "/"
	cmd.Env = environment()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if o.switches {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(o.uid), Gid: uint32(o.gid)}
	}
	return cmd
}

// environment is this process's own without what libpq and PostgreSQL's programs would obey.
func environment() []string {
	var env []string
	for _, entry := range os.Environ() {
		name, _, _ := strings.Cut(entry, "=")
		if strings.HasPrefix(name, "PG") && !strings.HasPrefix(name, "PGLEAP_") || strings.HasPrefix(name, "LC_") || name == "LANG" || name == "HOME" {
			continue
		}
		env = append(env, entry)
	}
	return append(env, "LC_ALL=C.UTF-8")
}

// tempDir makes a directory of the owner's below /tmp, since the path of a Unix socket has at most
// 107 bytes (unix(7)), which a test's own temporary directory easily exceeds.
func (o owner) tempDir(t testing.TB, pattern string) string {
	t.Helper()
	dir, err := os.MkdirTemp(places(), pattern)
	if err != nil {
		t.Fatalf("make a directory for the test's servers: %v", err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Logf("remove %s: %v", dir, err)
		}
	})
	o.own(t, dir)
	return dir
}

// places is where the directories of tests lie, for every user to make some. Where it cannot be had it is /tmp.
//
// What is made in it, ext4 is asked to spread over the disk (chattr +T). It gives no file the inode of one that
// was deleted within the last minute, and looks at all such in the same part of the disk first (fs/ext4/ialloc.c,
// recently_deleted): where clusters come and go by the hundred, that takes more time than all else.
func places() string {
	const dir = "/tmp/pgleap-tests"
	if os.Mkdir(dir, 0o700) == nil { // else it is there, or must do without
		_ = exec.Command("chattr", "+T", dir).Run() // other file systems have no such flag, and no need of it
		_ = os.Chmod(dir, 0o777|os.ModeSticky)
	}
	if info, err := os.Lstat(dir); err != nil || !info.IsDir() {
		return "/tmp"
	}
	return dir
}

// own hands a file or directory to the owner.
func (o owner) own(t testing.TB, path string) {
	t.Helper()
	if !o.switches {
		return
	}
	if err := os.Chown(path, o.uid, o.gid); err != nil {
		t.Fatalf("hand %s to OS user %s: %v", path, o.name, err)
	}
}

// Own hands a file or directory to the OS user that the cluster's processes run as.
func (c *Cluster) Own(t testing.TB, path string) {
	t.Helper()
	c.owner.own(t, path)
}
