package control

import (
	"context"
	"errors"
	"fmt"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"

	"github.com/pgleap/pgleap/internal/catalog"
	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/internal/upgrade/step"
)

const (
	watchInterval = time.Second
	// lostAfter is how long a workflow may be gone before its task is taken for lost: the
	// workflow ends its record just before itself, and starts just after it.
	lostAfter = 15 * time.Second
)

// Watch follows this server's running tasks until ctx is done: every second it copies where their steps
// stand from the heart-beats into the record, and it ends tasks whose workflow is gone.
func (c *Control) Watch(ctx context.Context) {
	w := &watch{Control: c, tasks: map[int64]*watched{}}
	ticker := time.NewTicker(watchInterval)
	defer ticker.Stop()
	go c.forgetExpired(ctx)
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			w.round(ctx)
		}
	}
}

// forgetInterval is how often it is looked for what requests have left behind, trimInterval how often
// whether there are too many calls: that takes a while where there are.
const forgetInterval, trimInterval = time.Minute, time.Hour

// forgetExpired deletes nonces, client tokens and calls that nobody asks for any more.
func (c *Control) forgetExpired(ctx context.Context) {
	ticker := time.NewTicker(forgetInterval)
	defer ticker.Stop()
	trim := time.NewTicker(trimInterval)
	defer trim.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-trim.C:
			if err := c.catalog.TrimCalls(ctx, catalog.MaxCalls); err != nil && ctx.Err() == nil {
				c.log.WarnContext(ctx, "old calls not deleted", "error", err)
			}
			continue
		case <-ticker.C:
		}
		for more := true; more && ctx.Err() == nil; {
			var err error
			if more, err = c.catalog.ForgetExpired(ctx, c.now()); err != nil && ctx.Err() == nil {
				c.log.WarnContext(ctx, "expired nonces and calls not deleted", "error", err)
			}
		}
	}
}

// watch is what Watch remembers from one round to the next.
type watch struct {
	*Control
	tasks   map[int64]*watched
	failing bool // so that a failure is logged once, and not every second
}

// watched is what is known of one running task.
type watched struct {
	progress  time.Time // of the newest progress that is in the record
	goneSince time.Time // the workflow is gone; zero: it is there
}

func (w *watch) round(ctx context.Context) {
	err := w.look(ctx)
	if err != nil && ctx.Err() == nil && !w.failing {
		w.log.WarnContext(ctx, "progress of running tasks not read", "error", err)
	}
	w.failing = err != nil
}

// look goes through the running tasks once.
func (w *watch) look(ctx context.Context) error {
	running, err := w.catalog.RunningTasks(ctx, "")
	if err != nil {
		return err
	}
	still := make(map[int64]*watched, len(running))
	var errs []error
	for _, task := range running {
		if !w.isOurs(task) {
			continue
		}
		seen := w.tasks[task.Number]
		if seen == nil {
			seen = &watched{}
		}
		still[task.Number] = seen
		if err := w.follow(ctx, task, seen); err != nil {
			errs = append(errs, fmt.Errorf("follow task %d: %w", task.Number, err))
		}
	}
	w.tasks = still
	return errors.Join(errs...)
}

// follow looks at one task.
func (w *watch) follow(ctx context.Context, task upgrade.Task, seen *watched) error {
	described, runs, err := w.describe(ctx, workflowID(task))
	if err != nil {
		return err
	}
	if !runs {
		last := described.GetWorkflowExecutionInfo()
		if described, runs, err = w.describe(ctx, step.CleanupWorkflowID(task.Number)); err != nil {
			return err
		}
		if !runs {
			return w.lost(ctx, task, seen, last)
		}
	}
	seen.goneSince = time.Time{}
	progress, ok := w.newest(task.Phase, described.GetPendingActivities())
	if !ok || !progress.At.After(seen.progress) {
		return nil
	}
	if err := w.catalog.SetProgress(ctx, task.Number, progress); err != nil {
		return err
	}
	if progress.Lag != nil {
		if err := w.catalog.AppendLag(ctx, task.Number, progress.At, *progress.Lag); err != nil {
			return err
		}
	}
	seen.progress = progress.At
	return nil
}

// describe returns what the engine knows of a workflow, and whether that runs; nil: it does not know it.
func (w *watch) describe(ctx context.Context, id string) (_ *workflowservice.DescribeWorkflowExecutionResponse, runs bool, _ error) {
	described, err := w.temporal.DescribeWorkflowExecution(ctx, id, "")
	if _, unknown := errors.AsType[*serviceerror.NotFound](err); unknown {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	return described, described.GetWorkflowExecutionInfo().GetStatus() == enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING, nil
}

// newest returns the newest progress among the steps under way. What runs beside following the lag, a
// verification, has its say in the text, whether the lag can be measured or not.
func (w *watch) newest(phase upgrade.Phase, pending []*workflowpb.PendingActivityInfo) (upgrade.Progress, bool) {
	var newest, following upgrade.Progress
	for _, activity := range pending {
		p, ok := w.standing(phase, activity)
		if !ok {
			continue
		}
		if followsLag(p) && p.At.After(following.At) {
			following = p
		} else if !followsLag(p) && p.At.After(newest.At) {
			newest = p
		}
	}
	if following.At.IsZero() {
		return newest, !newest.At.IsZero()
	}
	if newest.Text != "" {
		following.Text += "; " + newest.Text
	}
	return following, true
}

// followsLag tells whether it is a step that measures how far the target is behind.
func followsLag(p upgrade.Progress) bool {
	return p.Step == step.Synchronize || p.Step == step.FollowSource
}

// Interrupted tells whether it is not known how far the target of a task is behind that synchronizes: replication may
// be interrupted. What has not been measured yet is not.
func Interrupted(task upgrade.Task) bool {
	p := task.Progress
	return task.Phase == upgrade.PhaseSynchronizing && p != nil && followsLag(*p) && p.Lag == nil && p.Text != ""
}

// lost ends a task whose workflow has been gone for a while without having ended its record: its
// engine's file was thrown away, or somebody terminated it. One whose way back never began ends as it had
// before. An upgrade is undone first: its slots would fill the source's disk, and what is still to be undone of it would
// take a next one apart. last is what the engine knows of its last workflow; nil: nothing.
func (w *watch) lost(ctx context.Context, task upgrade.Task, seen *watched, last *workflowpb.WorkflowExecutionInfo) error {
	now := w.now()
	if seen.goneSince.IsZero() {
		seen.goneSince = now
	}
	if now.Sub(seen.goneSince) < lostAfter {
		return nil
	}
	if returnNeverBegan(task, last) {
		w.log.WarnContext(ctx, "the way back was asked for, and never began", "task", task.Number)
		return w.catalog.EndTask(ctx, task.Number, returnNotTaken(task), now)
	}
	why := "the engine does not know it"
	if last != nil {
		why = fmt.Sprintf("the engine says %q", last.GetStatus())
	}
	reason := fmt.Sprintf("The workflow of this %s is gone (%s).", task.Kind, why)
	w.log.ErrorContext(ctx, "task lost its workflow", "task", task.Number, "reason", reason)
	if task.Kind == upgrade.TaskUpgrade && task.Plan != nil {
		return w.startCleanup(ctx, task, reason) // if that fails it is tried again: the task is still running
	}
	return w.catalog.EndTask(ctx, task.Number, upgrade.Outcome{Status: upgrade.StatusFailed, Reason: reason}, now)
}
