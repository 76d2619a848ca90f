package onhost

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/pgleap/pgleap/internal/postgres"
	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/internal/upgrade/step"
)

// registerBlueGreen registers the activities that only blue-green upgrades have.
func (w *Worker) registerBlueGreen(r Registry) {
	register(r, step.PrepareCloning, upgrade.PhasePrepare, w.PrepareCloning)
	register(r, step.DetachClone, upgrade.PhaseUpgrade, w.DetachClone)
	register(r, step.StartUpgraded, upgrade.PhaseUpgrade, w.StartUpgraded)
	register(r, step.FinishClone, upgrade.PhaseFinishing, w.FinishClone)
	register(r, step.FollowSource, upgrade.PhaseSynchronizing, w.FollowSource)
	register(r, step.SwitchToClone, upgrade.PhaseSwitchover, w.switchToCloneAround)
	register(r, step.ReturnToSource, upgrade.PhaseSwitchback, func(ctx context.Context, args step.SwitchOverArgs) (upgrade.Switchover, error) {
		return w.aroundSwitch(ctx, args, func() (upgrade.Switchover, error) { return w.ReturnToSource(ctx, args) })
	})
}

// switchToCloneAround is SwitchToClone with the user's programs around it. Where it is too late to begin, none is run
// before.
func (w *Worker) switchToCloneAround(ctx context.Context, args step.SwitchOverArgs) (result step.CloneSwitch, err error) {
	around := args
	around.SettleOnly = args.SettleOnly || w.isLate(args.NotAfter)
	result.Switchover, err = w.aroundSwitch(ctx, around, func() (upgrade.Switchover, error) {
		result, err = w.SwitchToClone(ctx, args)
		return result.Switchover, err
	})
	return result, err
}

// PrepareCloning makes what a physical clone needs on the source: a role of our own that pg_hba.conf
// lets in from this host. Discard and FinishClone remove it.
func (w *Worker) PrepareCloning(ctx context.Context, plan upgrade.Plan) (step.Done, error) {
	if !plan.Options.CloneOnly && plan.Endpoint.Driver == "" {
		return step.Done{}, &upgrade.Refused{
			Reason: fmt.Sprintf("instance %s has no endpoint: nothing could move its clients", plan.Instance),
			Remedy: "give it one, or only make a clone (--clone-only)",
			Cause:  upgrade.CauseNoEndpoint,
		}
	}
	if err := w.prepareAccess(ctx, plan); err != nil {
		return step.Done{}, err
	}
	if !plan.Options.CloneOnly { // else they stay with the source
		if _, err := w.lookForStandbys(ctx, plan); err != nil {
			return step.Done{}, err
		}
	}
	return w.info(ctx, fmt.Sprintf("the source is prepared: role %s, which its pg_hba.conf lets in from this host", upgrade.Role)), nil
}

// DetachClone lets a clone that clients will not be moved to recover up to where the source is now, and
// makes it a primary. The LSN is noted, so that it is the same however often this is called.
func (w *Worker) DetachClone(ctx context.Context, plan upgrade.Plan) (step.Done, error) {
	files, err := w.files(plan)
	if err != nil {
		return step.Done{}, err
	}
	var end step.Handover
	found, err := files.read(noteHandover, &end)
	if err == nil && !found {
		end.LSN, err = w.decideEnd(ctx, plan)
	}
	if err == nil && !found {
		err = files.write(noteHandover, end)
	}
	if err != nil {
		return step.Done{}, err
	}
	return w.PromoteClone(ctx, step.HandoverArgs{Plan: plan, Handover: end})
}

