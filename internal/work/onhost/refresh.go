package onhost

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/pgleap/pgleap/internal/postgres"
	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/internal/upgrade/step"
)

// RefreshMaterializedViews fills the materialized views of the target anew, which still hold what they
// held when the clone was made: a refresh on the source is not replicated. One that cannot be read on
// the source cannot be read on the target either. A view that cannot be refreshed is told, and keeps
// its rows; the others are refreshed.
func (w *Worker) RefreshMaterializedViews(ctx context.Context, plan upgrade.Plan) (step.Done, error) {
	return whole(ctx, plan, func(ctx context.Context) (done step.Done, err error) {
		err = w.withinFollowersDisk(ctx, plan, func(ctx context.Context) (err error) {
			done, err = w.refreshMaterializedViews(ctx, plan)
			return err
		})
		return done, err
	})
}

func (w *Worker) refreshMaterializedViews(ctx context.Context, plan upgrade.Plan) (step.Done, error) {
	var done step.Done
	refreshed := 0
	err := inEachDatabase(ctx, quiet(login(plan, plan.Target)), func(conn *pgx.Conn, db postgres.ReplicatedDatabase) error {
		views, err := postgres.MaterializedViews(ctx, conn)
		if err != nil || len(views) == 0 {
			return err
		}
		if views, err = asOnSource(ctx, plan, db.Name, views); err != nil {
			return err
		}
		for i, view := range views {
			progressOf(ctx).count("refreshing "+view.Name+" in "+db.Name, int64(i), int64(len(views)), "materialized views")
			err := postgres.RefreshMaterializedView(ctx, conn, view.Name, view.Populated)
			if err != nil && (ctx.Err() != nil || conn.IsClosed()) {
				return err
			}
			if err != nil {
				done.Events = append(done.Events, w.say(ctx, upgrade.LevelWarning,
					err.Error()+"; it keeps the rows that it had, refresh it by hand after the switchover"))
				continue
			}
			refreshed++
		}
		return nil
	})
	if err != nil {
		return step.Done{}, err
	}
	if refreshed > 0 {
		done.Events = append(done.Events, w.say(ctx, upgrade.LevelInfo, fmt.Sprintf("%d materialized views of the target are refreshed", refreshed)))
	}
	return done, nil
}

// asOnSource keeps the views of the target that are to be touched, with the state that they have on the
// source: those that are populated there, and those that are not but were.
func asOnSource(ctx context.Context, plan upgrade.Plan, database string, views []postgres.MaterializedView) ([]postgres.MaterializedView, error) {
	populated := map[string]bool{}
	err := with(ctx, login(plan, plan.Source).In(database), func(conn *pgx.Conn) error {
		onSource, err := postgres.MaterializedViews(ctx, conn)
		for _, view := range onSource {
			populated[view.Name] = view.Populated
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	var kept []postgres.MaterializedView
	for _, view := range views {
		wanted, there := populated[view.Name]
		if there && (wanted || view.Populated) {
			kept = append(kept, postgres.MaterializedView{Name: view.Name, Populated: wanted})
		}
	}
	return kept, nil
}
