package cli

import (
	"fmt"
	"io"
	"strings"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// maxShownObjects caps the objects of a finding on the screen; JSON has them all.
const maxShownObjects = 20

// printReport prints a report: what stops the upgrade first, each finding with what to do.
func printReport(out io.Writer, r upgrade.Report) error {
	var b strings.Builder
	fmt.Fprintf(&b, "Report %d: instance %s, %s to %s, %s\n", r.Number, r.Instance, r.Source, r.Target, r.Mode)
	groups := []struct {
		severity upgrade.Severity
		title    string
	}{
		{upgrade.Blocker, "Blockers: the upgrade cannot begin before these are gone"},
		{upgrade.Warning, "Warnings: to be looked at"},
		{upgrade.Info, "Good to know"},
	}
	for _, g := range groups {
		title := g.title
		for _, f := range r.Findings {
			if f.Severity != g.severity {
				continue
			}
			if title != "" {
				fmt.Fprintf(&b, "\n%s\n", title)
				title = ""
			}
			writeFinding(&b, f)
		}
	}
	if len(r.NotChecked) > 0 {
		fmt.Fprint(&b, "\nNot checked: the upgrade cannot begin before these can be\n")
		for _, text := range r.NotChecked {
			fmt.Fprintf(&b, "  - %s\n", text)
		}
	}
	writeConfiguration(&b, r.Configuration)
	writeEstimate(&b, r.Estimate)
	b.WriteString("\n" + verdict(r) + "\n")
	_, err := io.WriteString(out, b.String())
	return err
}

func writeFinding(b *strings.Builder, f upgrade.Finding) {
	accepted := ""
	if f.Accepted {
		accepted = ", accepted"
	}
	fmt.Fprintf(b, "  - %s (%s%s)\n", f.Title, f.Check, accepted)
	for i, object := range f.Objects {
		if i == maxShownObjects {
			break
		}
		fmt.Fprintf(b, "      %s\n", object)
	}
	if rest := f.Total - min(len(f.Objects), maxShownObjects); rest > 0 && len(f.Objects) > 0 {
		fmt.Fprintf(b, "      and %d more\n", rest)
	}
	if f.Why != "" {
		fmt.Fprintf(b, "    Why: %s\n", f.Why)
	}
	if f.Remedy != "" {
		fmt.Fprintf(b, "    Remedy: %s\n", f.Remedy)
	}
	database := ""
	for _, sql := range f.RemedySQL {
		if sql.Database != database {
			database = sql.Database
			fmt.Fprintf(b, "    SQL, in database %s:\n", database)
		}
		fmt.Fprintf(b, "      %s\n", strings.ReplaceAll(sql.SQL, "\n", "\n      "))
	}
	if f.Acceptable && !f.Accepted && len(f.Objects) > 0 {
		fmt.Fprintf(b, "    Or accept each: --accept '%s:%s'\n", f.Check, f.Objects[0])
	}
}

// verdict is the last line: what the report comes to.
func verdict(r upgrade.Report) string {
	count := map[upgrade.Severity]int{}
	for _, f := range r.Findings {
		count[f.Severity]++
	}
	text := fmt.Sprintf("%s, %s", plural(count[upgrade.Blocker], "blocker"), plural(count[upgrade.Warning], "warning"))
	if !r.Passed() {
		return "Not passed: " + text + "."
	}
	return fmt.Sprintf("Passed: %s. Valid until %s, unless what was checked changes.", text, timestamp(r.ValidUntil))
}

func plural(n int, noun string) string {
	switch n {
	case 0:
		return "no " + noun + "s"
	case 1:
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
