package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/pgleap/pgleap/internal/api/native/client"
)

func newAccessKeyEnableCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use:               "enable ID",
		Short:             "Enable a disabled access key again",
		Long:              "Enable a disabled access key again. Its secret is the one that it had." + exitStatus(),
		Args:              arguments("ID"),
		ValidArgsFunction: o.completeAccessKey,
		RunE:              func(cmd *cobra.Command, args []string) error { return runAccessKeyEnable(cmd, o, args[0]) },
	}
}

func runAccessKeyEnable(cmd *cobra.Command, o *options, id string) error {
	api, err := o.connect(cmd)
	if err != nil {
		return err
	}
	key, err := decode[client.AccessKey](api.EnableAccessKey(cmd.Context(), id))
	if err != nil {
		return err
	}
	if o.json() {
		return printJSON(cmd.OutOrStdout(), key)
	}
	fmt.Fprintf(cmd.OutOrStdout(), "Access key %s is enabled. It may %s.\n", key.Id, permissionOf(key.Policy).long)
	return nil
}
