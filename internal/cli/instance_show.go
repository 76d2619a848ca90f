package cli

import (
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/pgleap/pgleap/internal/api/native/client"
	"github.com/pgleap/pgleap/internal/upgrade"
)

func newInstanceShowCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use:               "show ID",
		Short:             "Show an instance",
		Long:              "Show an instance: its cluster, its endpoint, and the former clusters that its upgrades have left." + exitStatus(),
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
	all, err := listFormers(cmd.Context(), api)
	if err != nil {
		return err
	}
	formers := formersOf(id, all)
	if o.json() {
		return printJSON(cmd.OutOrStdout(), shownInstance{instance, formers})
	}
	if err := table(cmd.OutOrStdout(), describeInstance(instance)); err != nil {
		return err
	}
	if err := printFindings(cmd.OutOrStdout(), instance.Findings); err != nil {
		return err
	}
	return printFormers(cmd.OutOrStdout(), formers)
}

// shownInstance is what is shown as JSON.
type shownInstance struct {
	upgrade.Instance

	Formers []client.Former `json:"formers,omitempty"`
}

func describeInstance(i upgrade.Instance) [][]string {
	c, e := i.Cluster, i.Endpoint
	rows := [][]string{
		{"Instance:", i.ID},
		{"UUID:", orDash(i.UUID)},
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
	if i.Window != nil {
		rows = append(rows, []string{"Maintenance window:", i.Window.String()})
	}
	if i.Hooks != nil {
		rows = append(rows, []string{"Run before a switch:", orDash(i.Hooks.Before)}, []string{"Run after a switch:", orDash(i.Hooks.After)})
	}
	if b := i.Backup; b != nil {
		rows = append(rows, []string{"Base backup:", fmt.Sprintf(
			"none of version %s yet, since upgrade %d at %s; confirm it with --base-backup-taken", version(b.Version), b.Number, timestamp(b.Since))})
	}
	if e.Driver != "" {
		rows = append(rows, []string{"Console:", e.Console.String()}, []string{"PgBouncer's configuration:", e.Ini})
	}
	return rows
}
