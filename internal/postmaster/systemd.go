package postmaster

import (
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/pgleap/pgleap/internal/run"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// systemd is what manages services, and where the administrator's own units are.
type systemd struct {
	systemctl string // /usr/bin/systemctl
	units     string // /etc/systemd/system
	runtime   string // /run/systemd/system: what holds until the system is started again
	proc      string // /proc: whose process belongs to which service
}

// canRegister tells whether we may make units here.
func (s systemd) canRegister() bool {
	const writeAndSearch = 0x2 | 0x1 // W_OK and X_OK of access(2)
	return exists(s.systemctl) && syscall.Access(s.units, writeAndSearch) == nil
}

// runs tells whether systemd is this machine's first process (sd_booted(3)).
func (s systemd) runs() bool { return exists(s.systemctl) && exists(s.runtime) }

// unitPath is where a unit of our making is.
func (s systemd) unitPath(unit string) string { return filepath.Join(s.units, unit) }

// dropInPath is what we add to the instance's own unit. It is read after every other (systemd.unit(5)), that of an
// earlier upgrade included.
func (s systemd) dropInPath(unit string, major upgrade.Major) string {
	return filepath.Join(s.units, unit+".d", fmt.Sprintf("zz-pgleap-%d.conf", major))
}

// call runs systemctl.
func (h *Host) call(ctx context.Context, timeout time.Duration, args ...string) (stdout string, err error) {
	err = h.withTimeout(ctx, timeout, func(ctx context.Context) error {
		out, err := h.runner.Run(ctx, run.Command{Path: h.systemd.systemctl, Args: append([]string{"--no-ask-password"}, args...)})
		stdout = out.Stdout
		return err
	})
	return stdout, err
}

// systemctlWait is how long systemctl may take for what starts and stops nothing.
const systemctlWait = time.Minute

// systemdUnit names the service whose main process a postmaster is. That it lies in a service's control group
// is not enough: started with pg_ctl by somebody's daemon, our own for one, it lies in
// that daemon's. Debian's postgresql@ units are pg_ctlcluster's business.
func (h *Host) systemdUnit(ctx context.Context, pid int) string {
	unit := h.systemd.serviceOfProcess(pid)
	if unit == "" || !exists(h.systemd.systemctl) {
		return ""
	}
	if strings.HasPrefix(unit, "postgresql@") && exists(filepath.Join(h.debian.tools, "pg_ctlcluster")) {
		return "" // elsewhere it may be anybody's template
	}
	out, err := h.call(ctx, systemctlWait, "show", "--property=MainPID", "--value", unit)
	if err != nil || strings.TrimSpace(out) != strconv.Itoa(pid) {
		return ""
	}
	return unit
}

// serviceOfProcess names the service in whose control group a process is; empty: in none.
func (s systemd) serviceOfProcess(pid int) string {
	content, err := os.ReadFile(filepath.Join(s.proc, strconv.Itoa(pid), "cgroup"))
	if err != nil {
		return ""
	}
	return serviceOf(string(content))
}

// isUnits tells whether a cluster's postmaster is its unit's, which stops it. One that somebody has started with pg_ctl is
// not, even if he did so from within the unit: that may start the cluster's successor by now, and would stop it.
func (h *Host) isUnits(pid int, c upgrade.Cluster) (bool, error) {
	if h.systemd.serviceOfProcess(pid) != c.Unit {
		return false, nil
	}
	passed, err := h.hasPassedOn(c)
	return !passed, err
}

// startUnit starts a unit, however often it may have failed a moment ago.
func (h *Host) startUnit(ctx context.Context, unit string, timeout time.Duration) error {
	h.forgetFailure(ctx, unit)
	_, err := h.call(ctx, timeout, "start", unit)
	return err
}

// forgetFailure has systemd forget that a unit has failed, and how often: it would refuse to start it again, and
// keep one in mind that is gone. One that has not failed, or that systemd does not know, stays as it is.
func (h *Host) forgetFailure(ctx context.Context, unit string) {
	if _, err := h.call(ctx, systemctlWait, "reset-failed", unit); err != nil {
		h.log.DebugContext(ctx, "have systemd forget a failure", "unit", unit, "error", err)
	}
}

// isStarting tells whether systemd is about to start a cluster's unit, or has started its first process: one of another
// type than "notify" has started before its server has a lock file.
func (h *Host) isStarting(ctx context.Context, c upgrade.Cluster) bool {
	if c.Manager != upgrade.ManagerSystemd {
		return false
	}
	out, err := h.call(ctx, systemctlWait, "show", "--property=ActiveState,MainPID", c.Unit)
	return err == nil && (strings.Contains(out, "ActiveState=activating\n") ||
		strings.Contains(out, "ActiveState=active\n") && !strings.Contains(out, "MainPID=0\n"))
}

// serviceOf finds a system service in /proc/PID/cgroup, such as in "0::/system.slice/postgresql-15.service"
// (cgroups(7)). What belongs to a user's session is no system service.
func serviceOf(cgroup string) string {
	for line := range strings.Lines(cgroup) {
		fields := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(fields) != 3 || fields[0] != "0" && fields[1] != "name=systemd" {
			continue
		}
		path := fields[2]
		if strings.HasPrefix(path, "/user.slice/") || !strings.HasSuffix(path, ".service") {
			continue
		}
		return filepath.Base(path)
	}
	return ""
}

// chooseUnit names the unit of a target. Where the source's has the version in its name, the target has its own;
// else the instance keeps its unit when it is upgraded in place, and a target beside it gets one of a new name.
func (h *Host) chooseUnit(ctx context.Context, source upgrade.Cluster, major upgrade.Major, inPlace bool) (string, error) {
	name, versioned := renameUnit(source.Unit, source.Version.Major(), major)
	if inPlace && !versioned {
		return source.Unit, nil
	}
	for _, suffix := range suffixes() {
		unit := name + suffix + ".service"
		taken, err := h.isUnitTaken(ctx, unit)
		if err != nil || !taken {
			return unit, err
		}
	}
	return "", &upgrade.Refused{
		Reason: fmt.Sprintf("every customary name for the target's unit is in use: %s.service and the like", name),
		Remedy: "remove those from " + h.systemd.units + " that nobody needs", Cause: upgrade.CausePlace,
	}
}

// numbers are what may be a version in a unit's name.
var numbers = regexp.MustCompile(`\d+`)

// renameUnit replaces the version in a unit's name (postgresql-15.service: postgresql-17), or adds it.
func renameUnit(unit string, from, to upgrade.Major) (name string, versioned bool) {
	name = strings.TrimSuffix(unit, ".service")
	for _, at := range slices.Backward(numbers.FindAllStringIndex(name, -1)) {
		if name[at[0]:at[1]] == strconv.Itoa(int(from)) {
			return name[:at[0]] + strconv.Itoa(int(to)) + name[at[1]:], true
		}
	}
	return name + "-" + strconv.Itoa(int(to)), false
}

// isUnitTaken tells whether somebody uses a unit, or the administrator has one of this name. One that only came
// with a package is free: the administrator's goes before it.
func (h *Host) isUnitTaken(ctx context.Context, unit string) (bool, error) {
	if exists(h.systemd.unitPath(unit)) {
		return true, nil
	}
	out, err := h.call(ctx, systemctlWait, "show", "--property=ActiveState,UnitFileState", unit)
	if err != nil {
		return false, fmt.Errorf("look at unit %s: %w", unit, err)
	}
	free := map[string]string{"ActiveState": "inactive failed", "UnitFileState": "disabled"}
	for line := range strings.Lines(out) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		if states, ok := free[key]; ok && value != "" && !slices.Contains(strings.Fields(states), value) {
			return true, nil
		}
	}
	return false, nil
}

