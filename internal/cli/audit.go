package cli

import (
	"github.com/spf13/cobra"

	"github.com/pgleap/pgleap/internal/api/native/client"
)

func newAuditCommand(o *options) *cobra.Command {
	var calls bool
	limit := 50
	cmd := &cobra.Command{
		Use:   "audit",
		Short: "Show who asked for what, and what came of it",
		Long: `Show who asked for what, and what came of it, the newest first: whatever was to change something,
through whichever API. With --calls, show the calls of the vendors' APIs instead, questions and
refused calls too; they are kept for 30 days.` + exitStatus(),
		Args: arguments(),
		RunE: func(cmd *cobra.Command, _ []string) error { return runAudit(cmd, o, limit, calls) },
	}
	cmd.Flags().BoolVar(&calls, "calls", false, "the calls of the vendors' APIs")
	cmd.Flags().IntVar(&limit, "limit", limit, "at most so many, up to 1000")
	return cmd
}

func runAudit(cmd *cobra.Command, o *options, limit int, calls bool) error {
	api, err := o.connect(cmd)
	if err != nil {
		return err
	}
	var entries []client.AuditEntry
	if calls {
		entries, err = decode[[]client.AuditEntry](api.ListCalls(cmd.Context(), &client.ListCallsParams{Limit: limit}))
	} else {
		entries, err = decode[[]client.AuditEntry](api.ListAudit(cmd.Context(), &client.ListAuditParams{Limit: limit}))
	}
	if err != nil {
		return err
	}
	if o.json() {
		return printJSON(cmd.OutOrStdout(), entries)
	}
	return table(cmd.OutOrStdout(), auditRows(entries))
}

// auditRows shows what anybody could send, so nothing of it may reach the terminal as a command.
func auditRows(entries []client.AuditEntry) [][]string {
	rows := [][]string{{"AT", "WHO", "WHAT", "OBJECT", "REQUEST", "RESULT"}}
	for _, e := range entries {
		row := []string{timestamp(e.At)}
		for _, text := range []string{e.Who, e.What, e.Object, e.RequestId, e.Result} {
			row = append(row, orDash(printable(text)))
		}
		rows = append(rows, row)
	}
	return rows
}
