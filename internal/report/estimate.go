package report

import (
	"fmt"
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
	fmt.Fprintf(b, "  nobody can write for about %s; the upgrade takes about %s by itself\n", Pause(e.Pause), Span(e.Total))
	fmt.Fprintf(b, "  %s of disk for the target; %s of memory available, at least %s\n", Size(e.Disk), Size(e.Memory), Size(e.LeastMemory))
	if e.Transfer != nil {
		writeWrapped(b, "  ", "    ", fmt.Sprintf("files are transferred by %s: %s", e.Transfer.Transfer, e.Transfer.Why))
		writeWrapped(b, "  ", "    ", e.Transfer.WayBack)
	}
	for _, p := range e.Phases {
		fmt.Fprintf(b, "    %-20s %s\n", p.Phase, Pause(p.Duration))
	}
	if len(e.Ways) > 0 {
		b.WriteString("  the same for every mode:\n")
	}
	for _, w := range e.Ways {
		name := string(w.Mode)
		if w.Transfer != "" {
			name += " by " + string(w.Transfer)
		}
		fmt.Fprintf(b, "    %-20s pause %-8s in all %-8s disk %s\n", name, Pause(w.Pause), Span(w.Total), Size(w.Disk))
	}
}

// estimateText is the same for formats that show it as it is.
func estimateText(e *upgrade.Estimate) string {
	var b strings.Builder
	writeEstimate(&b, e)
	_, text, _ := strings.Cut(strings.Trim(b.String(), "\n"), "\n")
	return text
}
