package flow

import (
	"go.temporal.io/sdk/workflow"

	"github.com/pgleap/pgleap/internal/upgrade/step"
)

// knowStandbys tells whether the upgrade knows of standbys: one that was started by an older program
// leaves them alone.
func (t *task) knowStandbys(ctx workflow.Context) {
	t.standbys = workflow.GetVersion(ctx, "standbys", workflow.DefaultVersion, 1) >= 1
}

// buildStandbys makes the target's standbys while clients are still at the source. If the switchover is to
// wait for them, there is none without.
func (t *task) buildStandbys(ctx workflow.Context) error {
	if !t.standbys {
		return nil
	}
	required := t.plan.Options.WaitForStandbys
	err := t.do(ctx, step.BuildStandbys, step.StandbysArgs{Plan: t.plan, Required: required})
	if err == nil || required || ctx.Err() != nil {
		return err
	}
	t.orTell(ctx, err) // they are tried again after the switchover
	return nil
}

// completeStandbys makes those that are missing when clients are at the target, and restores synchronous
// replication. What cannot be done is told.
func (t *task) completeStandbys(ctx workflow.Context) {
	if t.standbys {
		t.orTell(ctx, t.do(ctx, step.BuildStandbys, step.StandbysArgs{Plan: t.plan, Serving: true}))
	}
}
