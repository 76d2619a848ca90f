package onhost

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgleap/pgleap/internal/endpoint"
	"github.com/pgleap/pgleap/internal/postgres"
	"github.com/pgleap/pgleap/internal/switchover"
	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/internal/upgrade/step"
)

// ReturnToSource carries out one attempt to bring clients back from a target that was made of a clone, or
// ends one that a crash left in the middle. args.Plan is that of the way back. When clients stay, what it
// needed on the target is removed again.
func (w *Worker) ReturnToSource(ctx context.Context, args step.SwitchOverArgs) (upgrade.Switchover, error) {
	outcome, err := w.returnOnce(ctx, args)
	if err == nil && !outcome.Switched {
		err = w.leaveServing(context.WithoutCancel(ctx), args.Plan)
	}
	return outcome, err
}

func (w *Worker) returnOnce(ctx context.Context, args step.SwitchOverArgs) (upgrade.Switchover, error) {
	stays := func(err error) upgrade.Switchover { return upgrade.Switchover{Reason: err.Error(), Back: true} }
	path, err := w.journalPath(args)
	if err != nil {
		return upgrade.Switchover{}, err
	}
	journal := switchover.OpenJournal(path, w.now)
	state, err := journal.Read()
	if err != nil {
		return upgrade.Switchover{}, err
	}
	config := w.switchoverConfig(args.Plan, journal)
	config.OnStep = func(name string) { progressOf(ctx).text(name) }
	if state.Stage != switchover.StageNone {
		return w.recover(context.WithoutCancel(ctx), config)
	}
	if args.SettleOnly {
		return upgrade.Switchover{Reason: "interrupted before it began", Back: true}, nil
	}
	last, err := w.settleAll(ctx, args.Plan)
	if err != nil {
		return upgrade.Switchover{}, err
	}
	if !last.OnTarget() {
		return last.Outcome, nil
	}
	proven, err := w.prepareReturn(ctx, args.Plan)
	if err != nil {
		return stays(err), nil //nolint:nilerr // not switching is a result
	}
	if err := w.openAccess(ctx, args.Plan, args.Plan.Target); err != nil {
		w.barFormer(ctx, args.Plan)
		return stays(err), nil //nolint:nilerr // not switching is a result
	}
	config.StartGuard = func(ctx context.Context, deadline time.Time) (*endpoint.Guard, error) {
		return w.startGuard(ctx, args.Plan, path, deadline)
	}
	outcome, err := switchover.RunReturn(ctx, config, func(ctx context.Context, at switchover.Standstill) error {
		if err := w.proveUntouched(ctx, args.Plan, proven.String(), at.LSN); err != nil {
			return err
		}
		return w.proveSameRoles(ctx, args.Plan)
	})
	if err == nil && !outcome.Switched {
		w.barFormer(ctx, args.Plan)
	}
	return outcome, err
}

// prepareReturn does what can be done while clients go on: pgleap's role on the target, which is gone since
// the upgrade ended, and the proof up to now. It returns up to where that goes.
func (w *Worker) prepareReturn(ctx context.Context, plan upgrade.Plan) (postgres.LSN, error) {
	if _, running := w.host.Running(plan.Target); !running {
		return 0, &upgrade.Refused{Reason: fmt.Sprintf("%s does not run", plan.Target), Remedy: "start it, and go back then"}
	}
	progressOf(ctx).text("proving that nothing was written")
	if err := awaitLogin(ctx, login(plan, plan.Target), hbaWait); err != nil {
		return 0, fmt.Errorf("log in to the source with pgleap's role: %w", err)
	}
	if err := w.letOurRoleIn(ctx, plan); err != nil {
		return 0, err
	}
	at := quiet(login(plan, plan.Source))
	at.Settings["synchronous_commit"] = "local" // so that what is read from disk is all there is
	var now postgres.LSN
	err := with(ctx, at, func(conn *pgx.Conn) (err error) {
		now, err = postgres.EmitMessage(ctx, conn, fmt.Sprintf("proof for upgrade %d", plan.Number))
		return err
	})
	if err != nil {
		return 0, err
	}
	if err := w.proveUntouched(ctx, plan, "", now); err != nil {
		return 0, err
	}
	return now, w.proveSameRoles(ctx, plan)
}

// leaveServing removes from the target, where clients stay, what the way back needed.
func (w *Worker) leaveServing(ctx context.Context, plan upgrade.Plan) error {
	user, err := owner(plan)
	if err != nil {
		return err
	}
	if err := w.setHBABlock(ctx, plan.Source, user, nil); err != nil {
		return err
	}
	return with(ctx, quiet(w.host.Login(plan.Source, "postgres")), func(conn *pgx.Conn) error { return postgres.DropRole(ctx, conn) })
}
