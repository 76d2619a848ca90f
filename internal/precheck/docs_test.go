package precheck

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestDocsAreUpToDate(t *testing.T) {
	const path = "../../docs/prechecks.md"
	if update := flag.Lookup("update"); update.Value.String() == "true" {
		if err := os.WriteFile(path, []byte(docs()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	page, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(page), docs()); diff != "" {
		t.Errorf("docs/prechecks.md is stale; run: go test ./internal/precheck -run Docs -update\n%s", diff)
	}
}

var _ = flag.Bool("update", false, "write docs/prechecks.md")

// docs writes the checks as a page for users, in Markdown.
func docs() string {
	var b strings.Builder
	b.WriteString("# Prechecks\n\n" +
		"<!-- Written by `go test ./internal/precheck -run Docs -update` from the checks themselves. -->\n\n" +
		"An upgrade begins with a report that has passed: `pgleap precheck ID --to VERSION` makes one at any time.\n" +
		"It reads, and changes nothing. It holds for seven days, as long as what it saw is unchanged.\n\n" +
		"A *blocker* stops the upgrade, a *warning* needs a DBA's eye, an *info* is good to know. What could not be checked is listed, and stops the upgrade too.\n" +
		"SQL that is shown can be pasted as it is: names are quoted, and what cannot be seen in them, such as a line break, is written as an escape (`U&\"two\\+00000Alines\"`).\n" +
		"Objects of an acceptable check can be accepted by name, as `check:object`; when all are accepted the blocker becomes a warning. " +
		"A report lists a hundred of each finding, first those that are not accepted yet.\n\n" +
		"| check | severity | what it finds |\n|---|---|---|\n")
	for _, c := range All() {
		fmt.Fprintf(&b, "| [%s](#%s) | %s | %s |\n", c.ID, c.ID, c.Severity, c.Title)
	}
	for _, c := range All() {
		modes := make([]string, len(c.Modes))
		for i, m := range c.Modes {
			modes[i] = string(m)
		}
		slices.Sort(modes)
		fmt.Fprintf(&b, "\n## %s\n\n%s.\n\n", c.ID, c.Title)
		fmt.Fprintf(&b, "- severity: %s\n- looks at: %s\n- modes: %s\n", severities(c), c.Scope, strings.Join(modes, ", "))
		if versions := concerned(c.Versions); versions != "" {
			fmt.Fprintf(&b, "- versions: %s\n", versions)
		}
		if c.Acceptable {
			b.WriteString("- acceptable by name\n")
		}
		fmt.Fprintf(&b, "\n**Why.** %s\n\n**Remedy.** %s\n", escape(c.Why), escape(c.Remedy))
	}
	return b.String()
}

// concerned tells the upgrades that a check concerns, if not all.
func concerned(v Versions) string {
	var words []string
	if v.Crossing > 0 {
		words = append(words, fmt.Sprintf("from before %d to %d or later", v.Crossing, v.Crossing))
	}
	if v.Sources > 0 {
		words = append(words, fmt.Sprintf("from %d or later", v.Sources))
	}
	if v.Targets > 0 {
		words = append(words, fmt.Sprintf("to %d or later", v.Targets))
	}
	return strings.Join(words, ", ")
}

// severities tells a check's severity, and where it is another one.
func severities(c Check) string {
	text := string(c.Severity)
	for _, mode := range slices.Sorted(maps.Keys(c.SeverityIn)) {
		text += fmt.Sprintf("; %s in mode %s", c.SeverityIn[mode], mode)
	}
	return text
}

// escape keeps Markdown from taking a star for emphasis.
func escape(text string) string { return strings.ReplaceAll(text, "*", `\*`) }
