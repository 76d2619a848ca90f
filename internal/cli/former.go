package cli

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"

	"github.com/pgleap/pgleap/internal/api/native/client"
)

func listFormers(ctx context.Context, api *client.Client) ([]client.Former, error) {
	return decode[[]client.Former](api.ListFormers(ctx))
}

// formersOf keeps those of one instance.
func formersOf(instance string, all []client.Former) []client.Former {
	return slices.DeleteFunc(all, func(f client.Former) bool { return f.Instance != instance })
}

// printFormers prints what instances were made of before upgrades, and nothing if there is nothing.
func printFormers(out io.Writer, formers []client.Former) error {
	if len(formers) == 0 {
		return nil
	}
	fmt.Fprint(out, "\nFormer clusters, kept after upgrades:\n")
	rows := [][]string{{"ID", "VERSION", "PORT", "PGDATA", "SINCE", "RETIRED"}}
	for _, f := range formers {
		rows = append(rows, []string{
			f.Id, version(f.Cluster.Version), strconv.Itoa(f.Cluster.Port), f.Cluster.Pgdata,
			timestamp(f.Since), timestampOr(f.RetiredAt, "no"),
		})
	}
	return table(out, rows)
}
