package onhost

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"golang.org/x/sync/errgroup"

	"github.com/pgleap/pgleap/internal/pgbin"
	"github.com/pgleap/pgleap/internal/postgres"
	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/internal/upgrade/step"
)

// CollectStatistics analyzes all databases of the target, in stages when clients are waiting for
// them already, and then the partitioned tables, which vacuumdb leaves out before 19.
func (w *Worker) CollectStatistics(ctx context.Context, plan upgrade.Plan) (step.Done, error) {
	if plan.Options.Statistics == upgrade.StatisticsAfter { // the source keeps no WAL for us any more
		return w.analyzeOnce(plan, func() (step.Done, error) { return w.collectStatistics(ctx, plan) })
	}
	return whole(ctx, plan, func(ctx context.Context) (step.Done, error) { return w.collectStatistics(ctx, plan) })
}

// noteStatistics says that the target's statistics were collected as they are to be when clients are there.
const noteStatistics note = "statistics.collected"

// analyzeOnce collects statistics, unless that was done: the first stage of doing it again would leave clients with
// the coarsest of them for a while.
func (w *Worker) analyzeOnce(plan upgrade.Plan, analyze func() (step.Done, error)) (step.Done, error) {
	files, err := w.files(plan)
	if err != nil || files.has(noteStatistics) {
		return step.Done{}, err
	}
	done, err := analyze()
	if err != nil {
		return done, err
	}
	return done, files.write(noteStatistics, w.now())
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
		Analyze: how, Jobs: statisticsJobs(plan),
	}
	err = vacuumdb.Run(ctx, as, func(database, stage string) {
		progressOf(ctx).text(strings.TrimSpace(fmt.Sprintf("collecting statistics of %s %s", database, stage)))
	})
	var done step.Done
	if err != nil {
		// It ends at the first table that it cannot analyze, and leaves out all that come after it. One that has
		// a part on a foreign server needs that server.
		if ctx.Err() != nil {
			return step.Done{}, err
		}
		w.log.WarnContext(ctx, "vacuumdb failed; statistics are collected table by table", "error", err)
		each := analysis{"tables", postgres.AnalyzableTables, postgres.Analyze}
		if how == pgbin.AnalyzeMissing {
			each.list = postgres.TablesLackingStatistics // the partitioned ones follow
		}
		if _, done.Events, err = w.analyzeEach(ctx, at, each, statisticsJobs(plan)); err != nil {
			return step.Done{}, err
		}
	}
	parents, failed, err := w.analyzeEach(ctx, at, analysis{"partitioned tables", postgres.PartitionedParents, postgres.AnalyzeParent}, statisticsJobs(plan))
	done.Events = append(done.Events, failed...)
	done.Events = append(done.Events, w.info(ctx, fmt.Sprintf("statistics collected, those of partitioned tables (%d) included", parents)).Events...)
	return done, err
}

// analysis says which tables of a database are analyzed, and how.
type analysis struct {
	what    string
	list    func(context.Context, *pgx.Conn) ([]string, error)
	analyze func(ctx context.Context, conn *pgx.Conn, table string) error
}

// analyzeEach analyzes tables of every database, several at once, and counts them. One that cannot be analyzed
// is told of: the planner has what it needs of the others.
func (w *Worker) analyzeEach(ctx context.Context, at postgres.Login, each analysis, jobs int) (analyzed int, failed []upgrade.Event, err error) {
	err = inEachDatabase(ctx, at, func(conn *pgx.Conn, db postgres.ReplicatedDatabase) error {
		tables, err := each.list(ctx, conn)
		if err != nil {
			return err
		}
		count, events, err := w.analyzeTables(ctx, at.In(db.Name), each, tables, jobs)
		analyzed, failed = analyzed+count, append(failed, events...)
		return err
	})
	return analyzed, failed, err
}

// analyzeTables does so in one database.
func (w *Worker) analyzeTables(ctx context.Context, at postgres.Login, each analysis, tables []string, jobs int) (analyzed int, failed []upgrade.Event, err error) {
	todo := make(chan string, len(tables))
	for _, table := range tables {
		todo <- table
	}
	close(todo)
	var counting sync.Mutex
	all, ctx := errgroup.WithContext(ctx)
	for range min(max(jobs, 1), len(tables)) {
		all.Go(func() error {
			return with(ctx, at, func(conn *pgx.Conn) error {
				for table := range todo {
					err := each.analyze(ctx, conn, table)
					if err != nil && !isTableRefused(ctx, conn, err) {
						return err
					}
					counting.Lock()
					if err != nil {
						failed = append(failed, w.say(ctx, upgrade.LevelWarning, err.Error()+"; run it by hand when its cause is mended"))
					} else {
						analyzed++
					}
					progressOf(ctx).count("collecting statistics of "+each.what+" of "+at.Database, int64(analyzed+len(failed)), int64(len(tables)), "tables")
					counting.Unlock()
				}
				return nil
			})
		})
	}
	err = all.Wait()
	return analyzed, failed, err
}

// haveStatistics wants every table of a plan's target that holds something to have statistics, before
// clients are led to it. Those that have none, since they were made or filled after the others were
// analyzed, are analyzed now. One that cannot be is told of, and keeps nobody from switching: that would
// never be mended by itself.
func (w *Worker) haveStatistics(ctx context.Context, plan upgrade.Plan) (failed []upgrade.Event, err error) {
	err = inEachDatabase(ctx, quiet(login(plan, plan.Target)), func(conn *pgx.Conn, db postgres.ReplicatedDatabase) error {
		refused := map[string]bool{}
		for _, kind := range []analysis{
			{"tables", postgres.TablesWithoutStatistics, postgres.Analyze},
			{"partitioned tables", postgres.ParentsWithoutStatistics, postgres.AnalyzeParent},
		} {
			missing, err := kind.list(ctx, conn)
			if err != nil {
				return err
			}
			for i, table := range missing {
				progressOf(ctx).count("collecting missing statistics of "+kind.what+" of "+db.Name, int64(i), int64(len(missing)), "tables")
				err := kind.analyze(ctx, conn, table)
				if err != nil && !isTableRefused(ctx, conn, err) {
					return err
				}
				if err != nil {
					refused[table] = true
					failed = append(failed, w.say(ctx, upgrade.LevelWarning, err.Error()+"; the planner does without its statistics until its cause is mended"))
				}
			}
		}
		return noneMissing(ctx, conn, db.Name, refused)
	})
	return failed, err
}

// isTableRefused tells an ANALYZE that failed for its table's sake from one that nothing can be told of.
func isTableRefused(ctx context.Context, conn *pgx.Conn, err error) bool {
	_, refused := errors.AsType[*pgconn.PgError](err)
	return refused && ctx.Err() == nil && !conn.IsClosed()
}

// noneMissing wants every table of a database to have statistics, but for those that could not be analyzed.
func noneMissing(ctx context.Context, conn *pgx.Conn, database string, but map[string]bool) error {
	missing, err := postgres.WithoutStatistics(ctx, conn)
	if err != nil {
		return err
	}
	missing = slices.DeleteFunc(missing, func(table string) bool { return but[table] })
	if len(missing) == 0 {
		return nil
	}
	return &upgrade.Refused{
		Reason: fmt.Sprintf("%d tables of %s have no statistics on the target, %s first: they were to be there before the switch", len(missing), database, missing[0]),
		Remedy: "see the target's log, or choose statistics after the switch",
	}
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
