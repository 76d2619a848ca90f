package onhost

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgleap/pgleap/internal/pgbin"
	"github.com/pgleap/pgleap/internal/postgres"
	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/internal/upgrade/step"
)

// UpdateExtensions brings the extensions of every database of the target to the version that it
// has. One that cannot be updated works on as it did: that is told, and changes nothing.
func (w *Worker) UpdateExtensions(ctx context.Context, plan upgrade.Plan) (step.Done, error) {
	return whole(ctx, plan, func(ctx context.Context) (step.Done, error) { return w.updateExtensions(ctx, plan) })
}

func (w *Worker) updateExtensions(ctx context.Context, plan upgrade.Plan) (step.Done, error) {
	var done step.Done
	// As the superuser, since what an update adds belongs to who runs it, and pgleap's own role goes.
	superuser := quiet(w.host.Login(plan.Target, "postgres"))
	err := inEachDatabase(ctx, superuser, func(conn *pgx.Conn, db postgres.ReplicatedDatabase) error {
		updates, err := postgres.ExtensionUpdates(ctx, conn)
		if err != nil {
			return err
		}
		for _, u := range updates {
			progressOf(ctx).text(fmt.Sprintf("updating extension %s in %s", u.Name, db.Name))
			event := w.say(ctx, upgrade.LevelInfo, fmt.Sprintf("extension %s in %s updated from %s to %s", u.Name, db.Name, u.From, u.To))
			if err := postgres.UpdateExtension(ctx, conn, u.Name); err != nil {
				event.Level, event.Text = upgrade.LevelWarning, err.Error()+"; run ALTER EXTENSION ... UPDATE by hand when its cause is mended"
			}
			done.Events = append(done.Events, event)
		}
		return nil
	})
	return done, err
}

// CollectStatistics analyzes all databases of the target, in stages when clients are waiting for
// them already, and then the partitioned tables, which vacuumdb leaves out before 19.
func (w *Worker) CollectStatistics(ctx context.Context, plan upgrade.Plan) (step.Done, error) {
	if plan.Options.Statistics == upgrade.StatisticsAfter { // the source keeps no WAL for us any more
		return w.collectStatistics(ctx, plan)
	}
	return whole(ctx, plan, func(ctx context.Context) (step.Done, error) { return w.collectStatistics(ctx, plan) })
}

func (w *Worker) collectStatistics(ctx context.Context, plan upgrade.Plan) (step.Done, error) {
	return w.analyzeTarget(ctx, plan, login(plan, plan.Target), analyze(plan))
}

// analyzeTarget analyzes all databases of the target, and then the partitioned tables.
func (w *Worker) analyzeTarget(ctx context.Context, plan upgrade.Plan, at postgres.Login, how pgbin.Analyze) (step.Done, error) {
	as, err := w.caller(plan, "vacuumdb")
	if err != nil {
		return step.Done{}, err
	}
	vacuumdb := pgbin.Vacuumdb{
		Bindir: plan.Target.Bindir, Version: plan.Target.Version, At: at.Address, User: at.User, Passfile: at.Passfile,
		Analyze: how, Jobs: plan.Options.Jobs,
	}
	err = vacuumdb.Run(ctx, as, func(database, stage string) {
		progressOf(ctx).text(strings.TrimSpace(fmt.Sprintf("collecting statistics of %s %s", database, stage)))
	})
	var failed []upgrade.Event
	if err != nil {
		// It ends at the first table that it cannot analyze, and leaves out all that come after it. One that has
		// a part on a foreign server needs that server.
		if ctx.Err() != nil {
			return step.Done{}, err
		}
		w.log.WarnContext(ctx, "vacuumdb failed; statistics are collected table by table", "error", err)
		if _, failed, err = w.analyzeEach(ctx, at, "tables", postgres.AnalyzableTables); err != nil {
			return step.Done{}, err
		}
	}
	parents, more, err := w.analyzeEach(ctx, at, "partitioned tables", postgres.PartitionedParents)
	done := w.info(ctx, fmt.Sprintf("statistics collected, those of %d partitioned tables included", parents))
	done.Events = append(append(failed, more...), done.Events...)
	return done, err
}

// analyzeEach analyzes tables of every database, one after another. One that cannot be analyzed is told of:
// the planner has what it needs of the others.
func (w *Worker) analyzeEach(ctx context.Context, at postgres.Login, what string, list func(context.Context, *pgx.Conn) ([]string, error)) (int, []upgrade.Event, error) {
	analyzed := 0
	var failed []upgrade.Event
	err := inEachDatabase(ctx, at, func(conn *pgx.Conn, db postgres.ReplicatedDatabase) error {
		tables, err := list(ctx, conn)
		if err != nil {
			return err
		}
		for i, table := range tables {
			progressOf(ctx).count("collecting statistics of "+what+" of "+db.Name, int64(i), int64(len(tables)), "tables")
			err := postgres.Analyze(ctx, conn, table)
			if _, refused := errors.AsType[*pgconn.PgError](err); refused && ctx.Err() == nil && !conn.IsClosed() {
				failed = append(failed, w.say(ctx, upgrade.LevelWarning, err.Error()+"; run it by hand when its cause is mended"))
				continue
			}
			if err != nil {
				return err
			}
			analyzed++
		}
		return nil
	})
	return analyzed, failed, err
}

func analyze(plan upgrade.Plan) pgbin.Analyze {
	switch {
	case plan.Target.Version.Major() >= 18: // pg_upgrade carries most of them over
		return pgbin.AnalyzeMissing
	case plan.Options.Statistics == upgrade.StatisticsAfter:
		return pgbin.AnalyzeInStages
	default:
		return pgbin.AnalyzeOnly
	}
}
