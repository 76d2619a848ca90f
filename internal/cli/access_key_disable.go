package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/pgleap/pgleap/internal/api/native/client"
)

func newAccessKeyDisableCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "disable ID",
		Short: "Disable an access key",
		Long: `Close the door to an access key: its requests are refused at once. What they have started goes on.
"pgleap access-key enable" enables it again.` + exitStatus(),
		Args:              arguments("ID"),
		ValidArgsFunction: o.completeAccessKey,
		RunE:              func(cmd *cobra.Command, args []string) error { return runAccessKeyDisable(cmd, o, args[0]) },
	}
}

func runAccessKeyDisable(cmd *cobra.Command, o *options, id string) error {
	api, err := o.connect(cmd)
	if err != nil {
		return err
	}
	key, err := decode[client.AccessKey](api.DisableAccessKey(cmd.Context(), id))
	if err != nil {
		return err
	}
	if o.json() {
		return printJSON(cmd.OutOrStdout(), key)
	}
	fmt.Fprintf(cmd.OutOrStdout(), "Access key %s is disabled: its requests are refused.\n", key.Id)
	return nil
}
