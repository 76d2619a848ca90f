package flow

import (
	"go.temporal.io/sdk/workflow"

	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/internal/upgrade/step"
)

// Cleanup undoes an upgrade whose own workflow was lost, with the engine's file for example. The
// host refuses if clients write to the target: its journals know.
func Cleanup(ctx workflow.Context, plan upgrade.Plan) error {
	t := newTask(ctx, plan)
	t.current, t.source = upgrade.PhaseCleanup, "cleanup"
	t.orTell(ctx, t.do(ctx, step.Discard, plan))
	return nil
}
