package cli

import (
	"fmt"
	"strconv"

	"github.com/spf13/cobra"
)

func newInstanceListCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List the instances",
		Long:    "List the instances, and the former clusters that upgrades have left." + exitStatus(),
		Args:    arguments(),
		RunE:    func(cmd *cobra.Command, _ []string) error { return runInstanceList(cmd, o) },
	}
}

func runInstanceList(cmd *cobra.Command, o *options) error {
	api, err := o.connect(cmd)
	if err != nil {
		return err
	}
	instances, err := listInstances(cmd.Context(), api)
	if err != nil {
		return err
	}
	if o.json() {
		return printJSON(cmd.OutOrStdout(), instances)
	}
	formers, err := listFormers(cmd.Context(), api)
	if err != nil {
		return err
	}
	if len(instances) == 0 && len(formers) == 0 {
		fmt.Fprintln(cmd.OutOrStdout(), "There is no instance yet. `pgleap instance discover` looks for clusters, `pgleap instance add` takes one.")
		return nil
	}
	rows := [][]string{{"ID", "VERSION", "PORT", "PGDATA", "ENDPOINT"}}
	for _, i := range instances {
		rows = append(rows, []string{
			i.ID, version(i.Cluster.Version), strconv.Itoa(i.Cluster.Port), i.Cluster.Pgdata, endpoint(i.Endpoint),
		})
	}
	if err := table(cmd.OutOrStdout(), rows); err != nil {
		return err
	}
	return printFormers(cmd.OutOrStdout(), formers)
}
