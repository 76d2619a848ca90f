package cli

import (
	"fmt"
	"io"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// printComparison prints what an upgrade took beside what was estimated.
func printComparison(out io.Writer, c *upgrade.Comparison) error {
	if c == nil {
		return nil
	}
	fmt.Fprintf(out, "\nEstimated by report %d, and true:\n", c.Report)
	rows := make([][]string, 0, len(c.Phases)+2)
	for _, p := range c.Phases {
		rows = append(rows, []string{"  " + string(p.Phase), pause(p.Estimated), pause(p.Actual)})
	}
	rows = append(rows,
		[]string{"  together", pause(c.Total.Estimated), pause(c.Total.Actual)},
		[]string{"  pause", pause(c.Pause.Estimated), pause(c.Pause.Actual)})
	return table(out, rows)
}
