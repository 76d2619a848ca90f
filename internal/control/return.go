package control

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/sdk/client"

	"github.com/pgleap/pgleap/internal/durable"
	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/internal/upgrade/step"
)

// returnable is the last upgrade of an instance, or the one of that number, if it was a blue-green one that
// has ended with clients on its target. Those whose own workflow goes on are not meant.
func (c *Control) returnable(ctx context.Context, instanceOrNumber string) (task upgrade.Task, is bool, err error) {
	_, err = c.catalog.Instance(ctx, instanceOrNumber)
	if _, none := errors.AsType[*upgrade.NotFound](err); none {
		number, notNumber := strconv.ParseInt(instanceOrNumber, 10, 32)
		if notNumber != nil {
			return task, false, err
		}
		task, err = c.catalog.Task(ctx, number)
	} else if err == nil {
		var last []upgrade.Task
		last, err = c.catalog.Tasks(ctx, TaskFilter{Instance: instanceOrNumber, Kind: upgrade.TaskUpgrade, Limit: 1})
		if len(last) > 0 {
			task = last[0]
		}
	}
	return task, err == nil && task.Mode == upgrade.BlueGreen && task.Status == upgrade.StatusSucceeded && task.OnTarget(), err
}

// goBack has clients brought back to the source of a blue-green upgrade that has ended. Whether anything
// was written on the target since is for the host to find out.
func (c *Control) goBack(ctx context.Context, who Actor, task upgrade.Task, timeout time.Duration) (upgrade.Task, error) {
	if err := c.refuseForeign(task); err != nil {
		return upgrade.Task{}, err
	}
	if err := c.sourceIsKept(ctx, task); err != nil {
		return upgrade.Task{}, err
	}
	reopened, err := c.catalog.ReopenUpgrade(ctx, task.Number, upgrade.PhaseSwitchback, c.now())
	if err != nil {
		return upgrade.Task{}, ofRecord(conflicting(err))
	}
	ctx = context.WithoutCancel(ctx) // the record must not stay behind half made
	c.log.InfoContext(ctx, "clients are to go back", "task", task.Number, "instance", task.Instance, "by", who.Name)
	args := step.ReturnArgs{Plan: *task.Plan, Attempt: len(reopened.Phases), Switched: *task.Switchover}
	if timeout > 0 {
		args.Plan.Options.SwitchoverTimeout = timeout
	}
	if err := c.startReturn(ctx, args); err != nil {
		return c.returnDoubtful(ctx, reopened, err)
	}
	return reopened, nil
}

// returnDoubtful is what follows when the engine did not say that it has taken the way back: perhaps only
// its answer was lost. If it cannot be asked either, the record stays as it is, and the watch ends it.
func (c *Control) returnDoubtful(ctx context.Context, reopened upgrade.Task, cause error) (upgrade.Task, error) {
	asking, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	described, err := c.temporal.DescribeWorkflowExecution(asking, step.UpgradeWorkflowID(reopened.Number), "")
	_, unknown := errors.AsType[*serviceerror.NotFound](err)
	last := described.GetWorkflowExecutionInfo()
	running := last.GetStatus() == enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING
	switch {
	case running && last.GetType().GetName() == step.WorkflowReturn:
		c.log.WarnContext(ctx, "the engine has taken the task, but has not said so", "task", reopened.Number, "error", cause)
		return reopened, nil
	case unknown || running || returnNeverBegan(reopened, last): // what runs is the upgrade's own, which is about to end
		if ended := c.catalog.EndTask(ctx, reopened.Number, returnNotTaken(reopened), c.now()); ended != nil {
			c.log.ErrorContext(ctx, "task without workflow not ended", "task", reopened.Number, "error", ended)
		}
	}
	return upgrade.Task{}, noEngine(cause)
}

// returnNeverBegan tells whether an upgrade was reopened to lead clients back, and no workflow was started
// for it: the last one of its id had ended before.
func returnNeverBegan(task upgrade.Task, last *workflowpb.WorkflowExecutionInfo) bool {
	if task.Mode != upgrade.BlueGreen || task.Phase != upgrade.PhaseSwitchback || !task.OnTarget() || len(task.Phases) == 0 {
		return false
	}
	closed := last.GetCloseTime()
	return closed != nil && closed.AsTime().Before(task.Phases[len(task.Phases)-1].StartedAt)
}

// returnNotTaken is how such an upgrade ends: as it had.
func returnNotTaken(task upgrade.Task) upgrade.Outcome {
	return upgrade.Outcome{Status: upgrade.StatusSucceeded, Switchover: task.Switchover, Reason: "clients stay at the target: the engine did not take the task"}
}

// startReturn starts the workflow, under the id that the upgrade's own had: whoever speaks to that upgrade,
// or watches it, finds it there.
func (c *Control) startReturn(ctx context.Context, args step.ReturnArgs) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	id := step.UpgradeWorkflowID(args.Plan.Number)
	_, err := c.temporal.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
		ID:                       id,
		TaskQueue:                durable.ServerQueue,
		WorkflowIDReusePolicy:    enumspb.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE,
		WorkflowIDConflictPolicy: enumspb.WORKFLOW_ID_CONFLICT_POLICY_FAIL,
	}, step.WorkflowReturn, args)
	if err != nil {
		return fmt.Errorf("start workflow %s: %w", id, err)
	}
	return nil
}

// sourceIsKept wants the instance to be what the upgrade made of it, and the source not to be retired.
func (c *Control) sourceIsKept(ctx context.Context, task upgrade.Task) error {
	instance, err := c.catalog.Instance(ctx, task.Instance)
	if err != nil {
		return ofRecord(err)
	}
	recorded, err := c.catalog.FormerCluster(ctx, task.Number)
	if err != nil {
		return ofRecord(err)
	}
	switch {
	case instance.Cluster.Host != task.Plan.Target.Host || instance.Cluster.Pgdata != task.Plan.Target.Pgdata:
		return &Conflict{Reason: fmt.Sprintf("instance %s is not the target of upgrade %d any more", task.Instance, task.Number), Cause: upgrade.CausePhase}
	case recorded.RetiredAt != nil:
		return &Conflict{Reason: fmt.Sprintf("%s was retired: there is nothing to go back to", former(recorded).ID), Cause: upgrade.CauseRetired}
	}
	return nil
}
