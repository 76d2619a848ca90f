package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/pgleap/pgleap/internal/api/native/client"
	"github.com/pgleap/pgleap/internal/upgrade"
)

func newInstanceCommand(o *options) *cobra.Command {
	return group("instance", "Find, add, list and remove instances",
		newInstanceDiscoverCommand(o), newInstanceAddCommand(o), newInstanceListCommand(o),
		newInstanceShowCommand(o), newInstanceRemoveCommand(o))
}

// completeInstance completes the first argument with the ids of instances.
func (o *options) completeInstance(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	api, err := o.connect(cmd)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	instances, _ := listInstances(cmd.Context(), api)
	ids := make([]string, 0, len(instances))
	for _, i := range instances {
		ids = append(ids, i.ID)
	}
	return ids, cobra.ShellCompDirectiveNoFileComp
}

func listInstances(ctx context.Context, api *client.Client) ([]upgrade.Instance, error) {
	return decode[[]upgrade.Instance](api.ListInstances(ctx))
}
