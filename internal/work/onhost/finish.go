package onhost

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/pgleap/pgleap/internal/postgres"
	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/internal/upgrade/step"
)

// Finish removes what the replication needed: subscriptions, publications and markers on the target,
// slots, publications and markers on the source. The role stays on the source: nobody else can
// log in there any more.
func (w *Worker) Finish(ctx context.Context, plan upgrade.Plan) (step.FinishResult, error) {
	var result step.FinishResult
	last, err := w.settleAll(ctx, plan)
	if err != nil {
		return result, err
	}
	if !last.OnTarget() {
		return result, atSource(plan)
	}
	if err := w.dropVerification(ctx, plan); err != nil {
		return result, err
	}
	w.tidyEndpoint(ctx, plan)
	superuser := quiet(w.host.Login(plan.Target, "postgres"))
	// The target's slots first: they fill its disk. Then what would take them up again.
	said, err := w.settleAtTheEnd(ctx, plan, last, superuser)
	if err != nil {
		return result, err
	}
	if err := w.dropSlots(ctx, superuser); err != nil {
		return result, err
	}
	if err := w.finishSource(ctx, plan); err != nil {
		return result, err
	}
	if err := errors.Join(endVerification(ctx, superuser), inEachDatabase(ctx, superuser, dropOurs(ctx))); err != nil {
		return result, err
	}
	if err := errors.Join(w.dropSlots(ctx, superuser), inEachDatabase(ctx, superuser, nothingLeft(ctx))); err != nil {
		return result, err
	}
	if err := w.finishIdentities(ctx, plan); err != nil {
		return result, err
	}
	user, err := owner(plan)
	if err != nil {
		return result, err
	}
	if err := endReplicationSettings(plan, user); err != nil {
		return result, err
	}
	if err := w.setHBABlock(ctx, plan.Target, user, nil); err != nil {
		return result, err
	}
	if err := w.removeSpentClone(plan); err != nil {
		return result, err
	}
	err = with(ctx, superuser, func(conn *pgx.Conn) error { return postgres.DropRole(ctx, conn) })
	if err != nil {
		return result, err
	}
	result.Cluster, err = w.host.Inspect(ctx, step.InspectArgs{Pgdata: plan.Target.Pgdata, Superuser: plan.Target.Superuser})
	if err != nil {
		return result, err
	}
	result.Endpoint, result.Switchover = plan.Endpoint, &last.Outcome
	if err := w.rememberEndpoint(result.Cluster, result.Endpoint); err != nil {
		return result, err
	}
	result.Done = w.info(ctx, fmt.Sprintf("what the replication needed is removed (settings of its own hold until the target's next restart); the instance is %s", result.Cluster))
	result.Events = append(append(said.Events, result.Events...), w.noBaseBackup(ctx, plan.Instance))
	return result, nil
}

// CloseWayBack drops the target's slots, which keep WAL for a way back that nobody wants any more. What would take them up
// again finds nothing, until Finish removes it.
func (w *Worker) CloseWayBack(ctx context.Context, plan upgrade.Plan) (step.Done, error) {
	last, err := w.settleAll(ctx, plan)
	if err != nil {
		return step.Done{}, err
	}
	if !last.OnTarget() {
		return step.Done{}, atSource(plan)
	}
	if err := with(ctx, quiet(w.host.Login(plan.Target, "postgres")), dropOurSlots(ctx)); err != nil {
		return step.Done{}, err
	}
	return w.info(ctx, "the way back is closed: the target keeps no WAL for it any more"), nil
}

// atSource refuses to finish an upgrade that has not switched over.
func atSource(plan upgrade.Plan) error {
	return &upgrade.Refused{
		Reason: fmt.Sprintf("upgrade %d is not finished: clients are at the source", plan.Number),
		Remedy: "switch over first, or cancel it",
	}
}

// endVerification ends the sessions of a verification that somebody may still hold.
func endVerification(ctx context.Context, l postgres.Login) error {
	return with(ctx, l.In("postgres"), func(conn *pgx.Conn) error {
		return postgres.EndSessions(ctx, conn, upgrade.VerificationSession)
	})
}

// dropOurs removes our objects from one database.
func dropOurs(ctx context.Context) func(*pgx.Conn, postgres.ReplicatedDatabase) error {
	return func(conn *pgx.Conn, _ postgres.ReplicatedDatabase) error {
		for _, name := range []string{upgrade.Subscription, upgrade.BackSubscription} {
			if err := postgres.DropSubscriptions(ctx, conn, name); err != nil {
				return err
			}
		}
		if err := postgres.DropDDLGuard(ctx, conn); err != nil {
			return err
		}
		if err := postgres.DropPublication(ctx, conn); err != nil {
			return err
		}
		return postgres.DropMarker(ctx, conn)
	}
}

// nothingLeft wants nothing of ours to be left in a database, nor in what databases share.
func nothingLeft(ctx context.Context) func(*pgx.Conn, postgres.ReplicatedDatabase) error {
	return func(conn *pgx.Conn, database postgres.ReplicatedDatabase) error {
		left, err := postgres.OurObjects(ctx, conn)
		if err == nil && len(left) > 0 {
			err = fmt.Errorf("database %s still has %s", database.Name, strings.Join(left, ", "))
		}
		return err
	}
}

// finishSource does the same on the source, as pgleap's role. A source that the user has stopped
// meanwhile keeps its slots, which cost nothing while it is down.
func (w *Worker) finishSource(ctx context.Context, plan upgrade.Plan) error {
	if _, running := w.host.Running(plan.Source); !running {
		return nil
	}
	source := quiet(login(plan, plan.Source))
	err := errors.Join(w.dropSlots(ctx, source), endVerification(ctx, source), inEachDatabase(ctx, source, dropOurs(ctx)), inEachDatabase(ctx, source, nothingLeft(ctx)))
	if err != nil {
		return fmt.Errorf("remove what the replication needed from the former source, in %s: mend what follows, or stop that server, and this goes on by itself: %w",
			plan.Source.Pgdata, err)
	}
	return nil
}

func (w *Worker) dropSlots(ctx context.Context, l postgres.Login) error {
	return with(ctx, l, func(conn *pgx.Conn) error {
		if err := dropOurSlots(ctx)(conn); err != nil {
			return err
		}
		return postgres.DropHeldSlots(ctx, conn)
	})
}

// dropOurSlots removes our slots, but none that is held for a consumer.
func dropOurSlots(ctx context.Context) func(*pgx.Conn) error {
	return func(conn *pgx.Conn) error {
		names, err := postgres.OurSlots(ctx, conn)
		if err != nil {
			return err
		}
		for _, name := range names {
			if err := postgres.DropSlot(ctx, conn, name); err != nil {
				return err
			}
		}
		return nil
	}
}