// registerUnit makes the target's unit of the source's, or, where they are one, has it start the target.
// A file that says so already stays, and yet is read again: who wrote it may have come no further.
func (h *Host) registerUnit(ctx context.Context, target, source upgrade.Cluster) error {
	file, err := h.composeUnit(ctx, target, source)
	if err != nil {
		return err
	}
	if file.content != file.old {
		if err := writeUnit(file.path, file.content); err != nil {
			return fmt.Errorf("register %s: %w", target.Unit, err)
		}
	}
	if err := h.reloadUnits(ctx); err != nil || target.Unit == source.Unit {
		return err // what is said last in a unit of both is said for the target
	}
	return h.checkUnit(ctx, target)
}

// checkUnit refuses a unit that starts something else after all: what is said for all units of a template, or of a
// prefix, comes after what the unit itself says (systemd.unit(5)).
func (h *Host) checkUnit(ctx context.Context, target upgrade.Cluster) error {
	out, err := h.call(ctx, systemctlWait, "show", "--property=LoadState,ExecStart", target.Unit)
	if err != nil {
		return fmt.Errorf("look at unit %s: %w", target.Unit, err)
	}
	if !strings.Contains(out, "LoadState=loaded\n") || !strings.Contains(out, "path="+target.Bindir+"/") {
		return &upgrade.Refused{
			Reason: fmt.Sprintf("unit %s, made of the source's, does not start PostgreSQL %d from %s", target.Unit, target.Version.Major(), target.Bindir),
			Remedy: fmt.Sprintf("see with systemctl cat %s which file says otherwise, and say that for the source's unit alone", target.Unit),
			Cause:  upgrade.CausePlace,
		}
	}
	return nil
}

