package onhost

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/pgleap/pgleap/internal/pgbin"
	"github.com/pgleap/pgleap/internal/run"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// stagedDir holds the target's configuration until pg_upgrade is done: its servers must not run with it.
func stagedDir(plan upgrade.Plan) string { return filepath.Join(plan.Workdir(), "configuration") }

// stagedFiles pairs the files in stagedDir with their places.
func stagedFiles(plan upgrade.Plan) map[string]string {
	return map[string]string{
		"postgresql.conf": plan.Target.ConfigFile, "pg_hba.conf": plan.Target.HBAFile, "pg_ident.conf": plan.Target.IdentFile,
	}
}

// configureInPlace stages the target's configuration, and notes of what it was made. The hashes come first: what is
// changed meanwhile is seen later.
func (w *Worker) configureInPlace(ctx context.Context, plan upgrade.Plan, user run.User, prepared *inPlacePrepared) (events []upgrade.Event, err error) {
	started, err := commandLine(ctx, w.host.Login(plan.Source, "postgres"))
	if err != nil {
		return nil, err
	}
	if prepared.Sources, err = sourceHashes(plan, user, started); err != nil {
		return nil, err
	}
	prepared.Server, events, err = w.stageConfiguration(ctx, plan, user)
	return events, err
}

// stageConfiguration writes the target's configuration from the source's beside the target, and has the
// target's own program read it: a setting that it does not take shall not be found in the outage. It
// returns what of it pg_upgrade's server needs.
func (w *Worker) stageConfiguration(ctx context.Context, plan upgrade.Plan, user run.User) (server []string, events []upgrade.Event, err error) {
	started, err := commandLine(ctx, w.host.Login(plan.Source, "postgres"))
	if err != nil {
		return nil, nil, err
	}
	conf, changes, err := w.translateConf(ctx, plan, started)
	if err != nil {
		return nil, nil, err
	}
	said, err := withhold(conf)
	if err != nil {
		return nil, nil, err
	}
	place := func(name string) string { return filepath.Join(stagedDir(plan), name) }
	for _, dir := range []string{stagedDir(plan), place(confD)} {
		if err := makeDir(dir, user); err != nil {
			return nil, nil, err
		}
	}
	written, err := writeCarried(plan, textFor(plan, conf), user, place("postgresql.conf"), place("pg_hba.conf"), place("pg_ident.conf"))
	if err != nil {
		return nil, nil, err
	}
	if err := carryFiles(plan, conf, user); err != nil {
		return nil, nil, err
	}
	if err := w.checkStaged(ctx, plan); err != nil {
		return nil, nil, err
	}
	leftOut, err := w.host.LeftOutOnDebian(plan.Target, plan.Source)
	if err != nil {
		return nil, nil, err
	}
	events = w.tellChanges(ctx, append(changes, written...), said)
	for _, text := range leftOut {
		events = append(events, w.say(ctx, upgrade.LevelWarning, text))
	}
	return targetServer(conf), events, nil
}

// checkStaged has postgres read the configuration as it would at its start.
func (w *Worker) checkStaged(ctx context.Context, plan upgrade.Plan) error {
	as, err := w.caller(plan, "postgres")
	if err != nil {
		return err
	}
	if err := pgbin.CheckConfiguration(ctx, as, plan.Target.Bindir, stagedDir(plan)); err != nil {
		return &upgrade.Refused{
			Reason: fmt.Sprintf("PostgreSQL %s does not take the source's configuration: %v", plan.Target.Version, err),
			Remedy: fmt.Sprintf("change that in %s, or with ALTER SYSTEM, and start the upgrade again", plan.Source.ConfigFile),
		}
	}
	return nil
}

// installConfiguration puts the staged files in their places. From then on what manages the instance starts the
// target. A unit of the target's own was made before.
func (w *Worker) installConfiguration(ctx context.Context, plan upgrade.Plan, user run.User) error {
	if !hasOwnUnit(plan) {
		if err := w.host.Register(ctx, plan.Target, plan.Source); err != nil {
			return err
		}
		w.carryDebian(ctx, plan)
	}
	for name, path := range stagedFiles(plan) {
		staged := filepath.Join(stagedDir(plan), name)
		text, err := user.ReadFile(staged)
		if err != nil {
			return fmt.Errorf("install %s: %w", path, err)
		}
		if err := writeWithMode(path, text, user, modeOf(staged, user)); err != nil {
			return err
		}
	}
	return nil
}

