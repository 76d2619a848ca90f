package cli

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/pgleap/pgleap/internal/api/native/client"
	"github.com/pgleap/pgleap/internal/upgrade"
)

func newInstanceRecheckCommand(o *options) *cobra.Command {
	var retry bool
	cmd := &cobra.Command{
		Use:   "recheck ID",
		Short: "Look again at what an upgrade has left to be mended",
		Long: `Look again at what the last upgrade of an instance could not do, such as to update an extension, and
forget what was mended since. What is open still is shown.` + exitStatus(),
		Args:              arguments("ID"),
		ValidArgsFunction: o.completeInstance,
		RunE: func(cmd *cobra.Command, args []string) error {
			api, err := o.connect(cmd)
			if err != nil {
				return err
			}
			instance, err := decode[upgrade.Instance](api.RecheckFindings(cmd.Context(), args[0], &client.RecheckFindingsParams{Retry: retry}))
			if err != nil {
				return err
			}
			if o.json() {
				return printJSON(cmd.OutOrStdout(), instance)
			}
			if len(instance.Findings) == 0 {
				fmt.Fprintf(cmd.OutOrStdout(), "Nothing is open of instance %s.\n", instance.ID)
				return nil
			}
			return printFindings(cmd.OutOrStdout(), instance.Findings)
		},
	}
	cmd.Flags().BoolVar(&retry, "retry", false, "try again first what could not be done")
	return cmd
}

// printFindings prints what is open, if anything is.
func printFindings(out io.Writer, findings []upgrade.OpenFinding) error {
	if len(findings) == 0 {
		return nil
	}
	if _, err := fmt.Fprint(out, "\nTo be mended:\n"); err != nil {
		return err
	}
	for _, f := range findings {
		if _, err := fmt.Fprintf(out, "  since upgrade %d: %s\n", f.Number, f); err != nil {
			return err
		}
	}
	return nil
}