// unitFile is a file for systemd.
type unitFile struct {
	path, content string
	old           string // what is there; empty: nothing
}

// composeUnit says what registerUnit writes, and refuses to replace what somebody else has made.
func (h *Host) composeUnit(ctx context.Context, target, source upgrade.Cluster) (unitFile, error) {
	path := h.systemd.unitPath(target.Unit)
	if target.Unit == source.Unit {
		path = h.systemd.dropInPath(target.Unit, target.Version.Major())
	}
	old, err := os.ReadFile(path) //nolint:gosec // in a directory of root's
	switch {
	case err == nil && !strings.HasPrefix(string(old), madeFor(target)):
		return unitFile{}, &upgrade.Refused{
			Reason: fmt.Sprintf("%s is there already, and pgleap has not made it for this upgrade", path),
			Remedy: "remove it, or give it another name", Cause: upgrade.CausePlace,
		}
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return unitFile{}, fmt.Errorf("read unit %s: %w", target.Unit, err)
	}
	text, err := h.call(ctx, systemctlWait, "cat", source.Unit)
	if err != nil {
		return unitFile{}, fmt.Errorf("read unit %s: %w", source.Unit, err)
	}
	notifies, err := tellsSystemd(target.Bindir)
	if err != nil {
		return unitFile{}, err
	}
	content := unitFor(text, target, source, notifies)
	if target.Unit == source.Unit {
		content = dropInFor(strings.Replace(text, string(old), "", 1), target, source, notifies)
	}
	return unitFile{path: path, content: content, old: string(old)}, nil
}

func (h *Host) reloadUnits(ctx context.Context) error {
	if _, err := h.call(ctx, systemctlWait, "daemon-reload"); err != nil {
		return fmt.Errorf("let systemd read its units again: %w", err)
	}
	return nil
}

// writeUnit replaces a file as a whole, durably.
func writeUnit(path, content string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil { //nolint:gosec // units are everybody's to read
		return err
	}
	scratch := path + ".pgleap"                                           // no suffix that systemd reads
	if err := os.WriteFile(scratch, []byte(content), 0o644); err != nil { //nolint:gosec // units are everybody's to read
		return err
	}
	if err := syncFile(scratch); err != nil {
		return err
	}
	if err := os.Rename(scratch, path); err != nil {
		return err
	}
	return syncFile(filepath.Dir(path))
}

func syncFile(path string) error {
	file, err := os.Open(path) //nolint:gosec // a name of our own
	if err != nil {
		return err
	}
	return errors.Join(file.Sync(), file.Close())
}

// unregisterUnit takes back what registerUnit made. What it has not made for this cluster stays.
func (h *Host) unregisterUnit(ctx context.Context, c upgrade.Cluster) error {
	removed, err := h.removeUnit(ctx, c)
	if removed {
		err = errors.Join(err, h.reloadUnits(ctx))
		h.forgetFailure(ctx, c.Unit)
	}
	return err
}

// removeUnit removes the files that registerUnit made.
func (h *Host) removeUnit(ctx context.Context, c upgrade.Cluster) (removed bool, err error) {
	unit := h.systemd.unitPath(c.Unit)
	for _, path := range []string{unit, h.systemd.dropInPath(c.Unit, c.Version.Major())} {
		content, err := os.ReadFile(path) //nolint:gosec // in a directory of root's
		if errors.Is(err, fs.ErrNotExist) || err == nil && !strings.HasPrefix(string(content), madeFor(c)) {
			continue
		}
		if err == nil && path == unit {
			_, err = h.call(ctx, systemctlWait, "--no-reload", "disable", c.Unit)
		}
		if err == nil {
			err = os.Remove(path)
		}
		if err != nil {
			return removed, fmt.Errorf("unregister %s: %w", c.Unit, err)
		}
		removed = true
		_ = os.Remove(unit + ".d") // stays unless it is empty
	}
	return removed, nil
}

// tellsSystemd tells whether a version's server was built to say when it is ready (configure --with-systemd).
func tellsSystemd(bindir string) (bool, error) {
	path := filepath.Join(bindir, "postgres")
	program, err := elf.Open(path)
	if err != nil {
		return false, fmt.Errorf("look at %s: %w", path, err)
	}
	defer program.Close() //nolint:errcheck // only read
	libraries, err := program.ImportedLibraries()
	if err != nil {
		return false, fmt.Errorf("look at %s: %w", path, err)
	}
	return slices.ContainsFunc(libraries, func(name string) bool { return strings.HasPrefix(name, "libsystemd.") }), nil
}
