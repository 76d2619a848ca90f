package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/pgleap/pgleap/internal/api/native/client"
)

func newInstanceRemoveCommand(o *options) *cobra.Command {
	var stopEndpoint bool
	cmd := &cobra.Command{
		Use:     "remove ID",
		Aliases: []string{"rm"},
		Short:   "Forget an instance",
		Long: `Forget an instance. Its cluster is not touched. A PgBouncer that pgleap runs for it serves on,
since applications use it, unless --stop-pgbouncer is given. An adopted one is left alone.` + exitStatus(),
		Args:              arguments("ID"),
		ValidArgsFunction: o.completeInstance,
		RunE: func(cmd *cobra.Command, args []string) error {
			return runInstanceRemove(cmd, o, args[0], stopEndpoint)
		},
	}
	cmd.Flags().BoolVar(&stopEndpoint, "stop-pgbouncer", false, "stop the PgBouncer that pgleap runs for it, and remove its files")
	return cmd
}

func runInstanceRemove(cmd *cobra.Command, o *options, id string, stopEndpoint bool) error {
	api, err := o.connect(cmd)
	if err != nil {
		return err
	}
	params := &client.RemoveInstanceParams{StopEndpoint: stopEndpoint}
	removal, err := decode[client.Removal](api.RemoveInstance(cmd.Context(), id, params))
	if err != nil {
		return err
	}
	if o.json() {
		return printJSON(cmd.OutOrStdout(), removal)
	}
	fmt.Fprintf(cmd.OutOrStdout(), "Removed instance %s. Its cluster is as it was.\n", id)
	if removal.EndpointLeft && stopEndpoint {
		fmt.Fprintln(cmd.OutOrStdout(), "Its PgBouncer could not be stopped; the server's log tells why. Add the instance and remove it again to stop it.")
	}
	if removal.EndpointLeft {
		fmt.Fprintf(cmd.OutOrStdout(), "Its PgBouncer goes on serving at %s, with its files in %s.\n",
			removal.Endpoint.Listen, removal.Endpoint.Dir)
	}
	return nil
}
