package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/pgleap/pgleap/internal/api/native/client"
)

func newAccessKeyRotateCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "rotate ID",
		Short: "Give an access key another secret, and show it",
		Long: `Give an access key another secret, and show it: this once, and never again. The former secret is
void at once. To change secrets without an interruption, make a second key and disable the first.` + exitStatus(),
		Args:              arguments("ID"),
		ValidArgsFunction: o.completeAccessKey,
		RunE:              func(cmd *cobra.Command, args []string) error { return runAccessKeyRotate(cmd, o, args[0]) },
	}
}

func runAccessKeyRotate(cmd *cobra.Command, o *options, id string) error {
	api, err := o.connect(cmd)
	if err != nil {
		return err
	}
	key, err := decode[client.AccessKey](api.RotateAccessKey(cmd.Context(), id))
	if err != nil {
		return err
	}
	out := cmd.OutOrStdout()
	if o.json() {
		return printJSON(out, key)
	}
	fmt.Fprintf(out, "Access key %s has another secret; the former one is void. It may %s.\n", key.Id, permissionOf(key.Policy).long)
	if key.Disabled {
		fmt.Fprintf(out, "It is disabled; open its door with: pgleap access-key enable %s\n", key.Id)
	}
	return printSecret(out, key)
}
