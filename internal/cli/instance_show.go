package cli

import (
	"strconv"

	"github.com/spf13/cobra"

	"github.com/pgleap/pgleap/internal/upgrade"
)

func newInstanceShowCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use:               "show ID",
		Short:             "Show an instance",
		Long:              "Show an instance: its cluster and its endpoint." + exitStatus(),
		Args:              arguments("ID"),
		ValidArgsFunction: o.completeInstance,
		RunE:              func(cmd *cobra.Command, args []string) error { return runInstanceShow(cmd, o, args[0]) },
	}
}

func runInstanceShow(cmd *cobra.Command, o *options, id string) error {
	api, err := o.connect(cmd)
	if err != nil {
		return err
	}
	instance, err := decode[upgrade.Instance](api.GetInstance(cmd.Context(), id))
	if err != nil {
		return err
	}
	if o.json() {
		return printJSON(cmd.OutOrStdout(), instance)
	}
	return table(cmd.OutOrStdout(), describeInstance(instance))
}

func describeInstance(i upgrade.Instance) [][]string {
	c, e := i.Cluster, i.Endpoint
	rows := [][]string{
		{"Instance:", i.ID},
		{"Added:", timestamp(i.CreatedAt)},
		{"Host:", c.Host},
		{"Version:", version(c.Version)},
		{"Port:", strconv.Itoa(c.Port)},
		{"Data directory:", c.Pgdata},
		{"Programs:", c.Bindir},
		{"Configuration:", c.ConfigFile},
		{"Runs as:", c.Owner},
		{"Started by:", string(c.Manager)},
		{"Endpoint:", endpoint(e)},
	}
	if e.Driver != "" {
		rows = append(rows, []string{"Console:", e.Console.String()}, []string{"PgBouncer's configuration:", e.Ini})
	}
	return rows
}
