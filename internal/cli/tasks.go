package cli

import (
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/pgleap/pgleap/internal/api/native/client"
	"github.com/pgleap/pgleap/internal/report"
	"github.com/pgleap/pgleap/internal/upgrade"
)

func newTasksCommand(o *options) *cobra.Command {
	params := client.ListTasksParams{Limit: 50}
	var status string
	cmd := &cobra.Command{
		Use:               "tasks [ID]",
		Short:             "List prechecks and upgrades, the newest first",
		Long:              "List prechecks and upgrades, of all instances or of one, the newest first." + exitStatus(),
		ValidArgsFunction: o.completeInstance,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 {
				return arguments("ID")(cmd, args)
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				params.Instance = args[0]
			}
			params.Status = client.ListTasksParamsStatus(status)
			return runTasks(cmd, o, params)
		},
	}
	cmd.Flags().StringVar(&status, "status", "", "only running, succeeded, failed or cancelled ones")
	cmd.Flags().IntVar(&params.Limit, "limit", params.Limit, "at most so many")
	return cmd
}

func runTasks(cmd *cobra.Command, o *options, params client.ListTasksParams) error {
	api, err := o.connect(cmd)
	if err != nil {
		return err
	}
	tasks, err := decode[[]upgrade.Task](api.ListTasks(cmd.Context(), &params))
	if err != nil {
		return err
	}
	if o.json() {
		return printJSON(cmd.OutOrStdout(), tasks)
	}
	return table(cmd.OutOrStdout(), taskRows(tasks, time.Now()))
}

func taskRows(tasks []upgrade.Task, now time.Time) [][]string {
	rows := [][]string{{"TASK", "KIND", "INSTANCE", "FROM", "TO", "STATUS", "PHASE", "STARTED", "TOOK", "PAUSE"}}
	for _, t := range tasks {
		ended := now
		if t.EndedAt != nil {
			ended = *t.EndedAt
		}
		paused := "-"
		if t.OnTarget() {
			paused = report.Pause(t.Switchover.Pause)
		}
		rows = append(rows, []string{
			strconv.FormatInt(t.Number, 10), string(t.Kind), t.Instance, version(t.Source), fmt.Sprint(t.Target),
			string(t.Status), string(t.Phase), timestamp(t.StartedAt), report.Span(ended.Sub(t.StartedAt)), paused,
		})
	}
	return rows
}
