package flow

import (
	"go.temporal.io/sdk/workflow"

	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/internal/upgrade/step"
)

// Precheck runs all checks and stores the report. It touches nothing, so a failure needs no undoing.
func Precheck(ctx workflow.Context, args step.PrecheckArgs) (upgrade.Report, error) {
	t := newTask(ctx, args.Plan)
	t.plan.Number = args.Number
	work := t.untilCancelled(ctx)
	t.enter(ctx, upgrade.PhasePrecheck)
	var report upgrade.Report
	outcome := upgrade.Outcome{Status: upgrade.StatusSucceeded}
	switch err := t.onHost(work, step.Precheck, args, &report); {
	case t.cancelled:
		outcome = upgrade.Outcome{Status: upgrade.StatusCancelled, Reason: "cancelled by the user"}
	case err != nil:
		outcome = upgrade.Outcome{Status: upgrade.StatusFailed, Reason: sentence(err)}
	default:
		if err := t.onServer(ctx, step.SaveReport, report); err != nil {
			return report, err
		}
	}
	_, err := t.end(ctx, outcome)
	return report, err
}
