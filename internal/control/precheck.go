package control

import (
	"context"

	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/internal/upgrade/step"
)

// Precheck starts a run of all checks and returns its task. The report is there when it has ended.
func (c *Control) Precheck(ctx context.Context, who Actor, req UpgradeRequest) (_ upgrade.Task, err error) {
	defer func() { c.audit(ctx, who, "precheck", req.Instance, err) }()
	if err := c.refuseWhileRunning(ctx, req.Instance, upgrade.TaskPrecheck); err != nil { // before the host is asked anything
		return upgrade.Task{}, ofRecord(err)
	}
	plan, err := c.plan(ctx, req)
	if err != nil {
		return upgrade.Task{}, err
	}
	return c.start(ctx, who, upgrade.TaskPrecheck, plan)
}

// precheckArgs are the arguments of the workflow of a precheck.
func precheckArgs(plan upgrade.Plan) step.PrecheckArgs {
	return step.PrecheckArgs{Number: plan.Number, ID: plan.ID, Plan: plan}
}
