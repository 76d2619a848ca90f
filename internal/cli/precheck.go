package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/pgleap/pgleap/internal/api/native/client"
	"github.com/pgleap/pgleap/internal/upgrade"
)

func newPrecheckCommand(o *options) *cobra.Command {
	var p precheckOptions
	cmd := &cobra.Command{
		Use:   "precheck ID --to VERSION",
		Short: "Look for everything that would stop an upgrade",
		Long: `Look for everything that would stop an upgrade, or lose data, while nothing is touched; wait for
the report and print it. The report is kept: --report NUMBER writes it once more.` + exitStatus(ExitFailed, ExitIncomplete, ExitInterrupted),
		Example: `  pgleap precheck orders --to 17
  pgleap precheck orders --to 17 --file report.html
  pgleap precheck --report 4 --output markdown`,
		Args:              p.arguments,
		ValidArgsFunction: o.completeInstance,
		RunE:              func(cmd *cobra.Command, args []string) error { return runPrecheck(cmd, o, p, args) },
	}
	p.target.addFlags(cmd)
	p.output.addFlags(cmd)
	cmd.Flags().Int64Var(&p.report, "report", 0, "write the report of an earlier precheck again, by its `number`")
	cmd.MarkFlagsMutuallyExclusive("to", "report")
	return cmd
}

// precheckOptions are the flags of a precheck.
type precheckOptions struct {
	target targetOptions
	output reportOutput
	report int64
}

// arguments wants an instance, but for a report that is there already.
func (p *precheckOptions) arguments(cmd *cobra.Command, args []string) error {
	if p.report != 0 {
		return arguments()(cmd, args)
	}
	if err := arguments("ID")(cmd, args); err != nil || p.target.to != 0 {
		return err
	}
	return usage(cmd, errors.New("required flag(s) \"to\" not set"))
}

func runPrecheck(cmd *cobra.Command, o *options, p precheckOptions, args []string) error {
	if err := p.output.settle(cmd); err != nil {
		return err
	}
	api, err := o.connect(cmd)
	if err != nil {
		return err
	}
	number := p.report
	if number == 0 {
		task, err := decode[upgrade.Task](api.StartPrecheck(cmd.Context(), args[0], p.target.request()))
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
		number = task.Number
	}
	found, err := getReport(cmd.Context(), api, number)
	if err != nil {
		return err
	}
	if err := p.output.write(cmd, found); err != nil {
		return err
	}
	return judged(found)
}

// judged is the error that a report comes to; nil when an upgrade may begin.
func judged(r upgrade.Report) error {
	if r.Passed() {
		return nil
	}
	e := &Error{
		Code: ExitFailed, Reason: r.Instance + " cannot be upgraded as it is",
		Remedy: "do what the report says, then run the precheck again",
	}
	if !slices.ContainsFunc(r.Findings, func(f upgrade.Finding) bool { return f.Severity == upgrade.Blocker }) {
		e.Code, e.Reason = ExitIncomplete, "nothing was found that stops an upgrade of "+r.Instance+", but not everything could be checked"
		e.Remedy = "see what the report has under \"Not checked\""
	}
	return e
}

func getReport(ctx context.Context, api *client.Client, number int64) (upgrade.Report, error) {
	return decode[upgrade.Report](api.GetReport(ctx, number, &client.GetReportParams{}))
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
