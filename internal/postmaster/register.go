package postmaster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/pgleap/pgleap/internal/run"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// Register makes a target known to what manages it, as its source is. It may be repeated. Nothing happens for
// one that pg_ctl manages.
func (h *Host) Register(ctx context.Context, target, source upgrade.Cluster) error {
	switch target.Manager {
	case upgrade.ManagerPgCtlcluster:
		return h.RegisterDebian(target) // HeedStartConf may wait until clients do not
	case upgrade.ManagerSystemd:
		return h.registerUnit(ctx, target, source)
	case upgrade.ManagerPgCtl:
	}
	return nil
}

// CheckRegister refuses what Register would, and changes nothing. It is for a target that is registered only when
// nothing may go wrong any more.
func (h *Host) CheckRegister(ctx context.Context, target, source upgrade.Cluster) error {
	if err := h.checkDebian(target, source); err != nil || target.Manager != upgrade.ManagerSystemd {
		return err
	}
	_, err := h.composeUnit(ctx, target, source)
	return err
}

// Unregister takes back what Register made. The cluster must be down.
func (h *Host) Unregister(ctx context.Context, c upgrade.Cluster) error {
	switch c.Manager {
	case upgrade.ManagerPgCtlcluster:
		if err := h.UnregisterDebian(c); err != nil || !h.systemd.runs() {
			return err
		}
		h.forgetFailure(ctx, fmt.Sprintf("postgresql@%d-%s.service", c.Version.Major(), c.Name))
		h.HeedStartConf(ctx, c)
	case upgrade.ManagerSystemd:
		if pid, running := h.Running(c); running {
			return fmt.Errorf("unregister %s: it still runs (pid %d)", c, pid)
		}
		return h.unregisterUnit(ctx, c)
	case upgrade.ManagerPgCtl:
	}
	return nil
}

// Withdraw keeps systemd from starting a target in whose place the source is put back: a unit may say that what
// has failed is started again. Where both have one unit, it starts the source from then on.
func (h *Host) Withdraw(ctx context.Context, target, source upgrade.Cluster, timeout time.Duration) error {
	if target.Manager != upgrade.ManagerSystemd {
		return nil
	}
	same := target.Unit == source.Unit
	if _, running := h.Running(source); running && same || !same && !exists(h.systemd.unitPath(target.Unit)) {
		return nil // nothing was registered
	}
	if _, err := h.call(ctx, timeout, "stop", target.Unit); err != nil {
		return fmt.Errorf("keep systemd from starting %s: %w", target, err)
	}
	h.forgetFailure(ctx, target.Unit)
	if !same {
		return nil
	}
	_, err := h.removeUnit(ctx, target)
	return errors.Join(err, h.reloadUnits(ctx)) // though the file be gone: who removed it may have come no further
}

// KeepRuntime has a cluster's unit leave its runtime directory when it is stopped: a target's unit that was made of it
// has the same one, and serves. It holds until the system is started again. A unit that starts the cluster's successor is
// that one's.
func (h *Host) KeepRuntime(ctx context.Context, c upgrade.Cluster) error {
	if c.Manager != upgrade.ManagerSystemd {
		return nil
	}
	if passed, err := h.hasPassedOn(c); err != nil || passed {
		return err
	}
	dirs, err := h.call(ctx, systemctlWait, "show", "--property=RuntimeDirectory", "--value", c.Unit)
	if err != nil {
		return fmt.Errorf("look at unit %s: %w", c.Unit, err)
	}
	if strings.TrimSpace(dirs) == "" {
		return nil
	}
	path := filepath.Join(h.systemd.runtime, c.Unit+".d", "zz-pgleap-keep.conf")
	if err := writeUnit(path, "[Service]\n"+keepsRuntime); err != nil {
		return fmt.Errorf("keep the runtime directory of unit %s: %w", c.Unit, err)
	}
	return h.reloadUnits(ctx)
}

// Boots tells whether a unit of its own starts a cluster with the system.
func (h *Host) Boots(ctx context.Context, c upgrade.Cluster) (bool, error) {
	if c.Manager != upgrade.ManagerSystemd {
		return false, nil
	}
	// "show" would tell what systemd has in mind, which may be older than what was enabled or disabled since.
	out, err := h.call(ctx, systemctlWait, "is-enabled", c.Unit)
	if failed, ok := errors.AsType[*run.Error](err); ok && (strings.TrimSpace(out) != "" || strings.Contains(failed.Tail, "No such file")) {
		err = nil // it exits so unless it is enabled, or if there is no such unit
	}
	if err != nil {
		return false, fmt.Errorf("look at unit %s: %w", c.Unit, err)
	}
	return strings.TrimSpace(out) == "enabled", nil
}

// HeedStartConf has systemd heed what the start.conf of postgresql-common's clusters say by now, when postgresql.service
// is started for example: its generator is asked only when all units are read (systemd.generator(7)). An agent that may
// not have them read leaves that to the next boot.
func (h *Host) HeedStartConf(ctx context.Context, c upgrade.Cluster) {
	if c.Manager != upgrade.ManagerPgCtlcluster || h.debian.confRoot() != "" || !h.systemd.runs() {
		return
	}
	if err := h.reloadUnits(ctx); err != nil {
		h.log.WarnContext(ctx, "systemd heeds start.conf from the next boot on", "cluster", c.Name, "error", err)
	}
}

// SetBoot has a cluster's own unit start it with the system, or not. A unit whose file is elsewhere stays as it
// is: systemd would forget it; and so does one that starts the cluster's successor by now.
func (h *Host) SetBoot(ctx context.Context, c upgrade.Cluster, boots bool) error {
	if c.Manager != upgrade.ManagerSystemd {
		return nil
	}
	if now, err := h.Boots(ctx, c); err != nil || now == boots {
		return err
	}
	if passed, err := h.hasPassedOn(c); err != nil || passed {
		return err
	}
	if info, err := os.Lstat(h.systemd.unitPath(c.Unit)); err == nil && info.Mode()&os.ModeSymlink != 0 {
		return nil
	}
	action := "disable"
	if boots {
		action = "enable"
	}
	if _, err := h.call(ctx, systemctlWait, action, c.Unit); err != nil {
		return fmt.Errorf("%s unit %s: %w", action, c.Unit, err)
	}
	return nil
}

// hasPassedOn tells whether a cluster's unit starts another one since an upgrade in place: what the last of them added
// holds.
func (h *Host) hasPassedOn(c upgrade.Cluster) (bool, error) {
	added, err := filepath.Glob(h.systemd.unitPath(c.Unit) + ".d/zz-pgleap-*.conf")
	if err != nil || len(added) == 0 {
		return false, err
	}
	content, err := os.ReadFile(slices.Max(added)) // in a directory of root's
	if err != nil {
		return false, fmt.Errorf("look at unit %s: %w", c.Unit, err)
	}
	return strings.HasPrefix(string(content), registeredByUs) && !strings.HasPrefix(string(content), madeFor(c)), nil
}
