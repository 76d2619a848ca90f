package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/pgleap/pgleap/internal/upgrade"
)

func newInstanceSetCommand(o *options) *cobra.Command {
	var window string
	cmd := &cobra.Command{
		Use:   "set ID --window HH:MMZ-HH:MMZ",
		Short: "Set the maintenance window of an instance",
		Long: `Set the maintenance window of an instance: the time of day, in UTC, that is meant for work on it. The
vendors' APIs tell it to their clients. A window whose end is before its start ends on the next day.` + exitStatus(),
		Example:           `  pgleap instance set orders --window 22:00Z-02:00Z`,
		Args:              arguments("ID"),
		ValidArgsFunction: o.completeInstance,
		RunE: func(cmd *cobra.Command, args []string) error {
			w, err := upgrade.ParseWindow(window)
			if err != nil {
				return usage(cmd, err)
			}
			return runInstanceSet(cmd, o, args[0], w)
		},
	}
	cmd.Flags().StringVar(&window, "window", "", "maintenance `window`, in UTC")
	cmd.MarkFlagRequired("window") //nolint:errcheck // fails for an unknown flag only
	return cmd
}

func runInstanceSet(cmd *cobra.Command, o *options, id string, window upgrade.Window) error {
	api, err := o.connect(cmd)
	if err != nil {
		return err
	}
	instance, err := decode[upgrade.Instance](api.SetWindow(cmd.Context(), id, window))
	if err != nil {
		return err
	}
	if o.json() {
		return printJSON(cmd.OutOrStdout(), instance)
	}
	fmt.Fprintf(cmd.OutOrStdout(), "The maintenance window of instance %s is %s.\n", id, window)
	return nil
}
