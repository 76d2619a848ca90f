package catalog

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/pressly/goose/v3"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// backfill fills the columns of migration 2 for what was recorded before them.
func backfill() *goose.Migration {
	nothing := func(context.Context, *sql.Tx) error { return nil }
	return goose.NewGoMigration(3, &goose.GoFunc{RunTx: fill}, &goose.GoFunc{RunTx: nothing})
}

const (
	selectInstanceIDs = `
SELECT id
  FROM instance`

	updateInstanceUUID = `
UPDATE instance
   SET uuid = $2
 WHERE id = $1`

	selectAllTasks = `
  SELECT ` + formerTaskColumns + `, ''
    FROM task
ORDER BY number`

	updateTaskHistory = `
UPDATE task
   SET statistics = $2, switched = $3, switch_started_at = $4, switch_ended_at = $5, log = $6, target_version = $7
 WHERE number = $1`

	selectAllReports = `
SELECT body
  FROM report`

	updateReportVerdict = `
UPDATE report
   SET passed = $2, valid_until = $3
 WHERE number = $1`
)

func fill(ctx context.Context, tx *sql.Tx) error {
	ids, err := collect(ctx, tx, func(r row) (id string, err error) { return id, r.Scan(&id) }, selectInstanceIDs)
	if err != nil {
		return fmt.Errorf("read instances: %w", err)
	}
	for _, id := range ids {
		if _, err := tx.ExecContext(ctx, updateInstanceUUID, id, newUUID()); err != nil {
			return fmt.Errorf("name instance %q: %w", id, err)
		}
	}
	tasks, err := collect(ctx, tx, scanTask, selectAllTasks)
	if err != nil {
		return fmt.Errorf("read tasks: %w", err)
	}
	for _, t := range tasks {
		if err := fillTask(ctx, tx, t); err != nil {
			return inTask(err, "fill in history of", t.Number)
		}
	}
	reports, err := collect(ctx, tx, scanReport, selectAllReports)
	if err != nil {
		return fmt.Errorf("read reports: %w", err)
	}
	for _, r := range reports {
		if _, err := tx.ExecContext(ctx, updateReportVerdict, r.Number, flag(r.Passed()), instant{&r.ValidUntil}); err != nil {
			return fmt.Errorf("fill in report %d: %w", r.Number, err)
		}
	}
	return nil
}

func fillTask(ctx context.Context, tx *sql.Tx, t upgrade.Task) error {
	events, err := collect(ctx, tx, scanEvent, selectEvents, t.Number, 0, limit(0))
	if err != nil {
		return err
	}
	var log string
	for _, e := range events {
		log += logLine(e.At, e.Text)
	}
	switched := switchoverColumns(t.Switchover)
	_, err = tx.ExecContext(ctx, updateTaskHistory, t.Number, statisticsOf(t.Plan), switched.switched, switched.startedAt, switched.endedAt, log, targetVersionOf(t.Plan))
	return err
}
