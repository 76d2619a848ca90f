package cli

import (
	"strconv"

	"github.com/spf13/cobra"

	"github.com/pgleap/pgleap/internal/api/native/client"
)

func newInstanceDiscoverCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "discover",
		Short: "Look for clusters on the host",
		Long: `Look for clusters on the host: what postgresql-common knows, and the data directories of
running postmasters.` + exitStatus(),
		Args: arguments(),
		RunE: func(cmd *cobra.Command, _ []string) error { return runInstanceDiscover(cmd, o) },
	}
}

func runInstanceDiscover(cmd *cobra.Command, o *options) error {
	api, err := o.connect(cmd)
	if err != nil {
		return err
	}
	found, err := decode[[]client.Discovered](api.DiscoverClusters(cmd.Context()))
	if err != nil {
		return err
	}
	if o.json() {
		return printJSON(cmd.OutOrStdout(), found)
	}
	rows := [][]string{{"VERSION", "PORT", "RUNNING", "PGDATA", "OWNER", "MANAGER", "INSTANCE", "PROBLEM"}}
	for _, d := range found {
		c := d.Cluster
		rows = append(rows, []string{
			version(c.Version), strconv.Itoa(c.Port), yesNo(d.Running), c.Pgdata, c.Owner,
			string(c.Manager), orDash(d.Instance), orDash(d.Problem),
		})
	}
	return table(cmd.OutOrStdout(), rows)
}
