package onhost

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/jackc/pgx/v5"

	"github.com/pgleap/pgleap/internal/pgbin"
	"github.com/pgleap/pgleap/internal/postgres"
	"github.com/pgleap/pgleap/internal/run"
	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/internal/upgrade/step"
)

// InitTarget makes the target's data directory with what must be alike: locale, encoding,
// checksums and WAL segment size. What an earlier attempt made is made again.
func (w *Worker) InitTarget(ctx context.Context, plan upgrade.Plan) (step.Done, error) {
	files, err := w.files(plan)
	if err != nil || files.has(noteUpgraded) {
		return step.Done{}, err
	}
	if err := w.clearTarget(ctx, plan, files); err != nil {
		return step.Done{}, err
	}
	user, err := owner(plan)
	if err != nil {
		return step.Done{}, err
	}
	if _, err := os.Lstat(plan.Target.Pgdata); errors.Is(err, fs.ErrNotExist) {
		if err := files.write(noteTargetDir, w.now()); err != nil {
			return step.Done{}, err
		}
	}
	if err := makeDir(plan.Target.Pgdata, user); err != nil {
		return step.Done{}, err
	}
	as, err := w.caller(plan, "initdb")
	if err != nil {
		return step.Done{}, err
	}
	initdb, err := w.initdbLike(ctx, plan, as, plan.ClonePgdata(), login(plan, plan.Source))
	if err != nil {
		return step.Done{}, err
	}
	if initdb.WALDir, err = w.placeTargetWAL(ctx, plan, files, user); err != nil {
		return step.Done{}, err
	}
	progressOf(ctx).text("making the target's data directory")
	if err := initdb.Run(ctx, as); err != nil {
		return step.Done{}, err
	}
	if err := w.noteIdentity(plan, files, user); err != nil {
		return step.Done{}, err
	}
	done := w.info(ctx, fmt.Sprintf("data directory of PostgreSQL %s made at %s", plan.Target.Version, plan.Target.Pgdata))
	done.Events = append(done.Events, w.toldOfWAL(ctx, plan)...)
	return done, nil
}

// clearTarget removes what an earlier attempt left in the target's place. What was there before the
// upgrade is never removed: then the step is refused.
func (w *Worker) clearTarget(ctx context.Context, plan upgrade.Plan, files files) error {
	if err := files.remove(noteExtensions); err != nil { // those of a target before
		return fmt.Errorf("remove note: %w", err)
	}
	if files.has(noteTargetBegun) {
		if err := w.refuseStranger(plan, files); err != nil {
			return err
		}
		if err := w.stopLeftover(ctx, plan, plan.Target.Bindir, plan.Target.Pgdata, pgbin.StopImmediate); err != nil {
			return err
		}
		return errors.Join(removeTarget(plan, files), w.forgetIdentity(plan, files))
	}
	entries, err := os.ReadDir(plan.Target.Pgdata)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("look at the target's data directory: %w", err)
	}
	if len(entries) > 0 {
		return &upgrade.Refused{
			Reason: fmt.Sprintf("the target's data directory %s is not empty", plan.Target.Pgdata),
			Remedy: "empty it or choose another one (--target-pgdata)",
		}
	}
	if err := w.forgetIdentity(plan, files); err != nil {
		return err
	}
	return files.write(noteTargetBegun, w.now())
}

// removeTarget removes a target that this upgrade made. A data directory that was there before, such
// as a mount point, is emptied and stays.
func removeTarget(plan upgrade.Plan, files files) error {
	if err := emptyDir(plan.Target.Pgdata); err != nil {
		return fmt.Errorf("remove the target's files: %w", err)
	}
	if files.has(noteTargetDir) {
		if err := os.RemoveAll(plan.Target.Pgdata); err != nil {
			return fmt.Errorf("remove the target's data directory: %w", err)
		}
	}
	if err := removeTargetWAL(files); err != nil {
		return err
	}
	return removeParts(plan, files, plan.Target.Version.Major())
}

// stopLeftover stops a postmaster in one of this upgrade's own directories, whoever started it.
func (w *Worker) stopLeftover(ctx context.Context, plan upgrade.Plan, bindir, pgdata string, mode pgbin.StopMode) error {
	cluster := upgrade.Cluster{Bindir: bindir, Pgdata: pgdata, Owner: plan.Source.Owner, Manager: upgrade.ManagerPgCtl}
	if _, running := w.host.Running(cluster); !running {
		return nil
	}
	as, err := w.caller(plan, "pg_ctl")
	if err != nil {
		return err
	}
	return pgbin.PgCtl{Bindir: bindir, Pgdata: pgdata}.Stop(context.WithoutCancel(ctx), as, mode, cloneStart)
}

// initdbLike takes initdb's options not from guesses but from the data directory that will be upgraded, its pg_control and
// its permissions, and from the source's template0: initdb's own choices live on in it.
func (w *Worker) initdbLike(ctx context.Context, plan upgrade.Plan, as pgbin.Caller, pgdata string, source postgres.Login) (pgbin.Initdb, error) {
	control, err := pgbin.PgControldata(ctx, as, plan.Source.Bindir, pgdata)
	if err != nil {
		return pgbin.Initdb{}, err
	}
	info, err := os.Stat(pgdata)
	if err != nil {
		return pgbin.Initdb{}, fmt.Errorf("look at what will be upgraded: %w", err)
	}
	initdb := pgbin.Initdb{
		Bindir: plan.Target.Bindir, Version: plan.Target.Version, Pgdata: plan.Target.Pgdata, Superuser: plan.Source.Superuser,
		DataChecksums: control.DataChecksums, WALSegmentSizeMB: int(control.WALSegmentSize >> 20),
		AllowGroupAccess: info.Mode().Perm()&0o050 == 0o050,
	}
	var databases []postgres.Database
	err = with(ctx, source, func(conn *pgx.Conn) (err error) {
		databases, err = postgres.Databases(ctx, conn)
		return err
	})
	if err != nil {
		return initdb, err
	}
	for _, database := range databases {
		if database.Name == "template0" {
			return localeOf(initdb, database), nil
		}
	}
	return initdb, &upgrade.Refused{Reason: "the source has no template0", Remedy: "create it again, see the documentation of CREATE DATABASE"}
}

// localeOf gives initdb the encoding and the locale of a database.
func localeOf(initdb pgbin.Initdb, database postgres.Database) pgbin.Initdb {
	initdb.Encoding, initdb.LocaleProvider = database.Encoding, pgbin.LocaleProvider(database.Provider)
	initdb.LcCollate, initdb.LcCtype = database.Collate, database.Ctype
	switch initdb.LocaleProvider {
	case pgbin.LocaleICU:
		initdb.ICULocale, initdb.ICURules = database.Locale, database.Rules
	case pgbin.LocaleBuiltin:
		initdb.BuiltinLocale = database.Locale
	case pgbin.LocaleLibc:
	}
	return initdb
}

// privateSocketDir makes a directory with a short path for the sockets of pg_upgrade's servers.
func privateSocketDir(user run.User) (string, error) {
	dir, err := os.MkdirTemp("/tmp", "pgleap-") // not TMPDIR: a socket's path has at most 107 bytes
	if err != nil {
		return "", fmt.Errorf("make socket directory: %w", err)
	}
	if err := user.Chown(dir); err != nil {
		return "", fmt.Errorf("make socket directory: %w", err)
	}
	return dir, nil
}
