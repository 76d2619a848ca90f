package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/pgleap/pgleap/internal/api/native/client"
	"github.com/pgleap/pgleap/internal/report"
	"github.com/pgleap/pgleap/internal/upgrade"
)

func newTaskCommand(o *options) *cobra.Command {
	return group("task", "Show a precheck or an upgrade", newTaskShowCommand(o))
}

func newTaskShowCommand(o *options) *cobra.Command {
	var following bool
	cmd := &cobra.Command{
		Use:   "show NUMBER",
		Short: "Show a task: its phases, its log, its switchover or its report",
		Long: `Show a task: its phases, its log, its switchover or its report. With --follow, show what happens
until it ends, and end as it does.` + exitStatus(ExitFailed, ExitInterrupted),
		Args: arguments("NUMBER"),
		RunE: func(cmd *cobra.Command, args []string) error {
			number, err := strconv.ParseInt(args[0], 10, 32)
			if err != nil || number < 1 {
				return usage(cmd, fmt.Errorf("%q is not the number of a task", args[0]))
			}
			if following {
				return followToEnd(cmd, o, number)
			}
			return runTaskShow(cmd, o, number)
		},
	}
	cmd.Flags().BoolVarP(&following, "follow", "f", false, "show what happens until the task ends")
	return cmd
}

func runTaskShow(cmd *cobra.Command, o *options, number int64) error {
	api, err := o.connect(cmd)
	if err != nil {
		return err
	}
	ctx, out := cmd.Context(), cmd.OutOrStdout()
	task, err := decode[upgrade.Task](api.GetTask(ctx, number))
	if err != nil {
		return err
	}
	if o.json() {
		return printJSON(out, task)
	}
	events, err := allEvents(ctx, api, number)
	if err != nil {
		return err
	}
	if err := printTask(out, task, events, time.Now()); err != nil {
		return err
	}
	if err := printFindings(out, openOf(ctx, api, task)); err != nil {
		return err
	}
	return printReportOf(ctx, api, out, task)
}

// openOf is what an upgrade has left to be mended, and is still: its instance knows.
func openOf(ctx context.Context, api *client.Client, t upgrade.Task) []upgrade.OpenFinding {
	if t.Kind != upgrade.TaskUpgrade || t.Plan == nil {
		return nil
	}
	id := t.Instance
	if t.Plan.Options.CloneOnly {
		id = upgrade.CloneID(t.Instance, t.Number)
	}
	instance, err := decode[upgrade.Instance](api.GetInstance(ctx, id))
	if err != nil { // it was removed since
		return nil
	}
	return slices.DeleteFunc(instance.Findings, func(f upgrade.OpenFinding) bool { return f.Number != t.Number })
}

// allEvents reads the whole log of a task, a page at a time.
func allEvents(ctx context.Context, api *client.Client, number int64) ([]client.Event, error) {
	var all []client.Event
	for {
		params := &client.ListEventsParams{Limit: 1000}
		if len(all) > 0 {
			params.After = all[len(all)-1].Seq
		}
		page, err := decode[[]client.Event](api.ListEvents(ctx, number, params))
		all = append(all, page...)
		if err != nil || len(page) < params.Limit {
			return all, err
		}
	}
}

// printReportOf prints a task's report where that is what matters of it: of a precheck, and of an
// upgrade that came no further.
func printReportOf(ctx context.Context, api *client.Client, out io.Writer, t upgrade.Task) error {
	if t.Kind != upgrade.TaskPrecheck && t.Status != upgrade.StatusFailed {
		return nil
	}
	found, err := getReport(ctx, api, t.Number)
	if e, ok := errors.AsType[*Error](err); ok && e.Code == ExitRefused {
		return nil // there is none: it did not come that far
	}
	if err != nil || (t.Kind == upgrade.TaskUpgrade && found.Passed()) {
		return err
	}
	fmt.Fprintln(out)
	return report.Write(out, report.Table, found, reportStyle(out))
}
