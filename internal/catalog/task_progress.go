package catalog

import (
	"context"
	"database/sql"
	"fmt"
	"strconv"
	"time"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// A task that has ended stays as it is: an activity may be repeated, and what it reports late is
// not news. So every change here leaves an ended task alone, without an error.

const updatePhase = `
UPDATE task
   SET phase = $2, phases = $3, progress = 'null'
 WHERE number = $1`

// EnterPhase records that a running task has left its phase and entered another one. The progress
// of the former phase is forgotten. The same phase again is no news.
func (c *Catalog) EnterPhase(ctx context.Context, number int64, phase upgrade.Phase, at time.Time) error {
	err := c.change(ctx, func(tx *sql.Tx) error {
		t, err := lockTask(ctx, tx, number)
		if err != nil || t.Status.Ended() || t.Phase == phase {
			return err
		}
		if _, err := tx.ExecContext(ctx, updatePhase, number, phase, document{enter(t.Phases, phase, rounded(at))}); err != nil {
			return err
		}
		return appendLog(ctx, tx, number, logLine(at, fmt.Sprintf("phase %q begins", phase)))
	})
	return inTask(err, "enter phase of", number)
}

const updateProgress = `
UPDATE task
   SET progress = $2
 WHERE number = $1 AND status = 'running'`

// SetProgress records where the running step of a task stands.
func (c *Catalog) SetProgress(ctx context.Context, number int64, p upgrade.Progress) error {
	return inTask(c.updateRunning(ctx, number, updateProgress, document{p}), "set progress of", number)
}

const updateSwitchover = `
UPDATE task
   SET switchover = $2, switched = $3, switch_started_at = $4, switch_ended_at = $5
 WHERE number = $1 AND status = 'running'`

const updateSwitchback = `
UPDATE task
   SET switchover = $2
 WHERE number = $1 AND status = 'running'`

// SetSwitchover records what the last switchover of a task did. The history goes on telling of the one
// that led to the target when a switchback did not succeed.
func (c *Catalog) SetSwitchover(ctx context.Context, number int64, s upgrade.Switchover) error {
	if s.Back && !s.Switched {
		return inTask(c.updateRunning(ctx, number, updateSwitchback, document{s}), "set switchover of", number)
	}
	columns := switchoverColumns(&s)
	err := c.updateRunning(ctx, number, updateSwitchover, document{s}, columns.switched, columns.startedAt, columns.endedAt)
	return inTask(err, "set switchover of", number)
}

const updateRehearsal = `
UPDATE task
   SET rehearsal = $2
 WHERE number = $1 AND status = 'running'`

// SetRehearsal records what the last rehearsal of a task came to.
func (c *Catalog) SetRehearsal(ctx context.Context, number int64, r upgrade.Rehearsal) error {
	return inTask(c.updateRunning(ctx, number, updateRehearsal, document{r}), "set rehearsal of", number)
}

const updateVerification = `
UPDATE task
   SET verification = $2
 WHERE number = $1 AND status = 'running'`

// SetVerification records what the verification of a task's switchover came to.
func (c *Catalog) SetVerification(ctx context.Context, number int64, v upgrade.Verification) error {
	return inTask(c.updateRunning(ctx, number, updateVerification, document{v}), "set verification of", number)
}

const updateEnd = `
UPDATE task
   SET status = $2, reason = $3, switchover = $4, phases = $5, ended_at = $6, progress = 'null',
       switched = $7, switch_started_at = $8, switch_ended_at = $9
 WHERE number = $1`

// EndTask records how a task ended. The first end counts: a later one is ignored.
func (c *Catalog) EndTask(ctx context.Context, number int64, outcome upgrade.Outcome, at time.Time) error {
	return c.end(ctx, number, outcome, at, func(was upgrade.Status) bool { return !was.Ended() })
}

// AmendTask records how a task ended of which nothing was known but that it failed, or not even that yet.
func (c *Catalog) AmendTask(ctx context.Context, number int64, outcome upgrade.Outcome, at time.Time) error {
	return c.end(ctx, number, outcome, at, func(was upgrade.Status) bool { return !was.Ended() || was == upgrade.StatusFailed })
}

// end records how a task ended, if it may still end so.
func (c *Catalog) end(ctx context.Context, number int64, outcome upgrade.Outcome, at time.Time, may func(was upgrade.Status) bool) error {
	if outcome.Status == "" || !outcome.Status.Ended() {
		return inTask(fmt.Errorf("%q is not the status of an ended task", outcome.Status), "end", number)
	}
	err := c.change(ctx, func(tx *sql.Tx) error {
		t, err := lockTask(ctx, tx, number)
		if err != nil || !may(t.Status) {
			return err
		}
		if outcome.Switchover == nil {
			outcome.Switchover = t.Switchover
		}
		at = latest(at, lastOf(outcome.Switchover))
		phases, ended := leave(t.Phases, latest(t.StartedAt, rounded(at)))
		columns := switchoverColumns(outcome.Switchover)
		_, err = tx.ExecContext(ctx, updateEnd, number, outcome.Status, legible(outcome.Reason),
			document{outcome.Switchover}, document{phases}, instant{&ended},
			columns.switched, columns.startedAt, columns.endedAt)
		if err != nil {
			return err
		}
		return appendLog(ctx, tx, number, logLine(ended, endSentence(t.Kind, outcome)))
	})
	return inTask(err, "end", number)
}

// lastOf is the last time of a switchover, which no end of its task comes before.
func lastOf(s *upgrade.Switchover) time.Time {
	if s == nil {
		return time.Time{}
	}
	return latest(s.StartedAt, s.EndedAt)
}

// endSentence is the last line of a log.
func endSentence(kind upgrade.TaskKind, outcome upgrade.Outcome) string {
	text := fmt.Sprintf("the %s has ended: %s", kind, outcome.Status)
	if outcome.Reason != "" {
		text += ", " + outcome.Reason
	}
	return text
}

const lockOfTask = `
UPDATE task
   SET status = status
 WHERE number = $1
RETURNING ` + taskColumns

// lockTask returns a task and keeps others from changing it until tx has ended.
func lockTask(ctx context.Context, tx *sql.Tx, number int64) (upgrade.Task, error) {
	t, err := scanTask(tx.QueryRowContext(ctx, lockOfTask, number))
	return found(t, err, "task", strconv.FormatInt(number, 10))
}

// updateRunning changes a task, unless it has ended.
func (c *Catalog) updateRunning(ctx context.Context, number int64, query string, values ...any) error {
	return c.change(ctx, func(tx *sql.Tx) error {
		n, err := changed(tx.ExecContext(ctx, query, append([]any{number}, values...)...))
		if err != nil {
			return err
		}
		if n == 0 {
			return taskExists(ctx, tx, number)
		}
		return touch(ctx, tx, number)
	})
}

const updateRevision = `
UPDATE instance
   SET changes = changes + 1
 WHERE id = (SELECT instance FROM task WHERE number = $1)`

// touch tells whoever remembers what the record said of the task's instance that it is news.
func touch(ctx context.Context, tx *sql.Tx, number int64) error {
	if _, err := tx.ExecContext(ctx, updateRevision, number); err != nil {
		return fmt.Errorf("raise revision of the instance: %w", err)
	}
	return nil
}

const selectTaskExists = `
SELECT number
  FROM task
 WHERE number = $1`

func taskExists(ctx context.Context, db asker, number int64) error {
	err := db.QueryRowContext(ctx, selectTaskExists, number).Scan(&number)
	_, err = found(number, err, "task", strconv.FormatInt(number, 10))
	return err
}

// inTask says what was being done with which task.
func inTask(err error, doing string, number int64) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s task %d: %w", doing, number, err)
}
