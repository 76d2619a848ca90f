package catalog

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/pgleap/pgleap/internal/upgrade"
)

const updateReopened = `
UPDATE task
   SET status = 'running', reason = '', phase = $2, phases = $3, ended_at = NULL, progress = 'null'
 WHERE number = $1`

// ReopenUpgrade lets an upgrade that has succeeded go on in a phase, and returns it. It refuses while an
// upgrade of the instance runs.
func (c *Catalog) ReopenUpgrade(ctx context.Context, number int64, phase upgrade.Phase, at time.Time) (upgrade.Task, error) {
	var t upgrade.Task
	err := c.change(ctx, func(tx *sql.Tx) (err error) {
		if t, err = lockTask(ctx, tx, number); err != nil {
			return err
		}
		if t.Kind != upgrade.TaskUpgrade || t.Status != upgrade.StatusSucceeded {
			return &upgrade.Refused{Reason: fmt.Sprintf("task %d is not an upgrade that has succeeded", number), Remedy: fmt.Sprintf("see pgleap task show %d", number), Cause: upgrade.CausePhase}
		}
		if err := mayStart(ctx, tx, t); err != nil {
			return err
		}
		t.Status, t.Reason, t.Phase, t.EndedAt, t.Progress = upgrade.StatusRunning, "", phase, nil, nil
		t.Phases = enter(t.Phases, phase, rounded(at))
		if _, err := tx.ExecContext(ctx, updateReopened, number, phase, document{t.Phases}); err != nil {
			return err
		}
		if err := touch(ctx, tx, number); err != nil {
			return err
		}
		return appendLog(ctx, tx, number, logLine(at, fmt.Sprintf("phase %q begins", phase)))
	})
	return t, inTask(err, "reopen", number)
}
