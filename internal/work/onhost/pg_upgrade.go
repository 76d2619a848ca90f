package onhost

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/pgleap/pgleap/internal/pgbin"
	"github.com/pgleap/pgleap/internal/run"
	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/internal/upgrade/step"
)

// PgUpgrade makes the target of the clone. The clone is expendable, so its files are linked. A run
// that was cut short is done again from a new data directory: links leave the clone's files as
// they are until the target is used.
func (w *Worker) PgUpgrade(ctx context.Context, plan upgrade.Plan) (step.Done, error) {
	files, err := w.files(plan)
	if err != nil || files.has(noteUpgraded) {
		return step.Done{}, err
	}
	as, err := w.caller(plan, "pg_upgrade")
	if err != nil {
		return step.Done{}, err
	}
	as.Pidfile = files.pidfile("pg_upgrade")
	if err := w.afterCrash(ctx, plan, files, as); err != nil {
		return step.Done{}, err
	}
	if err := files.write(noteUpgradeBegun, w.now()); err != nil {
		return step.Done{}, err
	}
	result, err := w.pgUpgrade(ctx, plan, files, as)
	if err != nil {
		return step.Done{}, err
	}
	done := w.info(ctx, fmt.Sprintf("pg_upgrade made PostgreSQL %s of the clone", plan.Target.Version))
	done.Events = append(done.Events, w.warnedBy(ctx, "pg_upgrade", files, as.As, result)...)
	if err := removeOutput(plan); err != nil {
		return step.Done{}, err
	}
	return done, files.write(noteUpgraded, w.now())
}

// afterCrash ends what an earlier run left running, and brings clone and target back to where a
// run begins.
func (w *Worker) afterCrash(ctx context.Context, plan upgrade.Plan, files files, as pgbin.Caller) error {
	if !files.has(noteUpgradeBegun) {
		return nil
	}
	if err := run.EndLeftover(ctx, as.Pidfile); err != nil {
		return err
	}
	if err := w.stopLeftover(ctx, plan, plan.Source.Bindir, plan.ClonePgdata(), pgbin.StopFast); err != nil {
		return err
	}
	// Link mode takes the name of pg_control away so that nobody starts both (pg_upgrade's
	// controldata.c, disable_old_cluster).
	if isDisabled(plan.ClonePgdata()) {
		if err := enableControl(plan.ClonePgdata()); err != nil {
			return err
		}
	}
	if err := w.shutDownCleanly(ctx, plan, as); err != nil {
		return err
	}
	_, err := w.InitTarget(ctx, plan)
	return err
}

// shutDownCleanly lets a clone that was not stopped cleanly recover, and stops it.
func (w *Worker) shutDownCleanly(ctx context.Context, plan upgrade.Plan, as pgbin.Caller) error {
	control, err := pgbin.PgControldata(ctx, as, plan.Source.Bindir, plan.ClonePgdata())
	if err != nil || control.State == pgbin.StateShutDown {
		return err
	}
	if err := w.startClone(ctx, plan, nil); err != nil {
		return err
	}
	return w.stopClone(ctx, plan)
}

// pgUpgrade runs it, and makes the target durable.
func (w *Worker) pgUpgrade(ctx context.Context, plan upgrade.Plan, files files, as pgbin.Caller) (pgbin.UpgradeResult, error) {
	disks, err := openTargets(plan, files)
	if err != nil {
		return pgbin.UpgradeResult{}, err
	}
	defer disks.close()
	program, err := w.pgUpgradeOfClone(ctx, plan, as.As)
	if err != nil {
		return pgbin.UpgradeResult{}, err
	}
	ofAllRoles, err := readSettingsOfAllRoles(ctx, login(plan, plan.Source))
	if err != nil {
		return pgbin.UpgradeResult{}, err
	}
	defer os.RemoveAll(program.SocketDir) //nolint:errcheck // an empty directory is no harm
	program.NoSync = len(disks) > 0
	pace := newPace(w.now)
	var result pgbin.UpgradeResult
	err = withinCap(ctx, plan, func(ctx context.Context) (err error) {
		result, err = program.Run(ctx, as, func(phase string, done, total int64) {
			progressOf(ctx).count("pg_upgrade: "+phase+pace.remaining(phase, done, total), done, total, unitOf(phase))
		})
		if err == nil {
			err = w.carrySettingsOfAllRoles(ctx, plan, as, ofAllRoles)
		}
		if err == nil {
			err = disks.sync(ctx)
		}
		return err
	})
	return result, err
}

// pgUpgradeOfClone is the pg_upgrade of a plan with a clone. Its sockets' directory is to be removed.
func (w *Worker) pgUpgradeOfClone(ctx context.Context, plan upgrade.Plan, user run.User) (pgbin.PgUpgrade, error) {
	locks, err := askLockNeeds(ctx, login(plan, plan.Source), jobsOf(plan))
	if err != nil {
		return pgbin.PgUpgrade{}, err
	}
	server, err := w.targetServerOf(ctx, plan, login(plan, plan.Source))
	if err != nil {
		return pgbin.PgUpgrade{}, err
	}
	dir := filepath.Join(plan.Workdir(), "pg_upgrade")
	if err := makeDir(dir, user); err != nil {
		return pgbin.PgUpgrade{}, err
	}
	sockets, err := privateSocketDir(user)
	if err != nil {
		return pgbin.PgUpgrade{}, err
	}
	oldPort, err := freePort(sockets)
	if err != nil {
		return pgbin.PgUpgrade{}, err
	}
	newPort, err := freePort(sockets)
	if err != nil {
		return pgbin.PgUpgrade{}, err
	}
	return pgbin.PgUpgrade{
		OldMajor: plan.Source.Version.Major(), OldBindir: plan.Source.Bindir, NewBindir: plan.Target.Bindir,
		OldPgdata: plan.ClonePgdata(), NewPgdata: plan.Target.Pgdata, OldPort: oldPort, NewPort: newPort,
		SocketDir: sockets, Superuser: plan.Source.Superuser, Transfer: pgbin.TransferLink, Jobs: jobsOf(plan),
		OldOptions: pgbin.Options(locks.source(), withoutJIT, withoutMergeJoin, "max_worker_processes=0"),
		NewOptions: pgbin.Options(append(server, locks.target(plan.Target.Version.Major()), withoutJIT)...), Dir: dir,
	}, nil
}
