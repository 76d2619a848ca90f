package report

import (
	"fmt"
	"strings"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// writeConfiguration writes what becomes of the source's configuration: each change in a line, its
// reason being with the findings, and the diff of the files.
func writeConfiguration(b *strings.Builder, c *upgrade.Configuration) {
	if c == nil {
		return
	}
	kept := "1 setting of the files is carried over as it is"
	if c.Kept != 1 {
		kept = plural(c.Kept, "setting") + " of the files are carried over as they are"
	}
	fmt.Fprintf(b, "\nConfiguration: %s\n", kept)
	for _, change := range c.Changes {
		fmt.Fprintf(b, "  - %-7s  %s (%s)", change.Kind, name(change.Name), name(change.Where))
		switch {
		case change.From != "" && change.To != "":
			fmt.Fprintf(b, ": %s -> %s", name(change.From), name(change.To))
		case change.From != "" || change.To != "":
			fmt.Fprintf(b, ": %s", name(change.From+change.To))
		}
		b.WriteString("\n")
	}
	if c.Diff != "" {
		fmt.Fprintf(b, "  Diff of the files, without comments and secrets:\n    %s\n",
			strings.ReplaceAll(strings.TrimSuffix(printable(c.Diff), "\n"), "\n", "\n    "))
	}
}

// configurationText is the same for formats that show it as it is.
func configurationText(c *upgrade.Configuration) string {
	var b strings.Builder
	writeConfiguration(&b, c)
	return strings.TrimSpace(b.String())
}
