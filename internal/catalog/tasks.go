package catalog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// taskColumns are those that scanTask reads, formerTaskColumns those that a record has had before migration 7.
const (
	taskColumns = formerTaskColumns + `, server`

	formerTaskColumns = `number, id, kind, instance, mode, source, target, status, phase, reason,
       progress, switchover, plan, phases, started_at, ended_at, requested_by,
       rehearsal, verification`
)

const insertTask = `
INSERT INTO task (` + taskColumns + `, target_version, statistics, clone_only, log)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, '', $10, 'null', $11, $12, $13, NULL, $14, 'null', 'null', $15, $16, $17, $18, $19)`

// CreateTask records that a task of an instance has begun, and returns it with its number and its
// id, which its plan gets too. An instance has one running upgrade at most, and one precheck: a second
// one is refused.
func (c *Catalog) CreateTask(ctx context.Context, t upgrade.Task) (upgrade.Task, error) {
	id, err := uuid.NewRandom()
	if err != nil {
		return upgrade.Task{}, fmt.Errorf("create %s: make UUID: %w", t.Kind, err)
	}
	t.ID = id.String()
	err = c.change(ctx, func(tx *sql.Tx) error {
		if err := mayStart(ctx, tx, t); err != nil {
			return err
		}
		var added time.Time
		if err := tx.QueryRowContext(ctx, selectAdded, t.Instance).Scan(instant{&added}); err != nil {
			return fmt.Errorf("find out when the instance was added: %w", err)
		}
		var err error
		if t.Number, err = next(ctx, tx, taskCounter, maxNumber); err != nil {
			return err
		}
		if err := withinPrechecks(ctx, tx, t); err != nil {
			return err
		}
		t = begun(t, added)
		_, err = tx.ExecContext(ctx, insertTask, t.Number, t.ID, t.Kind, t.Instance, t.Mode, t.Source, t.Target,
			t.Status, t.Phase, document{t.Progress}, document{t.Plan}, document{t.Phases}, instant{&t.StartedAt},
			legible(t.RequestedBy), legible(t.Server), targetVersionOf(t.Plan), statisticsOf(t.Plan), flag(isCloneOnly(t.Plan)), logLine(t.StartedAt, fmt.Sprintf("the %s begins", t.Kind)))
		if err != nil {
			return err
		}
		return touch(ctx, tx, t.Number)
	})
	if err != nil {
		return upgrade.Task{}, fmt.Errorf("create %s of instance %q: %w", t.Kind, t.Instance, err)
	}
	return t, nil
}

const selectAdded = `
SELECT created_at
  FROM instance
 WHERE id = $1`

// mayStart locks the instance, so that what holds now does until tx has ended.
func mayStart(ctx context.Context, tx *sql.Tx, t upgrade.Task) error {
	if err := lockInstance(ctx, tx, t.Instance); err != nil {
		return err
	}
	return refuseWhileRunning(ctx, tx, t.Instance, t.Kind)
}

// MaxPrechecks is how many prechecks run on a host at once: who may only look may start them, too, and each makes
// a cluster of its own to try things in.
const MaxPrechecks = 4

// withinPrechecks refuses a precheck while as many run on its host as may. Tasks get their numbers one after the
// other, so that tx knows of all that began before.
func withinPrechecks(ctx context.Context, tx *sql.Tx, t upgrade.Task) error {
	if t.Kind != upgrade.TaskPrecheck || t.Plan == nil {
		return nil
	}
	running, err := collect(ctx, tx, scanTask, selectRunningTasks, upgrade.TaskPrecheck)
	if err != nil {
		return fmt.Errorf("count running prechecks: %w", err)
	}
	host, there := t.Plan.Source.Host, 0
	for _, other := range running {
		if other.Plan != nil && other.Plan.Source.Host == host {
			there++
		}
	}
	if there < MaxPrechecks {
		return nil
	}
	return &upgrade.Refused{
		Reason: fmt.Sprintf("%d prechecks are running on host %s", there, host),
		Remedy: "wait until one of them has ended", Cause: upgrade.CauseRunning,
	}
}

// begun is the task as it is when nothing has been done yet. None begins before its instance was added, even if the clock
// has been put back since: it would pass for one of a removed instance (sinceAdded).
func begun(t upgrade.Task, added time.Time) upgrade.Task {
	if t.StartedAt.IsZero() {
		t.StartedAt = time.Now()
	}
	t.StartedAt = latest(rounded(t.StartedAt), added)
	t.Status, t.Reason, t.Switchover, t.EndedAt, t.Phases = upgrade.StatusRunning, "", nil, nil, nil
	if t.Phase != "" {
		t.Phases = enter(nil, t.Phase, t.StartedAt)
	}
	if t.Plan != nil {
		plan := *t.Plan
		plan.Number, plan.ID = t.Number, t.ID
		t.Plan = &plan
	}
	return t
}

