package report

import (
	"fmt"
	"strings"
	"time"

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
	fmt.Fprintf(b, "  nobody can write for about %s; the upgrade takes about %s by itself\n", short(e.Pause), long(e.Total))
	fmt.Fprintf(b, "  %s of disk for the target; %s of memory available, at least %s\n", size(e.Disk), size(e.Memory), size(e.LeastMemory))
	for _, p := range e.Phases {
		fmt.Fprintf(b, "    %-20s %s\n", p.Phase, short(p.Duration))
	}
	if len(e.Ways) > 0 {
		b.WriteString("  the same for every mode:\n")
	}
	for _, w := range e.Ways {
		name := string(w.Mode)
		if w.Transfer != "" {
			name += " by " + string(w.Transfer)
		}
		fmt.Fprintf(b, "    %-20s pause %-8s in all %-8s disk %s\n", name, short(w.Pause), long(w.Total), size(w.Disk))
	}
}

// estimateText is the same for formats that show it as it is.
func estimateText(e *upgrade.Estimate) string {
	var b strings.Builder
	writeEstimate(&b, e)
	_, text, _ := strings.Cut(strings.Trim(b.String(), "\n"), "\n")
	return text
}

// short writes a duration that may be one of milliseconds.
func short(d time.Duration) string {
	switch {
	case d < time.Second:
		return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond))
	case d < time.Minute:
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
	return long(d)
}

// long writes a duration to the second.
func long(d time.Duration) string { return d.Round(time.Second).String() }

// size writes a number of bytes.
func size(n int64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB"}
	value, unit := float64(n), 0
	for value >= 1<<10 && unit < len(units)-1 {
		value, unit = value/(1<<10), unit+1
	}
	if unit == 0 {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%.1f %s", value, units[unit])
}
