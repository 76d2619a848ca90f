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
	"github.com/pgleap/pgleap/internal/switchover"
	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/internal/upgrade/step"
)

// Discard undoes an upgrade that has not switched over: the target and the clone go, and the source
// is as it was. What the upgrade did not make is not touched. It may begin at any point of the story.
func (w *Worker) Discard(ctx context.Context, plan upgrade.Plan) (step.Done, error) {
	if plan.Mode == upgrade.InPlace { // of an upgrade whose own workflow was lost
		return w.DiscardInPlace(ctx, plan)
	}
	files, err := w.files(plan)
	if err != nil {
		return step.Done{}, err
	}
	last, err := w.endSwitchovers(ctx, plan)
	if err != nil {
		return step.Done{}, err
	}
	if err := w.dropVerification(ctx, plan); err != nil {
		return step.Done{}, err
	}
	w.tidyEndpoint(ctx, plan)
	for _, program := range []string{"pg_basebackup", "pg_upgrade"} {
		if err := run.EndLeftover(ctx, files.pidfile(program)); err != nil {
			return step.Done{}, err
		}
	}
	if !files.has(noteSourcePrepared) {
		return step.Done{}, nil // nothing was made, or all is undone
	}
	if err := w.discardStandbys(ctx, plan, files); err != nil {
		return step.Done{}, err
	}
	stranger, err := w.stranger(plan, files)
	if err != nil {
		return step.Done{}, err
	}
	var settled step.Done
	restore := func() error {
		if settled, err = w.settleReturned(ctx, plan, last); err != nil {
			return err
		}
		return w.restoreSource(ctx, plan)
	}
	// The servers first: their subscriptions would take up the slots again. Then the source, whose disk
	// the slots fill. Files that cannot be removed only lie around.
	undo := []func() error{
		func() error { return w.stopServers(ctx, plan, files) }, restore, func() error { return w.removeFiles(ctx, plan, files) },
	}
	done := w.info(ctx, "the target is removed and the source is as it was before the upgrade")
	if stranger != "" {
		undo = []func() error{restore}
		done.Events = []upgrade.Event{w.say(ctx, upgrade.LevelWarning, "the source is as it was before the upgrade; "+leftAlone(plan, stranger))}
	}
	for _, do := range undo {
		if err := do(); err != nil {
			return step.Done{}, err
		}
	}
	if err := files.remove(noteSourcePrepared); err != nil {
		return step.Done{}, fmt.Errorf("remove note: %w", err)
	}
	done.Events = append(settled.Events, done.Events...)
	return done, nil
}

// settleReturned gives consumers on the source their slots, if clients have come back, and consumers with them.
func (w *Worker) settleReturned(ctx context.Context, plan upgrade.Plan, last switchover.State) (step.Done, error) {
	if !last.Intent.Plan.Reversed {
		return step.Done{}, nil
	}
	return w.settleAtTheEnd(ctx, plan, last, quiet(w.host.Login(plan.Source, "postgres")))
}

// endSwitchovers ends what an attempt to switch over may have left in the middle, and refuses to
// discard a target that clients write to.
func (w *Worker) endSwitchovers(ctx context.Context, plan upgrade.Plan) (last switchover.State, err error) {
	last, err = w.settleForGood(ctx, plan)
	if err != nil || !last.OnTarget() {
		return last, err
	}
	return last, &upgrade.Refused{
		Reason: fmt.Sprintf("upgrade %d has switched over: clients write to %s", plan.Number, plan.Target),
		Remedy: "nothing is removed; go back first (`pgleap switchover ID back`), or finish the upgrade",
	}
}

// stopServers stops the clone and the target.
func (w *Worker) stopServers(ctx context.Context, plan upgrade.Plan, files files) error {
	if err := w.stopLeftover(ctx, plan, plan.Source.Bindir, plan.ClonePgdata(), pgbin.StopImmediate); err != nil {
		return err
	}
	if err := removeCloneSockets(files); err != nil {
		return err
	}
	if !files.has(noteTargetBegun) {
		return nil
	}
	if err := w.host.Stop(ctx, plan.Target, pgbin.StopFast, targetStart); err != nil {
		return err
	}
	return w.stopLeftover(ctx, plan, plan.Target.Bindir, plan.Target.Pgdata, pgbin.StopImmediate)
}

// removeFiles removes the target, the clone, and the directories that were made for them.
func (w *Worker) removeFiles(ctx context.Context, plan upgrade.Plan, files files) error {
	if files.has(noteTargetBegun) {
		if err := removeTarget(plan, files); err != nil {
			return err
		}
		if err := w.host.Unregister(ctx, plan.Target); err != nil {
			return err
		}
		// What comes to be there from now on is none of it, however often the rest is tried.
		if err := errors.Join(files.remove(noteTargetDir), files.remove(noteTargetBegun)); err != nil {
			return fmt.Errorf("remove note: %w", err)
		}
	}
	if err := removeTablespacesDir(plan, files); err != nil {
		return err
	}
	if err := os.RemoveAll(plan.Workdir()); err != nil {
		return fmt.Errorf("remove the upgrade's directory: %w", err)
	}
	var made []string
	if _, err := files.read(noteParents, &made); err != nil {
		return err
	}
	for _, dir := range slices.Backward(made) {
		_ = os.Remove(dir) // unless somebody uses it by now
	}
	return nil
}

// restoreSource removes what PrepareSource and CreateSlots made. It logs in as the superuser, so it
// works whether pgleap's role is there or not.
func (w *Worker) restoreSource(ctx context.Context, plan upgrade.Plan) error {
	user, err := owner(plan)
	if err != nil {
		return err
	}
	files, err := w.files(plan)
	if err != nil {
		return err
	}
	if err := w.closeStandby(ctx, plan, files); err != nil {
		return err
	}
	source := quiet(w.host.Login(plan.Source, "postgres"))
	if err := w.dropSlots(ctx, source); err != nil {
		return err
	}
	if err := errors.Join(endVerification(ctx, source), inEachDatabase(ctx, source, dropOurs(ctx))); err != nil {
		return err
	}
	if err := inEachDatabase(ctx, source, nothingLeft(ctx)); err != nil {
		return err
	}
	if err := w.restoreSourceIdentities(ctx, plan, source); err != nil {
		return err
	}
	if err := w.setHBABlock(ctx, plan.Source, user, nil); err != nil {
		return err
	}
	return with(ctx, source, func(conn *pgx.Conn) error { return postgres.DropRole(ctx, conn) })
}
