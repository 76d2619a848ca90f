package onhost

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/pgleap/pgleap/internal/pgbin"
	"github.com/pgleap/pgleap/internal/postgres"
	"github.com/pgleap/pgleap/internal/run"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// discardStandbys removes the successors of standbys that an upgrade has made. Their slots go with the
// target.
func (w *Worker) discardStandbys(ctx context.Context, plan upgrade.Plan, files files) error {
	var records standbyRecords
	if _, err := files.read(noteStandbys, &records); err != nil {
		return err
	}
	for i := range records.All {
		if err := w.discardStandby(ctx, plan, files, &records, i); err != nil {
			return err
		}
	}
	return files.remove(noteStandbys)
}

// dropStandbySlot removes the slot of a standby that could not be made: it would fill the target's disk.
func (w *Worker) dropStandbySlot(ctx context.Context, plan upgrade.Plan, r *standbyRecord) error {
	if !r.MadeSlot {
		return nil
	}
	return w.onTarget(ctx, plan, func(conn *pgx.Conn) error { return postgres.DropSlot(ctx, conn, slotOf(r)) })
}

// discardStandby removes one.
func (w *Worker) discardStandby(ctx context.Context, plan upgrade.Plan, files files, records *standbyRecords, i int) error {
	r := &records.All[i]
	if r.Stage == standbyFound {
		return nil
	}
	ctx = context.WithoutCancel(ctx)
	own := successorPlan(plan, r)
	if err := w.clearStandby(ctx, files, own, r); err != nil {
		return err
	}
	if err := os.RemoveAll(own.Workdir()); err != nil {
		return fmt.Errorf("remove the directory of the making of a standby: %w", err)
	}
	if err := w.host.Unregister(ctx, own.Target); err != nil {
		return err
	}
	for _, dir := range slices.Backward(r.Parents) {
		_ = os.Remove(dir) // unless somebody uses it by now
	}
	*r = standbyRecord{Standby: r.Standby}
	return files.write(noteStandbys, records)
}

// clearStandby ends what runs in the successor's place, and empties that.
func (w *Worker) clearStandby(ctx context.Context, files files, own upgrade.Plan, r *standbyRecord) error {
	if err := run.EndLeftover(ctx, files.pidfile("standby")); err != nil {
		return err
	}
	err := w.host.Stop(ctx, own.Target, pgbin.StopFast, targetStart)
	if err == nil {
		err = w.stopLeftover(ctx, own, own.Target.Bindir, own.Target.Pgdata, pgbin.StopImmediate)
	}
	if err != nil {
		return err
	}
	err = emptyDir(own.Target.Pgdata)
	if err == nil && r.MadeDir {
		err = os.RemoveAll(own.Target.Pgdata)
	}
	if r.MadeSpaces {
		err = errors.Join(err, os.RemoveAll(tablespacesDir(own)))
	}
	if r.WAL != "" {
		err = errors.Join(err, os.RemoveAll(r.WAL))
	}
	if err != nil {
		return fmt.Errorf("remove standby %s: %w", r.Name, err)
	}
	r.WAL = ""
	return nil
}
