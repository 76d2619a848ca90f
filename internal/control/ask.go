package control

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"github.com/pgleap/pgleap/internal/durable"
	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/internal/upgrade/step"
)

// askTimeout bounds a question as a whole. The workflow's own deadlines add up to a minute; this
// one ends the wait when no server carries out workflows.
const askTimeout = 70 * time.Second

// ask has a short activity carried out by the agent of a host and decodes its result into answer.
// What the agent has to say against it is a *upgrade.Refused; no answer is an *Unavailable.
func (c *Control) ask(ctx context.Context, host, activity string, argument, answer any) error {
	if err := c.refuseElsewhere(host); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout+5*time.Second)
	defer cancel()
	run, err := c.temporal.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
		ID:                       "ask-" + rand.Text(),
		TaskQueue:                durable.ServerQueue,
		WorkflowExecutionTimeout: askTimeout,
		WorkflowIDReusePolicy:    enumspb.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE,
		WorkflowIDConflictPolicy: enumspb.WORKFLOW_ID_CONFLICT_POLICY_FAIL,
	}, step.WorkflowAsk, step.Question{Host: host, Activity: activity, Argument: argument})
	if err != nil {
		return noEngine(fmt.Errorf("ask host %s for %s: %w", host, activity, err))
	}
	if answer == nil {
		return answered(host, activity, run.Get(ctx, nil))
	}
	return answered(host, activity, run.Get(ctx, answer))
}

// answered translates the failure of a question.
func answered(host, activity string, err error) error {
	if err == nil {
		return nil
	}
	if app, ok := errors.AsType[*temporal.ApplicationError](err); ok {
		return refusal(app)
	}
	_, late := errors.AsType[*temporal.TimeoutError](err)
	if late || errors.Is(err, context.DeadlineExceeded) {
		return &Unavailable{
			Reason: fmt.Sprintf("the agent of host %s does not answer (%s)", host, activity),
			Remedy: "see whether pgleap runs there and what its log says, then try again",
			Cause:  upgrade.CauseAgent,
			Err:    err,
		}
	}
	return fmt.Errorf("ask host %s for %s: %w", host, activity, err)
}

// refusal returns what an activity refused, or failed with after its retries. A question changes
// nothing, so both mean the same to whoever asked: it cannot be done as things are. A refusal's
// two parts travel as the error's details; other failures have only a message, and are nobody's fault who asked.
func refusal(app *temporal.ApplicationError) *upgrade.Refused {
	var r upgrade.Refused
	if app.HasDetails() && app.Details(&r) == nil && r.Reason != "" {
		return &r
	}
	if app.Type() == "Refused" { // by an older agent
		return &upgrade.Refused{Reason: app.Message()}
	}
	return &upgrade.Refused{Reason: app.Message(), Cause: upgrade.CauseFailed}
}