// decideEnd takes the LSN at which the clone is to end. It stands still meanwhile: what it has replayed
// it could not take back.
func (w *Worker) decideEnd(ctx context.Context, plan upgrade.Plan) (string, error) {
	if err := w.stopClone(ctx, plan); err != nil {
		return "", err
	}
	var x postgres.LSN
	err := with(ctx, login(plan, plan.Source), func(conn *pgx.Conn) (err error) {
		if x, err = postgres.InsertLSN(ctx, conn); err != nil {
			return err
		}
		return postgres.WriteRestorePoint(ctx, conn, "pgleap")
	})
	return x.String(), err
}

// StartUpgraded gives what pg_upgrade made of the clone the source's configuration, translated, and
// starts it on its own port. From then on the clone cannot be used any more, and is removed.
func (w *Worker) StartUpgraded(ctx context.Context, plan upgrade.Plan) (step.Done, error) {
	files, err := w.files(plan)
	if err != nil {
		return step.Done{}, err
	}
	done, err := w.startUpgraded(ctx, plan, files)
	if err != nil {
		return done, err
	}
	return done, removeClone(plan, files)
}

// startUpgraded leaves the clone where it is: it may have a great many files, and clients may be waiting.
func (w *Worker) startUpgraded(ctx context.Context, plan upgrade.Plan, files files) (step.Done, error) {
	var done step.Done
	found, err := files.read(noteTargetStarted, &done)
	if err != nil {
		return done, err
	}
	if !found {
		if done.Events, err = w.configureAlone(ctx, plan); err != nil {
			return done, err
		}
		if err := w.noteBaseline(ctx, plan, files); err != nil {
			return done, err
		}
	}
	if err := w.host.Start(ctx, plan.Target, targetLog(plan), targetStart); err != nil {
		return done, w.explainStart(ctx, plan, err)
	}
	if err := awaitLogin(ctx, login(plan, plan.Target), hbaWait); err != nil {
		return done, fmt.Errorf("log in to the target with pgleap's role, look at %s and the target's log: %w", plan.Target.HBAFile, err)
	}
	if found {
		return done, nil
	}
	done.Events = append(done.Events, w.say(ctx, upgrade.LevelInfo, fmt.Sprintf("the target runs: %s", plan.Target)))
	return done, files.write(noteTargetStarted, done)
}

// configureAlone carries the configuration over, without the settings that only replication needs.
func (w *Worker) configureAlone(ctx context.Context, plan upgrade.Plan) ([]upgrade.Event, error) {
	user, err := owner(plan)
	if err != nil {
		return nil, err
	}
	events, err := w.carryConfiguration(ctx, plan, user)
	if err != nil {
		return nil, err
	}
	return events, endReplicationSettings(plan, user)
}

// FinishClone ends an upgrade that only made a clone: what it needed goes, on the source and on the
// target, which is told. From then on neither is this upgrade's any more, and Discard leaves both alone.
func (w *Worker) FinishClone(ctx context.Context, plan upgrade.Plan) (step.FinishResult, error) {
	var result step.FinishResult
	user, err := owner(plan)
	if err != nil {
		return result, err
	}
	files, err := w.files(plan)
	if err != nil {
		return result, err
	}
	if err := w.restoreSource(ctx, plan); err != nil {
		return result, err
	}
	if err := w.setHBABlock(ctx, plan.Target, user, nil); err != nil {
		return result, err
	}
	err = with(ctx, quiet(w.host.Login(plan.Target, "postgres")), func(conn *pgx.Conn) error { return postgres.DropRole(ctx, conn) })
	if err != nil {
		return result, err
	}
	result.Cluster, err = w.host.Inspect(ctx, step.InspectArgs{Pgdata: plan.Target.Pgdata, Superuser: plan.Target.Superuser})
	if err != nil {
		return result, err
	}
	result.Done = w.info(ctx, fmt.Sprintf("the clone is %s; clients stay at %s, which is as it was before the upgrade", result.Cluster, plan.Source))
	result.Events = append(result.Events, w.noBaseBackup(ctx, upgrade.CloneID(plan.Instance, plan.Number)))
	return result, files.remove(noteSourcePrepared)
}
