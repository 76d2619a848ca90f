package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/pgleap/pgleap/internal/agentless"
	"github.com/pgleap/pgleap/internal/api/native/client"
	"github.com/pgleap/pgleap/internal/upgrade"
)

func newPrecheckCommand(o *options) *cobra.Command {
	var p precheckOptions
	cmd := &cobra.Command{
		Use:   "precheck ID --to VERSION",
		Short: "Look for everything that would stop an upgrade",
		Long: `Look for everything that would stop an upgrade, or lose data, while nothing is touched; wait for
the report and print it. The report is kept: --report NUMBER writes it once more. It is for an upgrade
with the same options.

With --dsn it looks at any server that can be reached, without a pgleap server, an agent or a registration; nothing
is kept. What SQL cannot tell is listed as not checked, so such a report never passes. Programs of the target
version that are on this machine are used for what they can tell. Leave the password to PGPASSWORD or a
password file: a command line can be read by everybody on the machine.` + exitStatus(ExitFailed, ExitIncomplete, ExitInterrupted),
		Example: `  pgleap precheck orders --to 17
  pgleap precheck orders --to 17 --file report.html
  pgleap precheck --report 4 --output markdown
  pgleap precheck --dsn postgres://postgres@db.example.org/postgres --to 17`,
		Args:              p.arguments,
		ValidArgsFunction: o.completeInstance,
		RunE:              func(cmd *cobra.Command, args []string) error { return runPrecheck(cmd, o, p, args) },
	}
	p.target.addFlags(cmd)
	p.output.addFlags(cmd)
	cmd.Flags().Int64Var(&p.report, "report", 0, "write the report of an earlier precheck again, by its `number`")
	cmd.Flags().StringVar(&p.dsn, "dsn", "", "look at the server that a connection `string` or URL leads to; libpq's environment variables count")
	cmd.Flags().StringVar(&p.bindir, "target-bindir", "", "with --dsn: `directory` with the target's programs on this machine (default: looked for)")
	cmd.MarkFlagsMutuallyExclusive("to", "report")
	cmd.MarkFlagsMutuallyExclusive("dsn", "report")
	cmd.MarkFlagsMutuallyExclusive("dsn", "target-pgdata")
	cmd.MarkFlagsMutuallyExclusive("dsn", "target-port")
	return cmd
}

// precheckOptions are the flags of a precheck.
type precheckOptions struct {
	target targetOptions
	output reportOutput
	report int64
	dsn    string
	bindir string
}

// arguments wants an instance, but for a report that is there already or a server that is not registered.
func (p *precheckOptions) arguments(cmd *cobra.Command, args []string) error {
	names := []string{"ID"}
	if p.report != 0 || p.dsn != "" {
		names = nil
	}
	if err := arguments(names...)(cmd, args); err != nil {
		return err
	}
	if p.bindir != "" && p.dsn == "" {
		return usage(cmd, errors.New("--target-bindir goes with --dsn only"))
	}
	if p.report != 0 {
		return nil
	}
	return p.target.wantVersion(cmd)
}

func runPrecheck(cmd *cobra.Command, o *options, p precheckOptions, args []string) error {
	if err := p.output.settle(cmd); err != nil {
		return err
	}
	var found upgrade.Report
	var err error
	if p.dsn != "" {
		found, err = precheckServer(cmd, p)
	} else {
		found, err = precheckInstance(cmd, o, p, args)
	}
	if err != nil {
		return err
	}
	if err := p.output.write(cmd, found); err != nil {
		return err
	}
	return judged(found)
}

// precheckInstance lets the server check an instance, or asks it for a report that it has.
func precheckInstance(cmd *cobra.Command, o *options, p precheckOptions, args []string) (upgrade.Report, error) {
	api, err := o.connect(cmd)
	if err != nil {
		return upgrade.Report{}, err
	}
	if p.report != 0 {
		return getReport(cmd.Context(), api, p.report)
	}
	task, err := decode[upgrade.Task](api.StartPrecheck(cmd.Context(), args[0], p.target.wanted))
	if err != nil {
		return upgrade.Report{}, err
	}
	task, err = follow(cmd.Context(), o.reconnect(cmd), task.Number, silent{})
	if err != nil {
		return upgrade.Report{}, err
	}
	if task.Status != upgrade.StatusSucceeded {
		return upgrade.Report{}, failed(task)
	}
	return getReport(cmd.Context(), api, task.Number)
}

// precheckServer checks a server by itself.
func precheckServer(cmd *cobra.Command, p precheckOptions) (upgrade.Report, error) {
	wanted := p.target.wanted
	modes := []upgrade.Mode{upgrade.InPlace, upgrade.BlueGreen, upgrade.ZeroDowntime}
	if !slices.Contains(modes, wanted.Mode) {
		return upgrade.Report{}, usage(cmd, fmt.Errorf("mode %q is unknown: choose one of %q", wanted.Mode, modes))
	}
	log := slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	found, err := agentless.Precheck(cmd.Context(), agentless.Request{
		ConnString: p.dsn, Target: wanted.Target, Mode: wanted.Mode, Options: wanted.Options, Bindir: p.bindir,
	}, time.Now().UTC(), log)
	if err == nil {
		return found, nil
	}
	if refused, ok := errors.AsType[*upgrade.Refused](err); ok {
		return found, &Error{Code: ExitRefused, Reason: refused.Reason, Remedy: refused.Remedy}
	}
	if cmd.Context().Err() != nil {
		return found, &Error{Code: ExitInterrupted, Reason: "interrupted"}
	}
	return found, &Error{
		Code: ExitUnreachable, Reason: "the server cannot be checked: " + inOneLine(err),
		Remedy: "see whether it runs and lets you in; passwords come from PGPASSWORD or a password file",
	}
}

// inOneLine is an error of pgx's, which tells of each attempt to connect in a line of its own: to each address, with TLS
// and without.
func inOneLine(err error) string {
	lines := strings.Split(err.Error(), "\n\t")
	if len(lines) == 1 {
		return lines[0]
	}
	return lines[0] + " " + strings.Join(slices.Compact(lines[1:]), "; ")
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
	if len(r.Blockers()) == 0 {
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
