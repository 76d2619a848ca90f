package onhost

import (
	"context"
	"errors"
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
		if err := w.leaveServing(context.WithoutCancel(ctx), args.Plan); err != nil {
			outcome.Told = append(outcome.Told, fmt.Sprintf("what the way back needed may be left on %s: %s; when it runs: DROP ROLE IF EXISTS %s",
				args.Plan.Source, err, upgrade.Role))
		}
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
	if args.SettleOnly && state.Stage == switchover.StageNone {
		if state, err = forbid(journal, true); err != nil {
			return upgrade.Switchover{}, err
		}
	}
	config := w.switchoverConfig(args.Plan, journal)
	config.OnStep = func(name string) { progressOf(ctx).text(name) }
	if state.Stage != switchover.StageNone {
		return w.recover(context.WithoutCancel(ctx), config)
	}
	last, err := w.settleAll(ctx, args.Plan)
	if err != nil {
		return upgrade.Switchover{}, err
	}
	if !last.OnTarget() {
		return last.Outcome, nil
	}
	end, ok := w.fates.begin(args.Plan.Target, isReturnedTo)
	if !ok {
		return stays(fmt.Errorf("%s is being retired", args.Plan.Target)), nil
	}
	defer end()
	proven, err := w.prepareReturn(ctx, args.Plan)
	if err != nil {
		return stays(err), nil //nolint:nilerr // not switching is a result
	}
	if err := w.openAccess(ctx, args.Plan, args.Plan.Target); err != nil {
		w.barFormer(ctx, args.Plan)
		return stays(err), nil //nolint:nilerr // not switching is a result
	}
	config.StartGuard = func(ctx context.Context) (*endpoint.Guard, error) { return w.startGuard(ctx, args.Plan, path) }
	outcome, err := switchover.RunReturn(ctx, config, func(ctx context.Context, at switchover.Standstill) error {
		if err := w.proveUntouched(ctx, args.Plan, proven, at.LSN); err != nil {
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
// the upgrade ended, and the proof up to now, which the one behind the fence goes on from.
func (w *Worker) prepareReturn(ctx context.Context, plan upgrade.Plan) (*proof, error) {
	for _, cluster := range []upgrade.Cluster{plan.Source, plan.Target} {
		if _, running := w.host.Running(cluster); !running {
			return nil, &upgrade.Refused{Reason: fmt.Sprintf("%s does not run", cluster), Remedy: "start it, and go back then"}
		}
	}
	progressOf(ctx).text("proving that nothing was written")
	if err := awaitLogin(ctx, login(plan, plan.Target), hbaWait); err != nil {
		return nil, fmt.Errorf("log in to the source with pgleap's role: %w", err)
	}
	if err := w.commitsThere(ctx, plan); err != nil {
		return nil, err
	}
	if err := w.letOurRoleIn(ctx, plan); err != nil {
		return nil, err
	}
	at := alone(quiet(login(plan, plan.Source))) // what is read from disk is all there is then
	var message, now postgres.LSN
	err := with(ctx, at, func(conn *pgx.Conn) (err error) {
		message, now, err = postgres.EmitMessage(ctx, conn, fmt.Sprintf("proof for upgrade %d", plan.Number))
		return err
	})
	if err != nil {
		return nil, err
	}
	so := &proof{explained: map[uint32]bool{}}
	if err := w.proveUntouched(ctx, plan, so, now); err != nil {
		return nil, err
	}
	so.since = message.String() // now may be in the middle of a record, which would be skipped
	return so, w.proveSameRoles(ctx, plan)
}

// leaveTimeout bounds what is done on a target that may be in no state to do it.
const leaveTimeout = 30 * time.Second

// leaveServing removes from the target, where clients stay, what the way back needed. A target that is down
// keeps pgleap's role, if it has it, which pg_hba.conf does not let in.
func (w *Worker) leaveServing(ctx context.Context, plan upgrade.Plan) error {
	ctx, cancel := context.WithTimeout(ctx, leaveTimeout)
	defer cancel()
	user, err := owner(plan)
	if err != nil {
		return err
	}
	if err := w.setHBABlock(ctx, plan.Source, user, nil); err != nil {
		return err
	}
	if _, running := w.host.Running(plan.Source); !running {
		return errors.New("it does not run")
	}
	return with(ctx, alone(quiet(w.host.Login(plan.Source, "postgres"))), func(conn *pgx.Conn) error { return postgres.DropRole(ctx, conn) })
}
