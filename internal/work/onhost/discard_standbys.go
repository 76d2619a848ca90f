package onhost

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
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

// discardStandby removes one. What somebody else has put in its place stays, with all that belongs to that.
func (w *Worker) discardStandby(ctx context.Context, plan upgrade.Plan, files files, records *standbyRecords, i int) error {
	r := &records.All[i]
	if r.Stage == standbyFound {
		return nil
	}
	ctx = context.WithoutCancel(ctx)
	own := successorPlan(plan, r)
	err := w.clearStandby(ctx, plan, files, records, r)
	stranger, isOther := errors.AsType[*upgrade.Refused](err)
	if err != nil && !isOther {
		return err
	}
	if err := os.RemoveAll(own.Workdir()); err != nil {
		return fmt.Errorf("remove the directory of the making of a standby: %w", err)
	}
	if isOther {
		w.log.WarnContext(ctx, "the successor of a standby is not removed", "task", plan.Number, "standby", r.Name, "reason", stranger.Reason)
	} else if err := w.host.Unregister(ctx, own.Target); err != nil {
		return err
	}
	for _, dir := range slices.Backward(r.Parents) {
		_ = os.Remove(dir) // unless somebody uses it by now
	}
	*r = standbyRecord{Standby: r.Standby}
	return files.write(noteStandbys, records)
}

// clearStandby ends what runs in the successor's place, and empties that. It refuses if that is not this upgrade's.
func (w *Worker) clearStandby(ctx context.Context, plan upgrade.Plan, files files, records *standbyRecords, r *standbyRecord) error {
	if err := run.EndLeftover(ctx, files.pidfile("standby")); err != nil {
		return err
	}
	own := successorPlan(plan, r)
	if err := w.refuseOtherStandby(plan, files, r); err != nil {
		return err
	}
	err := w.host.Stop(ctx, own.Target, pgbin.StopFast, targetStart)
	if err == nil {
		err = w.stopLeftover(ctx, own, own.Target.Bindir, own.Target.Pgdata, pgbin.StopImmediate)
	}
	if err != nil {
		return err
	}
	r.Clearing = true // what it is known by goes first
	if err := files.write(noteStandbys, records); err != nil {
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
	r.WAL, r.Clearing = "", false
	return files.write(noteStandbys, records)
}

// refuseOtherStandby refuses if a successor's data directory holds another cluster than the target's copy: an upgrade may
// be undone weeks after its standbys were made. A copy that is not complete has the label of its backup, which comes
// first, but for its WAL, and pg_control last (basebackup.c, perform_base_backup).
func (w *Worker) refuseOtherStandby(plan upgrade.Plan, files files, r *standbyRecord) error {
	user, err := owner(plan)
	if err != nil {
		return err
	}
	var place targetPlace
	if _, err := files.read(noteTargetPlace, &place); err != nil {
		return err
	}
	other := fmt.Sprintf("%s holds something else than the standby %s that upgrade %d has made there, and is left as it is", r.Successor.Pgdata, r.Name, plan.Number)
	now, err := systemIdentifier(r.Successor.Pgdata, user)
	switch {
	case err == nil && (len(place.Identifier) == 0 || bytes.Equal(now, place.Identifier)): // an older program has noted none
		return nil
	case err == nil:
		return &upgrade.Refused{Reason: other, Remedy: "see what uses it", Cause: upgrade.CausePlace}
	case !errors.Is(err, fs.ErrNotExist):
		return err
	case r.Clearing:
		return nil
	}
	var label []byte
	var entries []fs.DirEntry
	err = user.Do(func() (err error) {
		if label, err = os.ReadFile(filepath.Join(r.Successor.Pgdata, "backup_label")); errors.Is(err, fs.ErrNotExist) {
			entries, err = os.ReadDir(r.Successor.Pgdata)
		}
		return err
	})
	foreign := slices.ContainsFunc(entries, func(entry fs.DirEntry) bool { return entry.Name() != "pg_wal" })
	switch {
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("look at the place of standby %s: %w", r.Name, err)
	case foreign, len(label) > 0 && !bytes.Contains(label, []byte("LABEL: "+backupLabel(plan, r)+"\n")):
		return &upgrade.Refused{Reason: other, Remedy: "see what uses it", Cause: upgrade.CausePlace}
	}
	return nil
}

// backupLabel is what a successor's copy of the target is called.
func backupLabel(plan upgrade.Plan, r *standbyRecord) string {
	return fmt.Sprintf("pgleap upgrade %d, standby %s", plan.Number, r.Name)
}
