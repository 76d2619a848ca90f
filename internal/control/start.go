package control

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"

	"github.com/pgleap/pgleap/internal/durable"
	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/internal/upgrade/step"
)

// start writes a task down, which gives it its number, and starts its workflow. The record comes
// first: a workflow without a record would be unknown to everybody, a record without a workflow
// is ended as failed, here or, if we die in between, by the watch.
func (c *Control) start(ctx context.Context, who Actor, kind upgrade.TaskKind, plan upgrade.Plan, notes ...string) (upgrade.Task, error) {
	task, err := c.catalog.CreateTask(ctx, upgrade.Task{
		Kind: kind, Instance: plan.Instance, Mode: plan.Mode,
		Source: plan.Source.Version, Target: plan.Target.Version.Major(),
		Status: upgrade.StatusRunning, Phase: upgrade.PhasePrecheck,
		Plan: &plan, StartedAt: c.now(), RequestedBy: who.Name, Server: c.server,
	})
	if err != nil {
		return upgrade.Task{}, ofRecord(conflicting(err))
	}
	// From here on the task must not be left behind half made because the caller went away.
	ctx = context.WithoutCancel(ctx)
	c.log.InfoContext(ctx, "task started", "task", task.Number, "kind", kind, "instance", task.Instance, "by", who.Name)
	if err := c.begin(ctx, task, notes); err != nil {
		return c.startDoubtful(ctx, task, err)
	}
	return task, nil
}

// startTimeout is how long a task may take from its record to the engine's word that it has its workflow. It must be
// shorter than lostAfter, or the watch would take a task that is about to begin for lost.
const startTimeout = 10 * time.Second

// begin puts notes into the log of a task, and starts its workflow.
func (c *Control) begin(ctx context.Context, task upgrade.Task, notes []string) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	if err := c.note(ctx, task, notes); err != nil {
		return err
	}
	return c.startWorkflow(ctx, task)
}

// note puts what was found out before the task began at the head of its log.
func (c *Control) note(ctx context.Context, task upgrade.Task, notes []string) error {
	events := make([]upgrade.Event, 0, len(notes))
	for _, text := range notes {
		events = append(events, upgrade.Event{At: c.now(), Level: upgrade.LevelInfo, Phase: task.Phase, Text: text})
	}
	return c.catalog.AppendEvents(ctx, task.Number, "control", events)
}

// startWorkflow starts the workflow of a task. Its id is used once, ever.
func (c *Control) startWorkflow(ctx context.Context, task upgrade.Task) error {
	name, argument, err := c.workflow(ctx, task)
	if err != nil {
		return err
	}
	_, err = c.temporal.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
		ID:                       workflowID(task),
		TaskQueue:                durable.ServerQueue,
		WorkflowIDReusePolicy:    enumspb.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE,
		WorkflowIDConflictPolicy: enumspb.WORKFLOW_ID_CONFLICT_POLICY_FAIL,
	}, name, argument)
	if err != nil {
		return fmt.Errorf("start workflow %s: %w", workflowID(task), err)
	}
	return nil
}

// workflow is what carries a task out, with its argument.
func (c *Control) workflow(ctx context.Context, task upgrade.Task) (name string, argument any, err error) {
	plan := *task.Plan
	switch {
	case task.Kind == upgrade.TaskPrecheck:
		return step.WorkflowPrecheck, precheckArgs(plan), nil
	case plan.Mode == upgrade.InPlace:
		instance, err := c.catalog.Instance(ctx, plan.Instance)
		return step.WorkflowInPlace, step.InPlaceUpgradeArgs{Plan: plan, Window: instance.Window}, ofRecord(err)
	case plan.Mode == upgrade.BlueGreen:
		instance, err := c.catalog.Instance(ctx, plan.Instance)
		return step.WorkflowBlueGreen, step.BlueGreenArgs{Plan: plan, Window: instance.Window}, ofRecord(err)
	}
	return step.WorkflowZeroDowntime, plan, nil
}

// startCleanup has a lost upgrade undone, and its task ended. One that is being undone already is left to it.
func (c *Control) startCleanup(ctx context.Context, task upgrade.Task, reason string) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	id := step.CleanupWorkflowID(task.Number)
	_, err := c.temporal.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
		ID:                       id,
		TaskQueue:                durable.ServerQueue,
		WorkflowIDReusePolicy:    enumspb.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE,
		WorkflowIDConflictPolicy: enumspb.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING,
	}, step.WorkflowCleanup, *task.Plan, wentBack(task), step.Lost{Reason: reason, Reopened: reopened(task)})
	if err != nil {
		return fmt.Errorf("start workflow %s: %w", id, err)
	}
	return nil
}

// wentBack tells whether an upgrade has ever been about to lead clients back.
func wentBack(task upgrade.Task) bool {
	return slices.ContainsFunc(task.Phases, func(span upgrade.PhaseSpan) bool { return span.Phase == upgrade.PhaseSwitchback })
}

// reopened tells whether an upgrade had ended, and was to lead clients back since: the way back of one whose sides do
// not follow each other.
func reopened(task upgrade.Task) bool { return task.Mode == upgrade.BlueGreen && wentBack(task) }

func workflowID(task upgrade.Task) string {
	if task.Kind == upgrade.TaskPrecheck {
		return step.PrecheckWorkflowID(task.Number)
	}
	return step.UpgradeWorkflowID(task.Number)
}

// startDoubtful is what follows when the engine did not say that it has taken a task: perhaps only its answer was
// lost. If it cannot be asked either, the task is the answer all the same, for it may be running: whoever asked needs
// its number, and a client that repeats its request must get that, and no second task. The watch ends it if the engine
// turns out not to know it.
func (c *Control) startDoubtful(ctx context.Context, task upgrade.Task, cause error) (upgrade.Task, error) {
	asking, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	_, err := c.temporal.DescribeWorkflowExecution(asking, workflowID(task), "")
	if err == nil {
		c.log.WarnContext(ctx, "the engine has taken the task, but has not said so", "task", task.Number, "error", cause)
		return task, nil
	}
	if _, unknown := errors.AsType[*serviceerror.NotFound](err); !unknown {
		c.log.WarnContext(ctx, "the engine has not said whether it has taken the task", "task", task.Number, "error", cause, "asked", err)
		return task, nil
	}
	c.endUnstarted(ctx, task, cause)
	return upgrade.Task{}, &Unavailable{
		Reason: fmt.Sprintf("the engine did not take task %d", task.Number),
		Remedy: "see the server's log, then try again",
		Cause:  upgrade.CauseEngine,
		Err:    cause,
	}
}

// endUnstarted ends a task whose workflow the engine does not know. One that comes to life after all ends itself, since
// its task has; one that looked for that just before is cancelled. If the record does not answer, the watch ends it.
func (c *Control) endUnstarted(ctx context.Context, task upgrade.Task, cause error) {
	outcome := upgrade.Outcome{Status: upgrade.StatusFailed, Reason: "The engine did not take the task: " + cause.Error()}
	ending, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	if err := c.catalog.EndTask(ending, task.Number, outcome, c.now()); err != nil {
		c.log.ErrorContext(ctx, "task without workflow not ended", "task", task.Number, "error", err)
	}
	signal, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	if err := c.temporal.SignalWorkflow(signal, workflowID(task), "", step.SignalCancel, nil); err == nil {
		c.log.WarnContext(ctx, "the engine took a task late, and it is cancelled", "task", task.Number)
	}
}
