package flow

import (
	"strconv"

	"go.temporal.io/sdk/workflow"

	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/internal/upgrade/step"
)

// Return brings clients back to the source after a blue-green upgrade has ended, as long as nothing was
// written to its target. Clients stay where they are if anything speaks against it.
func Return(ctx workflow.Context, args step.ReturnArgs) (upgrade.Outcome, error) {
	t := newTask(ctx, args.Plan)
	t.source = "return" + strconv.Itoa(args.Attempt) + "-"
	if t.isOver(ctx) {
		return neverBegun()
	}
	result, err := t.returnClients(ctx, step.SwitchOverArgs{Plan: args.Plan.Back(), Attempt: args.Attempt})
	if err != nil {
		result = upgrade.Switchover{Back: true, Reason: sentence(err)}
	}
	t.recordSwitchover(ctx, result)
	if !result.Switched {
		t.enter(ctx, upgrade.PhaseFinishing)
		return t.end(ctx, upgrade.Outcome{
			Status: upgrade.StatusSucceeded, Switchover: &args.Switched, Reason: "clients stay at the target: " + result.Reason,
		})
	}
	t.enter(ctx, upgrade.PhaseCleanup)
	t.orTell(ctx, t.post(ctx, step.MoveInstance, step.MoveInstanceArgs{
		Instance: t.plan.Instance, Cluster: t.plan.Source, Endpoint: t.plan.Endpoint, Number: t.plan.Number, Returned: true,
	}))
	t.orTell(ctx, t.do(ctx, step.FenceForGood, t.plan.Back()))
	t.orTell(ctx, t.do(ctx, step.Discard, t.plan))
	return t.end(ctx, upgrade.Outcome{
		Status: upgrade.StatusCancelled, Switchover: &result,
		Reason: "clients are back at the source; nothing had been written on the target since the switch",
	})
}

// returnClients is one attempt. Its activity is not given up on: it must end in one of two ways.
func (t *task) returnClients(ctx workflow.Context, args step.SwitchOverArgs) (result upgrade.Switchover, err error) {
	t.enter(ctx, upgrade.PhaseSwitchback)
	returning, interrupt := workflow.WithCancel(ctx)
	defer interrupt()
	done := workflow.ExecuteActivity(t.unlimited(returning, step.ReturnToSource), step.ReturnToSource, args)
	selector := workflow.NewSelector(ctx)
	selector.AddReceive(t.interruptSignal, func(c workflow.ReceiveChannel, _ bool) {
		c.Receive(ctx, nil)
		interrupt()
	})
	selector.AddFuture(done, func(workflow.Future) {})
	selector.Select(ctx)
	if err := done.Get(ctx, &result); err == nil {
		return result, nil
	}
	args.SettleOnly = true
	err = t.untilDone(ctx, step.ReturnToSource, args, &result)
	return result, err
}