// hasOwnUnit tells whether systemd has a unit for the target that is not the source's.
func hasOwnUnit(plan upgrade.Plan) bool {
	return plan.Target.Manager == upgrade.ManagerSystemd && plan.Target.Unit != plan.Source.Unit
}

// accessForPgUpgrade writes a pg_hba.conf that lets the owner in, over a socket in a directory of his
// own: pg_upgrade logs in to the source as the bootstrap superuser, without a password.
func accessForPgUpgrade(plan upgrade.Plan, user run.User) error {
	return writeOwned(accessFile(plan), []byte("local all all trust\n"), user, 0o600)
}

func accessFile(plan upgrade.Plan) string {
	return filepath.Join(plan.Workdir(), "pg_upgrade_hba.conf")
}

// sourceStart is how the source was started, to start it again in the same way.
type sourceStart struct {
	// Options are those of its command line; pg_ctl start would not know them.
	Options string `json:"options,omitempty"`
	// Log is the file that its output goes to, when pg_ctl starts it.
	Log string `json:"log,omitempty"`
	// Boot is what its start.conf says, when postgresql-common starts it; nil without that file, which is as good as auto
	// (PgCommon.pm, get_cluster_start_conf).
	Boot *string `json:"boot,omitempty"`
	// Enabled says that systemd starts it with the system, by a unit of its own.
	Enabled bool `json:"enabled,omitempty"`
}

// howStarted looks at a running source.
func (w *Worker) howStarted(ctx context.Context, plan upgrade.Plan, user run.User) (sourceStart, error) {
	var start sourceStart
	var err error
	if start.Options, err = pgbin.PostmasterOpts(plan.Source.Pgdata); err != nil {
		return start, err
	}
	if pid, running := w.host.Running(plan.Source); running {
		start.Log = outputOf(pid, user)
	}
	if start.Boot, err = readBoot(plan.Source); err != nil {
		return start, err
	}
	start.Enabled, err = w.host.Boots(ctx, plan.Source)
	return start, err
}

// outputOf is the plain file that a server writes its errors to; empty if its owner could not open it
// again: it may have been opened by root for him.
func outputOf(pid int, user run.User) string {
	path, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/2", pid))
	if err != nil || !filepath.IsAbs(path) {
		return ""
	}
	err = user.Do(func() error {
		if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() {
			return fs.ErrInvalid
		}
		file, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
		if err != nil {
			return err
		}
		return file.Close()
	})
	if err != nil {
		return ""
	}
	return path
}

// startConf is the file by which postgresql-common knows whether to start a cluster with the system.
func startConf(c upgrade.Cluster) string {
	return filepath.Join(filepath.Dir(c.ConfigFile), "start.conf")
}

// notAtBoot is the start.conf of a source whose place the target takes.
const notAtBoot = "manual\n"

// readBoot reads a cluster's start.conf.
func readBoot(c upgrade.Cluster) (*string, error) {
	if c.Manager != upgrade.ManagerPgCtlcluster {
		return nil, nil
	}
	boot, err := os.ReadFile(startConf(c))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read start.conf: %w", err)
	}
	return new(string(boot)), nil
}

// setBoot writes a cluster's start.conf, unless that says so already: the disk may be full. One that postgresql-common
// does not manage has none.
func setBoot(c upgrade.Cluster, content string, user run.User) error {
	if c.Manager != upgrade.ManagerPgCtlcluster {
		return nil
	}
	if _, err := os.Stat(filepath.Dir(startConf(c))); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if now, err := user.ReadFile(startConf(c)); err == nil && string(now) == content {
		return nil
	}
	return writeOwned(startConf(c), []byte(content), user, 0o644)
}

// restoreBoot gives a source the start.conf that it had, or none if it had none.
func restoreBoot(c upgrade.Cluster, had *string, user run.User) error {
	if c.Manager != upgrade.ManagerPgCtlcluster {
		return nil
	}
	if had != nil {
		return setBoot(c, *had, user)
	}
	now, err := user.ReadFile(startConf(c))
	if err == nil && string(now) == notAtBoot {
		err = os.Remove(startConf(c))
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove start.conf: %w", err)
	}
	return nil
}
