package onhost

import (
	"context"
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
	mapping, err := w.prepareBackup(ctx, plan)
	if err != nil {
		return step.Done{}, err
	}
	from := login(plan, plan.Source)
	backup := pgbin.PgBasebackup{
		Bindir: plan.Source.Bindir, From: from.Address, User: from.User, Passfile: from.Passfile,
		Pgdata: plan.ClonePgdata(), Slot: upgrade.BaseBackupSlot, TablespaceMapping: mapping,
		FastCheckpoint: true, Label: fmt.Sprintf("pgleap upgrade %d", plan.Number),
	}
	var size int64
	err = withinCap(ctx, plan, func(ctx context.Context) error {
		return backup.Run(ctx, as, func(done, total int64) {
			size = done
			progressOf(ctx).count("copying the source", done, max(done, total), "bytes")
		})
	})
	if err != nil {
		return step.Done{}, err
	}
	if err := files.write(noteBackedUp, w.now()); err != nil {
		return step.Done{}, err
	}
	return w.info(ctx, fmt.Sprintf("base backup taken: %d MiB", size>>20)), nil
}

// prepareBackup makes the slot and clears the place, and tells where tablespaces go.
func (w *Worker) prepareBackup(ctx context.Context, plan upgrade.Plan) (map[string]string, error) {
	if err := removeClone(plan); err != nil {
		return nil, err
	}
	user, err := owner(plan)
	if err != nil {
		return nil, err
	}
	mapping := map[string]string{}
	err = with(ctx, login(plan, plan.Source), func(conn *pgx.Conn) error {
		if err := postgres.EnsurePhysicalSlot(ctx, conn, upgrade.BaseBackupSlot); err != nil {
			return err
		}
		spaces, err := postgres.TablespaceLocations(ctx, conn)
		for oid, location := range spaces {
			mapping[location] = filepath.Join(tablespacesDir(plan), strconv.FormatUint(uint64(oid), 10))
		}
		return err
	})
	if err != nil || len(mapping) == 0 {
		return mapping, err
	}
	return mapping, makeDir(tablespacesDir(plan), user)
}

// tablespacesDir holds the target's tablespaces, one directory each by the source's oid.
func tablespacesDir(plan upgrade.Plan) string { return plan.Target.Pgdata + ".tablespaces" }

// removeClone removes the clone, but not what pg_upgrade made of its tablespaces.
func removeClone(plan upgrade.Plan) error {
	if err := os.RemoveAll(plan.ClonePgdata()); err != nil {
		return fmt.Errorf("remove clone: %w", err)
	}
	return nil
}
