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
	files, err := w.files(plan)
	if err != nil {
		return step.Done{}, err
	}
	if err := w.endSwitchovers(ctx, plan); err != nil {
		return step.Done{}, err
	}
	for _, program := range []string{"pg_basebackup", "pg_upgrade"} {
		if err := run.EndLeftover(ctx, files.pidfile(program)); err != nil {
			return step.Done{}, err
		}
	}
	if _, err := os.Lstat(plan.Workdir()); errors.Is(err, os.ErrNotExist) {
		return step.Done{}, nil // not even the source was prepared
	}
	// The target first: its subscriptions would take up the slots again.
	if err := w.discardTarget(ctx, plan, files); err != nil {
		return step.Done{}, err
	}
	if err := w.restoreSource(ctx, plan); err != nil {
		return step.Done{}, err
	}
	if err := os.RemoveAll(plan.Workdir()); err != nil {
		return step.Done{}, fmt.Errorf("remove the upgrade's directory: %w", err)
	}
	var made []string
	if _, err := files.read(noteParents, &made); err != nil {
		return step.Done{}, err
	}
	for _, dir := range slices.Backward(made) {
		_ = os.Remove(dir) // unless somebody uses it by now
	}
	return w.info(ctx, "the target is removed and the source is as it was before the upgrade"), nil
}

// endSwitchovers ends what an attempt to switch over may have left in the middle, and refuses to
// discard a target that clients write to.
func (w *Worker) endSwitchovers(ctx context.Context, plan upgrade.Plan) error {
	journals, err := w.journals(taskName(plan))
	if err != nil {
		return err
	}
	for _, journal := range journals {
		state, err := journal.Read()
		if err != nil {
			return err
		}
		if state.Stage == switchover.StageNone {
			continue
		}
		outcome, err := switchover.Recover(ctx, w.switchoverConfig(plan, journal))
		if err != nil {
			return err
		}
		if outcome.Switched {
			return &upgrade.Refused{
				Reason: fmt.Sprintf("upgrade %d has switched over: clients write to %s", plan.Number, plan.Target),
				Remedy: "nothing is removed; what the upgrade left behind is told in docs/operations.md",
			}
		}
	}
	return nil
}

func (w *Worker) discardTarget(ctx context.Context, plan upgrade.Plan, files files) error {
	if err := w.stopLeftover(ctx, plan, plan.Source.Bindir, plan.ClonePgdata(), pgbin.StopImmediate); err != nil {
		return err
	}
	if files.has(noteTargetBegun) {
		if err := w.host.Stop(ctx, plan.Target, pgbin.StopFast, targetStart); err != nil {
			return err
		}
		if err := w.removeTarget(ctx, plan); err != nil {
			return err
		}
		if plan.Target.Manager == upgrade.ManagerPgCtlcluster {
			if err := w.host.UnregisterDebian(plan.Target); err != nil {
				return err
			}
		}
	}
	if err := os.RemoveAll(tablespacesDir(plan)); err != nil {
		return fmt.Errorf("remove the target's tablespaces: %w", err)
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
	source := quiet(w.host.Login(plan.Source, "postgres"))
	if err := w.dropSlots(ctx, source); err != nil {
		return err
	}
	if err := inEachDatabase(ctx, source, dropOurs(ctx)); err != nil {
		return err
	}
	if err := w.setHBABlock(ctx, plan.Source, user, nil); err != nil {
		return err
	}
	return with(ctx, source, func(conn *pgx.Conn) error { return postgres.DropRole(ctx, conn) })
}
