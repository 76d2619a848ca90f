package cli

import (
	"fmt"
	"io"

	"github.com/pgleap/pgleap/internal/report"
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
		rows = append(rows, []string{"  " + string(p.Phase), report.Pause(p.Estimated), report.Pause(p.Actual)})
	}
	rows = append(rows,
		[]string{"  together", report.Pause(c.Total.Estimated), report.Pause(c.Total.Actual)},
		[]string{"  pause", report.Pause(c.Pause.Estimated), report.Pause(c.Pause.Actual)})
	return table(out, rows)
}
