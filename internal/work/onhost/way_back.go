package onhost

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgleap/pgleap/internal/postgres"
	"github.com/pgleap/pgleap/internal/switchover"
	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/internal/upgrade/step"
)

// PrepareWayBack makes in every database what is needed to go back after the switchover: a slot on the
// target, and a subscription on the source that is disabled until then.
func (w *Worker) PrepareWayBack(ctx context.Context, plan upgrade.Plan) (step.Done, error) {
	return whole(ctx, plan, func(ctx context.Context) (step.Done, error) {
		source, target := quiet(login(plan, plan.Source)), quiet(login(plan, plan.Target))
		count := 0
		err := inEachDatabase(ctx, source, func(from *pgx.Conn, database postgres.ReplicatedDatabase) error {
			count++
			return with(ctx, target.In(database.Name), func(to *pgx.Conn) error {
				return switchover.PrepareWayBack(ctx, plan, target, from, to)
			})
		})
		if err != nil {
			return step.Done{}, err
		}
		return w.info(ctx, fmt.Sprintf("the way back is prepared in %d databases: it begins where the switchover ends", count)), nil
	})
}

// proofPatience is how long a canary may take to the side that has just begun to follow: an apply
// worker is started within wal_retrieve_retry_interval, 5 s by default.
const proofPatience = time.Minute

// openPatience bounds the turn of the replication.
const openPatience = time.Minute

// OpenWayBack lets the side that clients have left follow the other one. The way there was proven by the
// switchover itself, whose marker arrived; the way back is proven by another one.
func (w *Worker) OpenWayBack(ctx context.Context, args step.OpenWayBackArgs) (step.Done, error) {
	return whole(ctx, args.Plan.Back(), func(ctx context.Context) (step.Done, error) { return w.openWayBack(ctx, args) })
}

func (w *Worker) openWayBack(ctx context.Context, args step.OpenWayBackArgs) (step.Done, error) {
	plan := args.Plan
	path, err := w.journalPath(step.SwitchOverArgs{Plan: plan, Attempt: args.Attempt})
	if err != nil {
		return step.Done{}, err
	}
	err = with(ctx, login(plan.Back(), plan.Target), func(conn *pgx.Conn) error {
		slots, err := postgres.ReadSlots(ctx, conn)
		if err != nil {
			return err
		}
		return overCap(plan.Back(), slots)
	})
	if err != nil {
		return step.Done{}, err
	}
	config := w.switchoverConfig(plan, switchover.OpenJournal(path, w.now))
	opening, cancel := context.WithTimeout(ctx, openPatience) // other instances' switchovers wait for this one's lock
	defer cancel()
	err = switchover.OpenWayBack(opening, config, func() (bool, error) {
		all, err := w.journalPaths(taskName(plan))
		return err == nil && len(all) > 0 && all[len(all)-1] == path, err
	})
	if err != nil {
		return step.Done{}, err
	}
	state, err := config.Journal.Read()
	if err != nil {
		return step.Done{}, err
	}
	done, err := w.settleConsumers(ctx, config, state.Outcome)
	if err != nil { // the way back does not depend on it
		done.Events = append(done.Events, w.say(ctx, upgrade.LevelError, fmt.Sprintf(
			"the slots of other consumers are not all made yet; what they need is kept, and it is tried again: %v", err)))
	}
	took, err := w.proveWayBack(ctx, plan.Back())
	if err != nil {
		return step.Done{}, err
	}
	done.Events = append(done.Events, w.say(ctx, upgrade.LevelInfo, fmt.Sprintf(
		"the way back is open and proven: PostgreSQL %s at port %d follows; a marker that was written at port %d arrived there in every database, within %s",
		plan.Source.Version, plan.Source.Port, plan.Target.Port, took.Round(time.Millisecond))))
	return done, nil
}

// proveWayBack sends a marker from a plan's source to its target in every database.
func (w *Worker) proveWayBack(ctx context.Context, plan upgrade.Plan) (longest time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, proofPatience)
	defer cancel()
	target := quiet(login(plan, plan.Target))
	err = inEachDatabase(ctx, quiet(login(plan, plan.Source)), func(from *pgx.Conn, database postgres.ReplicatedDatabase) error {
		return with(ctx, target.In(database.Name), func(to *pgx.Conn) error {
			took, err := sendMarker(ctx, from, to)
			longest = max(longest, took)
			return err
		})
	})
	return longest, err
}

// sendMarker waits until a marker has arrived, and then measures how long the next one takes.
func sendMarker(ctx context.Context, from, to *pgx.Conn) (took time.Duration, err error) {
	for range 2 {
		number, err := postgres.AdvanceMarker(ctx, from)
		if err != nil {
			return 0, err
		}
		written := time.Now()
		for {
			arrived, err := postgres.ReadMarker(ctx, to)
			if err != nil {
				return 0, err
			}
			if arrived.Number >= number {
				break
			}
			if sleep(ctx, time.Millisecond) != nil {
				return 0, fmt.Errorf("the marker that was written in database %s did not arrive within %s: look at the log of the server that follows",
					from.Config().Database, proofPatience)
			}
		}
		took = time.Since(written)
	}
	return took, nil
}
