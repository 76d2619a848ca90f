package onhost

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"github.com/jackc/pgx/v5"

	"github.com/pgleap/pgleap/internal/pgbin"
	"github.com/pgleap/pgleap/internal/postgres"
	"github.com/pgleap/pgleap/internal/run"
	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/internal/upgrade/step"
)

// BaseBackup copies the source, physically, into the plan's clone. The slot that is made first keeps
// the WAL that the clone will ask for. A copy that was cut short is thrown away and begun again.
func (w *Worker) BaseBackup(ctx context.Context, plan upgrade.Plan) (step.Done, error) {
	files, err := w.files(plan)
	if err != nil || files.has(noteBackedUp) {
		return step.Done{}, err
	}
	as, err := w.caller(plan, "pg_basebackup")
	if err != nil {
		return step.Done{}, err
	}
	as.Pidfile = files.pidfile("pg_basebackup")
	if err := run.EndLeftover(ctx, as.Pidfile); err != nil {
		return step.Done{}, err
	}
	from, err := w.prepareBackup(ctx, plan, files)
	if err != nil {
		return step.Done{}, errors.Join(err, w.closeStandby(context.WithoutCancel(ctx), plan, files))
	}
	backup := pgbin.PgBasebackup{
		Bindir: plan.Source.Bindir, From: from.login.Address, User: from.login.User, Passfile: from.login.Passfile,
		Pgdata: plan.ClonePgdata(), Slot: from.slot, TablespaceMapping: from.mapping,
		FastCheckpoint: true, Label: fmt.Sprintf("pgleap upgrade %d", plan.Number),
	}
	var size int64
	err = withinCap(ctx, plan, func(ctx context.Context) error {
		return backup.Run(ctx, as, func(done, total int64) {
			size = done
			progressOf(ctx).count("copying "+from.what, done, max(done, total), "bytes")
		})
	})
	if err = errors.Join(err, w.closeStandby(context.WithoutCancel(ctx), plan, files)); err != nil {
		return step.Done{}, err
	}
	if err := files.write(noteBackedUp, w.now()); err != nil {
		return step.Done{}, err
	}
	return w.info(ctx, fmt.Sprintf("base backup of %s taken: %d MiB", from.what, size>>20)), nil
}

// backupFrom is what a base backup is taken of.
type backupFrom struct {
	what    string
	login   postgres.Login
	slot    string            // empty: a temporary one
	mapping map[string]string // of tablespaces
}

// prepareBackup makes the slot and clears the place, and tells what is copied, and where tablespaces go.
// A standby that is copied has caught up with the slot's beginning: what the clone needs after the
// backup, the source keeps for it.
func (w *Worker) prepareBackup(ctx context.Context, plan upgrade.Plan, files files) (backupFrom, error) {
	from := backupFrom{what: "the source", login: login(plan, plan.Source), slot: upgrade.BaseBackupSlot, mapping: map[string]string{}}
	if err := removeClone(plan, files); err != nil {
		return from, err
	}
	user, err := owner(plan)
	if err != nil {
		return from, err
	}
	err = with(ctx, login(plan, plan.Source), func(conn *pgx.Conn) error {
		return postgres.EnsurePhysicalSlot(ctx, conn, upgrade.BaseBackupSlot)
	})
	if err == nil && plan.Options.CloneFrom != "" {
		var standby upgrade.Cluster
		standby, err = w.openStandby(ctx, plan, files)
		from.what, from.login, from.slot = "the standby in "+standby.Pgdata, login(plan, standby), ""
	}
	if err != nil {
		return from, err
	}
	err = with(ctx, from.login, func(conn *pgx.Conn) error {
		spaces, err := postgres.TablespaceLocations(ctx, conn)
		for oid, location := range spaces {
			from.mapping[location] = filepath.Join(tablespacesDir(plan), strconv.FormatUint(uint64(oid), 10))
		}
		return err
	})
	if err != nil || len(from.mapping) == 0 {
		return from, err
	}
	return from, makeTablespacesDir(plan, files, user)
}

// removeSpentClone removes the clone of a target that serves, if it was not removed before. A switchback has none.
func (w *Worker) removeSpentClone(plan upgrade.Plan) error {
	if plan.Reversed {
		return nil
	}
	files, err := w.files(plan)
	if err != nil {
		return err
	}
	return removeClone(plan, files)
}

// removeClone removes the clone, its part of tablespaces included. What pg_upgrade made of that stays: it has names of its
// own for the files that both have.
func removeClone(plan upgrade.Plan, files files) error {
	if err := os.RemoveAll(plan.ClonePgdata()); err != nil {
		return fmt.Errorf("remove clone: %w", err)
	}
	return removeParts(plan, files, plan.Source.Version.Major())
}
