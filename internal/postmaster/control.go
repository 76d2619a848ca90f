package postmaster

import (
	"cmp"
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/pgleap/pgleap/internal/pgbin"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// Start starts a cluster through what manages it, and waits until it takes connections. One that runs
// already is fine. logfile takes the server's first words when pg_ctl is the manager; the others know
// their own place. Empty: pg_ctl.log in the data directory.
func (h *Host) Start(ctx context.Context, c upgrade.Cluster, logfile string, timeout time.Duration) error {
	if _, running := h.Running(c); running {
		return h.awaitReady(ctx, c, timeout)
	}
	var err error
	switch c.Manager {
	case upgrade.ManagerPgCtlcluster:
		err = h.withTimeout(ctx, timeout, func(ctx context.Context) error { return h.pgCtlcluster(c).Start(ctx, h.self()) })
	case upgrade.ManagerSystemd:
		err = h.startUnit(ctx, c.Unit, timeout)
	default:
		var as pgbin.Caller
		if as, err = h.caller(c); err != nil {
			return err
		}
		if logfile == "" {
			logfile = filepath.Join(c.Pgdata, "pg_ctl.log")
		}
		err = pgbin.PgCtl{Bindir: c.Bindir, Pgdata: c.Pgdata}.Start(ctx, as, logfile, WithConfiguration(c, ""), timeout)
	}
	if err != nil {
		return fmt.Errorf("start %s: %w", c, err)
	}
	return h.awaitReady(ctx, c, timeout)
}

// Stop stops a cluster through what manages it, and waits until it is down. One that is down is fine. Where a server runs
// then that was started since, it returns *StartedAgain.
func (h *Host) Stop(ctx context.Context, c upgrade.Cluster, mode pgbin.StopMode, timeout time.Duration) error {
	pid, running := h.Running(c)
	if !running {
		return nil
	}
	manager := c.Manager
	if manager == upgrade.ManagerSystemd {
		own, err := h.isUnits(pid, c)
		if err != nil {
			return fmt.Errorf("stop %s: %w", c, err)
		}
		if !own { // somebody has started it himself
			manager = upgrade.ManagerPgCtl
		}
	}
	var err error
	switch manager {
	case upgrade.ManagerPgCtlcluster:
		err = h.withTimeout(ctx, timeout, func(ctx context.Context) error { return h.pgCtlcluster(c).Stop(ctx, h.self(), mode) })
	case upgrade.ManagerSystemd:
		_, err = h.call(ctx, timeout, "stop", c.Unit)
	default:
		var as pgbin.Caller
		if as, err = h.caller(c); err != nil {
			return err
		}
		err = pgbin.PgCtl{Bindir: c.Bindir, Pgdata: c.Pgdata}.Stop(ctx, as, mode, timeout)
	}
	if err != nil {
		return fmt.Errorf("stop %s: %w", c, err)
	}
	switch now, running := h.Running(c); {
	case running && now == pid:
		return fmt.Errorf("stop %s: its postmaster (pid %d) still runs, though %s says that it is stopped", c, pid, manager)
	case running:
		return &StartedAgain{Cluster: c, PID: now}
	}
	return nil
}

// StartedAgain tells that a cluster has stopped, and that somebody has started another server on its data since.
type StartedAgain struct {
	Cluster upgrade.Cluster
	PID     int
}

// Error says so.
func (s *StartedAgain) Error() string {
	return fmt.Sprintf("stop %s: it has stopped, and was started again meanwhile (pid %d)", s.Cluster, s.PID)
}

// Reload has a running cluster read its configuration files again. The signal is the same whoever
// manages it.
func (h *Host) Reload(ctx context.Context, c upgrade.Cluster) error {
	as, err := h.caller(c)
	if err != nil {
		return err
	}
	return pgbin.PgCtl{Bindir: c.Bindir, Pgdata: c.Pgdata}.Reload(ctx, as)
}

// awaitReady waits until the lock file says that the server takes connections, or that it is a
// standby without hot_standby.
func (h *Host) awaitReady(ctx context.Context, c upgrade.Cluster, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		p, running := postmasterOf(c.Pgdata)
		if !running && !h.isStarting(ctx, c) {
			return fmt.Errorf("start %s: it has ended: %s", c, pgbin.ServerLog(c.Pgdata, filepath.Join(c.Pgdata, "pg_ctl.log"), 0))
		}
		if running && (p.lock.Status == "ready" || p.lock.Status == "standby") {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("start %s: it is still %s after %s; wait for its recovery to end", c, cmp.Or(p.lock.Status, "starting"), timeout)
		case <-tick.C:
		}
	}
}

// WithConfiguration adds to the options of a server's start those that name the configuration files that are not
// where postgres looks by itself. One that -D named, which led to the data directory from there, is in no
// options.
func WithConfiguration(c upgrade.Cluster, options string) string {
	var settings []string
	for _, file := range []struct{ setting, path string }{
		{"config_file", c.ConfigFile}, {"hba_file", c.HBAFile}, {"ident_file", c.IdentFile},
	} {
		if file.path == "" || realPath(filepath.Dir(file.path)) == realPath(c.Pgdata) {
			continue
		}
		if setting := file.setting + "=" + file.path; !strings.Contains(options, pgbin.QuoteWord(setting)) {
			settings = append(settings, setting)
		}
	}
	return strings.TrimSpace(options + " " + pgbin.Options(settings...))
}

func (h *Host) pgCtlcluster(c upgrade.Cluster) pgbin.PgCtlcluster {
	return pgbin.PgCtlcluster{Bindir: h.debian.tools, ConfRoot: h.debian.confRoot(), Major: c.Version.Major(), Name: c.Name}
}

func (h *Host) withTimeout(ctx context.Context, timeout time.Duration, do func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	return do(ctx)
}
