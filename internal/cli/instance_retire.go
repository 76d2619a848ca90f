package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/pgleap/pgleap/internal/api/native/client"
)

func newInstanceRetireCommand(o *options) *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use:   "retire FORMER-ID",
		Short: "Stop what an instance was before an upgrade",
		Long: `Stop what an instance was before an upgrade: its former cluster, which is fenced and runs until
then. "pgleap instance list" has the ids, such as orders-old-7. Its data stay where they are, and
are yours to remove.` + exitStatus(),
		Args:              arguments("FORMER-ID"),
		ValidArgsFunction: o.completeFormer,
		RunE:              func(cmd *cobra.Command, args []string) error { return runInstanceRetire(cmd, o, args[0], yes) },
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "stop the server; without this only say what would be stopped")
	return cmd
}

func runInstanceRetire(cmd *cobra.Command, o *options, id string, yes bool) error {
	api, err := o.connect(cmd)
	if err != nil {
		return err
	}
	if !yes {
		return askFirst(cmd, api, id)
	}
	former, err := decode[client.Former](api.RetireFormer(cmd.Context(), id))
	if err != nil {
		return err
	}
	if o.json() {
		return printJSON(cmd.OutOrStdout(), former)
	}
	fmt.Fprintf(cmd.OutOrStdout(), "Retired %s: its server is stopped for good. Its data are in %s as they were.\n", id, former.Cluster.Pgdata)
	return nil
}

// askFirst says what would be stopped, and refuses to stop it.
func askFirst(cmd *cobra.Command, api *client.Client, id string) error {
	former, err := decode[client.Former](api.GetFormer(cmd.Context(), id))
	if err != nil {
		return err
	}
	if former.RetiredAt != nil {
		return &Error{Code: ExitRefused, Reason: id + " was retired already"}
	}
	return &Error{
		Code: ExitRefused, Reason: fmt.Sprintf("this would stop %s for good", former.Cluster),
		Remedy: cmd.CommandPath() + " " + id + " --yes",
	}
}

func (o *options) completeFormer(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	return o.completeFirst(cmd, args, func(ctx context.Context, api *client.Client) []string {
		formers, _ := listFormers(ctx, api)
		var ids []string
		for _, f := range formers {
			if f.RetiredAt == nil {
				ids = append(ids, f.Id)
			}
		}
		return ids
	})
}
