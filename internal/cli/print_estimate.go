package cli

import (
	"fmt"
	"io"
	"strings"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// writeEstimate writes what an upgrade will need, in a few lines; docs/estimates.md tells what they mean.
func writeEstimate(b *strings.Builder, e *upgrade.Estimate) {
	if e == nil {
		return
	}
	measured := ""
	if !e.Speed.Measured() {
		measured = ", by the rates of a slow disk: this host's could not be measured"
	}
	fmt.Fprintf(b, "\nEstimate%s\n", measured)
	fmt.Fprintf(b, "  nobody can write for about %s; the upgrade takes about %s by itself\n", pause(e.Pause), span(e.Total))
	fmt.Fprintf(b, "  %s of disk for the target; %s of memory available, at least %s\n", size(e.Disk), size(e.Memory), size(e.LeastMemory))
	for _, p := range e.Phases {
		fmt.Fprintf(b, "    %-20s %s\n", p.Phase, pause(p.Duration))
	}
	if len(e.Ways) > 0 {
		b.WriteString("  the same for every mode:\n")
	}
	for _, w := range e.Ways {
		name := string(w.Mode)
		if w.Transfer != "" {
			name += " by " + string(w.Transfer)
		}
		fmt.Fprintf(b, "    %-20s pause %-8s in all %-8s disk %s\n", name, pause(w.Pause), span(w.Total), size(w.Disk))
	}
}

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