const selectRunning = `
  SELECT number, kind
    FROM task
   WHERE instance = $1 AND status = 'running' AND ($2 = '' OR kind = $2)
ORDER BY number
   LIMIT 1`

// anyKind stands for prechecks and upgrades.
const anyKind upgrade.TaskKind = ""

func refuseWhileRunning(ctx context.Context, tx *sql.Tx, instance string, kind upgrade.TaskKind) error {
	var number int64
	var running upgrade.TaskKind
	err := tx.QueryRowContext(ctx, selectRunning, instance, kind).Scan(&number, &running)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look for running tasks: %w", err)
	}
	remedy := "wait until it has ended"
	if running == upgrade.TaskUpgrade {
		remedy += ", or cancel it: pgleap switchover " + instance + " cancel"
	}
	return &upgrade.Refused{
		Reason: fmt.Sprintf("%s %d of instance %q is running", running, number, instance),
		Remedy: remedy,
		Cause:  upgrade.CauseRunning,
	}
}

const selectTaskByNumber = `
SELECT ` + taskColumns + `
  FROM task
 WHERE number = $1`

// Task returns a task, or upgrade.NotFound.
func (c *Catalog) Task(ctx context.Context, number int64) (upgrade.Task, error) {
	t, err := scanTask(c.read.QueryRowContext(ctx, selectTaskByNumber, number))
	if err == nil {
		t, err = c.withComparison(ctx, t)
	}
	return found(t, err, "task", strconv.FormatInt(number, 10))
}

const selectTaskByID = `
SELECT ` + taskColumns + `
  FROM task
 WHERE id = $1`

// TaskByID returns the task with a UUID, or upgrade.NotFound.
func (c *Catalog) TaskByID(ctx context.Context, id string) (upgrade.Task, error) {
	t, err := scanTask(c.read.QueryRowContext(ctx, selectTaskByID, strings.ToLower(legible(id))))
	if err == nil {
		t, err = c.withComparison(ctx, t)
	}
	return found(t, err, "task", id)
}

func scanTask(r row) (upgrade.Task, error) {
	var t upgrade.Task
	var ended sql.Null[int64]
	err := r.Scan(&t.Number, &t.ID, &t.Kind, &t.Instance, &t.Mode, &t.Source, &t.Target, &t.Status, &t.Phase, &t.Reason,
		document{&t.Progress}, document{&t.Switchover}, document{&t.Plan}, document{&t.Phases},
		instant{&t.StartedAt}, &ended, &t.RequestedBy,
		document{&t.Rehearsal}, document{&t.Verification}, &t.Server)
	t.EndedAt = moment(ended)
	return t, err
}

// TaskFilter chooses tasks. What is empty does not matter.
type TaskFilter struct {
	Instance     string
	Kind         upgrade.TaskKind
	Status       upgrade.Status
	Limit        int   // at most so many
	BeforeNumber int64 // only with smaller numbers: the next page
}

// query puts the conditions together that count: only so is the index of an instance found.
func (f TaskFilter) query() (query string, args []any) {
	query = "SELECT " + taskColumns + " FROM task WHERE true"
	add := func(condition string, value any) {
		args = append(args, value)
		query += fmt.Sprintf(condition, len(args))
	}
	if f.Instance != "" {
		add(" AND instance = $%d", legible(f.Instance))
	}
	if f.Kind != "" {
		add(" AND kind = $%d", f.Kind)
	}
	if f.Status != "" {
		add(" AND status = $%d", f.Status)
	}
	if f.BeforeNumber > 0 {
		add(" AND number < $%d", f.BeforeNumber)
	}
	add(" ORDER BY number DESC LIMIT $%d", limit(f.Limit))
	return query, args
}

// Tasks returns the tasks that a filter chooses, the newest first.
func (c *Catalog) Tasks(ctx context.Context, filter TaskFilter) ([]upgrade.Task, error) {
	query, args := filter.query()
	tasks, err := collect(ctx, c.read, scanTask, query, args...)
	if err != nil {
		return nil, fmt.Errorf("read tasks: %w", err)
	}
	return tasks, nil
}

// RunningTasks returns the tasks of a kind that have not ended, the newest first. The empty kind
// stands for all.
func (c *Catalog) RunningTasks(ctx context.Context, kind upgrade.TaskKind) ([]upgrade.Task, error) {
	tasks, err := collect(ctx, c.read, scanTask, selectRunningTasks, kind)
	if err != nil {
		return nil, fmt.Errorf("read running tasks: %w", err)
	}
	return tasks, nil
}

// The status is a word of the statement, and no parameter: only so is the partial index found, and
// this is asked every second.
const selectRunningTasks = `
  SELECT ` + taskColumns + `
    FROM task
   WHERE status = 'running' AND ($1 = '' OR kind = $1)
ORDER BY number DESC`

// limit is the LIMIT of a query: none when n is not positive.
func limit(n int) int64 {
	if n <= 0 {
		return math.MaxInt64
	}
	return int64(n)
}
