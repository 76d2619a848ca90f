package cli

import (
	"context"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/pgleap/pgleap/internal/api/native/client"
	"github.com/pgleap/pgleap/internal/upgrade"
)

func newPrecheckCommand(o *options) *cobra.Command {
	var t targetOptions
	cmd := &cobra.Command{
		Use:   "precheck ID --to VERSION",
		Short: "Look for everything that would stop an upgrade",
		Long: `Look for everything that would stop an upgrade, or lose data, while nothing is touched; wait for
the report and print it. The report is kept, and shown again by "pgleap task show".` + exitStatus(ExitFailed, ExitInterrupted),
		Args:              arguments("ID"),
		ValidArgsFunction: o.completeInstance,
		RunE:              func(cmd *cobra.Command, args []string) error { return runPrecheck(cmd, o, args[0], t) },
	}
	t.addFlags(cmd)
	return cmd
}

func runPrecheck(cmd *cobra.Command, o *options, id string, t targetOptions) error {
	api, err := o.connect(cmd)
	if err != nil {
		return err
	}
	task, err := decode[upgrade.Task](api.StartPrecheck(cmd.Context(), id, t.request()))
	if err != nil {
		return err
	}
	task, err = follow(cmd.Context(), o.reconnect(cmd), task.Number, silent{})
	if err != nil {
		return err
	}
	if task.Status != upgrade.StatusSucceeded {
		return failed(task)
	}
	report, err := getReport(cmd.Context(), api, task.Number)
	if err != nil {
		return err
	}
	if o.json() {
		err = printJSON(cmd.OutOrStdout(), report)
	} else {
		err = printReport(cmd.OutOrStdout(), report)
	}
	if err == nil && !report.Passed() {
		err = &Error{
			Code: ExitFailed, Reason: "instance " + id + " cannot be upgraded as it is",
			Remedy: "do what the report says, then run the precheck again",
		}
	}
	return err
}

func getReport(ctx context.Context, api *client.Client, number int64) (upgrade.Report, error) {
	return decode[upgrade.Report](api.GetReport(ctx, number))
}

// failed is the failure of a task that ended in another way than the user wished.
func failed(t upgrade.Task) error {
	e := &Error{Code: ExitFailed, Reason: fmt.Sprintf("%s %d has ended (%s)", t.Kind, t.Number, t.Status)}
	if t.Reason != "" {
		e.Reason += ": " + t.Reason
	}
	e.Remedy = fmt.Sprintf("pgleap task show %d", t.Number)
	if t.Kind == upgrade.TaskUpgrade && t.Status == upgrade.StatusFailed && !begun(t) {
		e.Code = ExitRefused
	}
	return e
}

// begun tells whether an upgrade came further than its precheck: one that did not changed nothing.
func begun(t upgrade.Task) bool {
	return len(t.Phases) == 0 || slices.ContainsFunc(t.Phases, func(p upgrade.PhaseSpan) bool {
		return p.Phase != upgrade.PhasePrecheck && p.Phase != upgrade.PhaseCleanup
	})
}
