package postmaster

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/pgleap/pgleap/internal/run"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// debian is where postgresql-common keeps things.
type debian struct {
	conf  string // /etc/postgresql
	logs  string // /var/log/postgresql
	lib   string // /usr/lib/postgresql
	tools string // /usr/bin, with pg_lsclusters and pg_ctlcluster
}

// confRoot is what postgresql-common must be told: nothing when it is the usual place.
func (d debian) confRoot() string {
	if d.conf == "/etc/postgresql" {
		return ""
	}
	return d.conf
}

func (d debian) bindir(major upgrade.Major) string {
	return filepath.Join(d.lib, strconv.Itoa(int(major)), "bin")
}

func (d debian) confDir(major upgrade.Major, name string) string {
	return filepath.Join(d.conf, strconv.Itoa(int(major)), name)
}

func (d debian) logfile(major upgrade.Major, name string) string {
	return filepath.Join(d.logs, fmt.Sprintf("postgresql-%d-%s.log", major, name))
}

func (d debian) configFiles(major upgrade.Major, name string) (config, hba, ident string) {
	dir := d.confDir(major, name)
	return filepath.Join(dir, "postgresql.conf"), filepath.Join(dir, "pg_hba.conf"), filepath.Join(dir, "pg_ident.conf")
}

// nameOf tells a cluster's name from where its configuration is; false when that is not postgresql-common's place.
func (d debian) nameOf(configFile string, major upgrade.Major) (string, bool) {
	relative, err := filepath.Rel(d.conf, configFile)
	if err != nil {
		return "", false
	}
	parts := strings.Split(relative, string(filepath.Separator))
	if len(parts) != 3 || parts[0] != strconv.Itoa(int(major)) || parts[2] != "postgresql.conf" || !exists(filepath.Join(d.tools, "pg_ctlcluster")) {
		return "", false
	}
	return parts[1], true
}

// registeredByUs is the first line of the start.conf of a cluster that pgleap registered. Only such a
// cluster is ever unregistered.
const registeredByUs = "# Registered by pgleap.\n"

// RegisterDebian makes a cluster known to postgresql-common, so that "pg_ctlcluster N NAME start" and the boot start
// it: its directory below /etc/postgresql, with all that pg_createcluster would put there but the
// configuration itself, and its log file. What is there already stays as it is. Nothing
// happens for a cluster with another manager.
func (h *Host) RegisterDebian(c upgrade.Cluster) error {
	if c.Manager != upgrade.ManagerPgCtlcluster {
		return nil
	}
	owner, err := run.LookupUser(c.Owner)
	if err != nil {
		return &upgrade.Refused{Reason: err.Error()}
	}
	dir, major := h.debian.confDir(c.Version.Major(), c.Name), c.Version.Major()
	for _, made := range []string{filepath.Dir(dir), dir, filepath.Join(dir, "conf.d")} {
		if err := makeDir(made, owner); err != nil {
			return fmt.Errorf("register cluster %d %s: %w", major, c.Name, err)
		}
	}
	files := []struct {
		path, content string
		mode          fs.FileMode
	}{
		{filepath.Join(dir, "start.conf"), registeredByUs + startConf, 0o644},
		{filepath.Join(dir, "environment"), environment, 0o644},
		{filepath.Join(dir, "pg_ctl.conf"), pgCtlConf, 0o644},
		{h.debian.logfile(major, c.Name), "", 0o640},
	}
	for _, file := range files {
		if err := makeFile(file.path, file.content, file.mode, owner); err != nil {
			return fmt.Errorf("register cluster %d %s: %w", major, c.Name, err)
		}
	}
	return nil
}

// checkDebian refuses a target that RegisterDebian could not register, and a source whose start.conf cannot be changed.
// Like them it goes by what this process may do.
func (h *Host) checkDebian(target, source upgrade.Cluster) error {
	var dirs []string
	if target.Manager == upgrade.ManagerPgCtlcluster {
		major := target.Version.Major()
		dirs = append(dirs, nearest(h.debian.confDir(major, target.Name)))
		if !exists(h.debian.logfile(major, target.Name)) {
			dirs = append(dirs, nearest(h.debian.logs))
		}
	}
	if source.Manager == upgrade.ManagerPgCtlcluster {
		dirs = append(dirs, filepath.Dir(source.ConfigFile))
	}
	for _, dir := range dirs {
		if err := syscall.Access(dir, writeAndSearch); err != nil {
			return &upgrade.Refused{
				Reason: fmt.Sprintf("postgresql-common cannot be told of the target: %s: %v", dir, err),
				Remedy: fmt.Sprintf("make that directory writable for %s (chown %s %s), as postgresql-common makes it, or run the agent as root", source.Owner, source.Owner, dir),
				Cause:  upgrade.CausePlace,
			}
		}
	}
	return nil
}

// The three files say what they are for: whoever opens them did not see them being made.
const (
	startConf = `# "auto" starts this cluster with the system, "manual" leaves that to pg_ctlcluster,
# "disabled" forbids it. See pg_createcluster(1).
auto
`
	environment = `# Environment variables of the server: NAME = 'value'.
`
	pgCtlConf = `# Options for pg_ctl when pg_ctlcluster calls it.
pg_ctl_options = ''
`
)

// UnregisterDebian takes back what RegisterDebian made, with the configuration that was put there since. A
// cluster that pgleap did not register stays. The cluster must be down.
func (h *Host) UnregisterDebian(c upgrade.Cluster) error {
	if c.Manager != upgrade.ManagerPgCtlcluster || c.Name == "" {
		return nil
	}
	dir := h.debian.confDir(c.Version.Major(), c.Name)
	content, err := os.ReadFile(filepath.Join(dir, "start.conf"))
	if errors.Is(err, fs.ErrNotExist) || err == nil && !strings.HasPrefix(string(content), registeredByUs) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("unregister cluster %d %s: %w", c.Version.Major(), c.Name, err)
	}
	if pid, running := h.Running(c); running {
		return fmt.Errorf("unregister cluster %d %s: it still runs (pid %d)", c.Version.Major(), c.Name, pid)
	}
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("unregister cluster %d %s: %w", c.Version.Major(), c.Name, err)
	}
	_ = os.Remove(filepath.Dir(dir)) // stays unless it is empty
	if err := os.Remove(h.debian.logfile(c.Version.Major(), c.Name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("unregister cluster %d %s: %w", c.Version.Major(), c.Name, err)
	}
	return nil
}

// makeDir makes a directory of the owner's, unless it is there.
func makeDir(path string, owner run.User) error {
	err := os.Mkdir(path, 0o755) //nolint:gosec // postgresql-common's tools, run by anybody, look into it
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return owner.Chown(path)
}

// makeFile makes a file of the owner's, unless something is there: a link is never followed, since the
// owner may write in the directory and we may be root.
func makeFile(path, content string, mode fs.FileMode, owner run.User) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL|syscall.O_NOFOLLOW, mode)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close() // closed below
	if _, err := f.WriteString(content); err != nil {
		return err
	}
	if os.Geteuid() == 0 {
		if err := f.Chown(owner.UID, owner.GID); err != nil {
			return err
		}
	}
	return f.Close()
}
