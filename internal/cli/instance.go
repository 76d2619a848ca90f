package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/pgleap/pgleap/internal/api/native/client"
	"github.com/pgleap/pgleap/internal/upgrade"
)

func newInstanceCommand(o *options) *cobra.Command {
	return group("instance", "Find, add, list and remove instances, and retire what upgrades have left",
		newInstanceDiscoverCommand(o), newInstanceAddCommand(o), newInstanceListCommand(o),
		newInstanceShowCommand(o), newInstanceSetCommand(o), newInstanceRecheckCommand(o), newInstanceRemoveCommand(o), newInstanceRetireCommand(o))
}

// completeInstance completes the first argument with the ids of instances.
func (o *options) completeInstance(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	return o.completeFirst(cmd, args, func(ctx context.Context, api *client.Client) []string {
		instances, _ := listInstances(ctx, api)
		ids := make([]string, 0, len(instances))
		for _, i := range instances {
			ids = append(ids, i.ID)
		}
		return ids
	})
}

// completeFirst completes the first argument with ids that the server knows, if it can be asked.
func (o *options) completeFirst(cmd *cobra.Command, args []string, ids func(context.Context, *client.Client) []string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	api, err := o.connect(cmd)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return ids(cmd.Context(), api), cobra.ShellCompDirectiveNoFileComp
}

func listInstances(ctx context.Context, api *client.Client) ([]upgrade.Instance, error) {
	return decode[[]upgrade.Instance](api.ListInstances(ctx))
}
