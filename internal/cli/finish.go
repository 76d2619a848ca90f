package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/pgleap/pgleap/internal/api/native/client"
	"github.com/pgleap/pgleap/internal/upgrade"
)

func newFinishCommand(o *options) *cobra.Command {
	var retire, yes bool
	cmd := &cobra.Command{
		Use:   "finish ID",
		Short: "Give up the way back, and end the upgrade",
		Long: `Give up the way back of an upgrade that has switched over (ID may be its number, too), and end it:
what pgleap made for the replication is removed on both sides. The source stays, fenced; with
--retire it is stopped for good. Its data stay where they are.` + exitStatus(ExitFailed, ExitInterrupted),
		Args:              arguments("ID"),
		ValidArgsFunction: o.completeInstance,
		RunE: func(cmd *cobra.Command, args []string) error {
			if !yes {
				return &Error{
					Code: ExitRefused, Reason: "there is no way back to the source after this",
					Remedy: cmd.CommandPath() + " " + args[0] + " --yes",
				}
			}
			return runFinish(cmd, o, args[0], retire)
		},
	}
	cmd.Flags().BoolVar(&retire, "retire", false, "stop the source for good, too")
	cmd.Flags().BoolVar(&yes, "yes", false, "give the way back up; without this only say what it would be")
	return cmd
}

func runFinish(cmd *cobra.Command, o *options, id string, retire bool) error {
	api, err := o.connect(cmd)
	if err != nil {
		return err
	}
	request := client.SwitchoverRequest{Verb: client.SwitchoverRequestVerbFinish, Retire: retire}
	before, err := decode[upgrade.Task](api.SwitchOver(cmd.Context(), id, request))
	if err != nil {
		return err
	}
	task, err := follow(cmd.Context(), o.reconnect(cmd), before.Number, silent{})
	if err != nil {
		return err
	}
	if o.json() {
		err = printJSON(cmd.OutOrStdout(), task)
	} else {
		fmt.Fprintf(cmd.OutOrStdout(), "Upgrade %d has ended: %s.\n", task.Number, task.Status)
	}
	if err == nil && task.Status != upgrade.StatusSucceeded {
		err = failed(task)
	}
	return err
}
