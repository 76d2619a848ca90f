package onhost

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgleap/pgleap/internal/pgbin"
	"github.com/pgleap/pgleap/internal/postgres"
	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/internal/upgrade/step"
)

// targetStart bounds the target's start.
const targetStart = 5 * time.Minute

// StartTarget gives the target the source's configuration, translated, and starts it. From then on
// the clone cannot be used any more, and is removed.
func (w *Worker) StartTarget(ctx context.Context, plan upgrade.Plan) (step.Done, error) {
	return whole(ctx, plan, func(ctx context.Context) (step.Done, error) { return w.startTarget(ctx, plan) })
}

func (w *Worker) startTarget(ctx context.Context, plan upgrade.Plan) (step.Done, error) {
	files, err := w.files(plan)
	if err != nil {
		return step.Done{}, err
	}
	var done step.Done
	found, err := files.read(noteTargetStarted, &done)
	if err != nil {
		return done, err
	}
	user, err := owner(plan)
	if err != nil {
		return done, err
	}
	if !found {
		if err := noteConfiguration(plan, user, files); err != nil {
			return done, err
		}
		if done.Events, err = w.carryConfiguration(ctx, plan, user); err != nil {
			return done, err
		}
	}
	if err := w.host.Start(ctx, plan.Target, targetLog(plan), targetStart); err != nil {
		return done, w.explainStart(ctx, plan, err)
	}
	if err := awaitLogin(ctx, login(plan, plan.Target), hbaWait); err != nil {
		return done, fmt.Errorf("log in to the target with pgleap's role, look at %s and the target's log: %w", plan.Target.HBAFile, err)
	}
	if err := removeClone(plan, files); err != nil {
		return done, err
	}
	if found {
		return done, nil
	}
	done.Events = append(done.Events, w.say(ctx, upgrade.LevelInfo, fmt.Sprintf("the target runs: %s", plan.Target)))
	return done, files.write(noteTargetStarted, done)
}

func targetLog(plan upgrade.Plan) string { return filepath.Join(plan.Workdir(), "target.log") }

// explainStart adds what postgres itself says of the configuration.
func (w *Worker) explainStart(ctx context.Context, plan upgrade.Plan, err error) error {
	as, callerErr := w.caller(plan, "postgres")
	if callerErr != nil {
		return err
	}
	configDir := filepath.Dir(plan.Target.ConfigFile)
	if checkErr := pgbin.CheckConfiguration(ctx, as, plan.Target.Bindir, configDir); checkErr != nil {
		return fmt.Errorf("%w: %w", err, checkErr)
	}
	return err
}

// Subscribe makes the target follow the source from the hand-over LSN on.
func (w *Worker) Subscribe(ctx context.Context, args step.HandoverArgs) (step.Done, error) {
	return whole(ctx, args.Plan, func(ctx context.Context) (step.Done, error) { return w.subscribe(ctx, args) })
}

func (w *Worker) subscribe(ctx context.Context, args step.HandoverArgs) (step.Done, error) {
	plan := args.Plan
	x, err := postgres.ParseLSN(args.Handover.LSN)
	if err != nil {
		return step.Done{}, err
	}
	source, databases := login(plan, plan.Source), map[string]bool{}
	for i, slot := range args.Handover.Slots {
		databases[slot.Database] = true
		progressOf(ctx).count("subscribing", int64(i), int64(len(args.Handover.Slots)), "objects")
		err := with(ctx, quiet(login(plan, plan.Target)).In(slot.Database), func(conn *pgx.Conn) error {
			return postgres.Subscribe(ctx, conn, postgres.NewSubscription{
				Name: upgrade.GroupSubscription(slot.Group), Publication: upgrade.GroupPublication(slot.Group),
				Publisher: source.In(slot.Database), Slot: slot.Name, Version: plan.Source.Version.Major(), From: x,
			})
		})
		if err != nil {
			return step.Done{}, err
		}
	}
	if err := w.awaitSubscriptions(ctx, plan); err != nil {
		return step.Done{}, err
	}
	return w.info(ctx, fmt.Sprintf("the target follows the source from LSN %s on, in %d databases (%d subscriptions)",
		x, len(databases), len(args.Handover.Slots))), nil
}

// subscriptionsWait is how long the apply workers may take to start.
const subscriptionsWait = time.Minute

func (w *Worker) awaitSubscriptions(ctx context.Context, plan upgrade.Plan) error {
	ctx, cancel := context.WithTimeout(ctx, subscriptionsWait)
	defer cancel()
	return inEachDatabase(ctx, login(plan, plan.Target), func(conn *pgx.Conn, db postgres.ReplicatedDatabase) error {
		for {
			state, err := postgres.ReadSubscriptions(ctx, conn, upgrade.Subscription)
			if err != nil {
				return err
			}
			if state.Working && state.Pending == 0 {
				return nil
			}
			if sleep(ctx, 100*time.Millisecond) != nil {
				return fmt.Errorf("the subscription of database %s does not start; look at the target's log in %s", db.Name, plan.Target.Pgdata)
			}
		}
	})
}
