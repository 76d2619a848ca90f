package cli

import (
	"github.com/spf13/cobra"

	"github.com/pgleap/pgleap/internal/api/native/client"
)

func newAccessKeyListCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List the access keys",
		Long:    "List the access keys, the oldest first. Their secrets are not shown." + exitStatus(),
		Args:    arguments(),
		RunE:    func(cmd *cobra.Command, _ []string) error { return runAccessKeyList(cmd, o) },
	}
}

func runAccessKeyList(cmd *cobra.Command, o *options) error {
	api, err := o.connect(cmd)
	if err != nil {
		return err
	}
	keys, err := listAccessKeys(cmd.Context(), api)
	if err != nil {
		return err
	}
	if o.json() {
		return printJSON(cmd.OutOrStdout(), keys)
	}
	return table(cmd.OutOrStdout(), keyRows(keys))
}

func keyRows(keys []client.AccessKey) [][]string {
	rows := [][]string{{"ID", "ACCOUNT", "MAY", "STATE", "CREATED", "ROTATED", "LAST USED", "DESCRIPTION"}}
	for _, k := range keys {
		state := "enabled"
		if k.Disabled {
			state = "disabled"
		}
		rows = append(rows, []string{
			k.Id, k.Account, permissionOf(k.Policy).short, state, timestamp(k.CreatedAt),
			timestampOr(k.RotatedAt, "-"), timestampOr(k.LastUsedAt, "never"), orDash(printable(k.Description)),
		})
	}
	return rows
}
