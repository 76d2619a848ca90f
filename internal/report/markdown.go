package report

import (
	"fmt"
	"regexp"
	"strings"
	"unicode"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// markdown writes a report for a ticket or a repository: CommonMark with one table.
func markdown(r upgrade.Report) string {
	var b strings.Builder
	word, sentence := Verdict(r)
	fmt.Fprintf(&b, "# Precheck of %s\n\n**%s:** %s.\n\n", markdownText(r.Instance), word, sentence)
	b.WriteString("| | |\n|---|---|\n")
	for _, row := range particulars(r) {
		fmt.Fprintf(&b, "| %s | %s |\n", row.Name, markdownText(row.Value))
	}
	for _, g := range groups(r) {
		fmt.Fprintf(&b, "\n## %s\n", g.Title)
		for _, f := range g.Findings {
			markdownFinding(&b, f)
		}
	}
	if len(r.NotChecked) > 0 {
		fmt.Fprintf(&b, "\n## %s\n\n", notCheckedTitle)
		for _, what := range r.NotChecked {
			fmt.Fprintf(&b, "- %s\n", markdownText(what))
		}
	}
	b.WriteString(markdownBlock("Configuration", configurationText(r.Configuration)))
	b.WriteString(markdownBlock("Estimate", estimateText(r.Estimate)))
	return b.String()
}

// markdownBlock shows a text as it is, whatever is in it, below a heading; nothing if it is empty.
func markdownBlock(heading, text string) string {
	if text == "" {
		return ""
	}
	fence := strings.Repeat("`", max(3, longestTicks(text)+1))
	return fmt.Sprintf("\n## %s\n\n%s\n%s\n%s\n", heading, fence, text, fence)
}

// particular is a line of what a report is about.
type particular struct{ Name, Value string }

func particulars(r upgrade.Report) []particular {
	rows := []particular{{"Instance", r.Instance}}
	if r.Number != 0 {
		rows = append(rows, particular{"Report", fmt.Sprint(r.Number)})
	}
	rows = append(
		rows,
		particular{"Upgrade", fmt.Sprintf("PostgreSQL %s to %s", r.Source, r.Target)},
		particular{"Mode", string(r.Mode)},
		particular{"Checked at", Style{}.time(r.CheckedAt)},
	)
	if r.Passed() {
		rows = append(rows, particular{"Valid until", Style{}.time(r.ValidUntil) + ", unless what was checked changes"})
	}
	return rows
}

func markdownFinding(b *strings.Builder, f upgrade.Finding) {
	fmt.Fprintf(b, "\n### %s\n\n", markdownText(f.Title))
	fmt.Fprintf(b, "Check %s, %s", codeSpan(f.Check), f.Severity)
	if f.Accepted {
		b.WriteString(", accepted")
	}
	b.WriteString(".\n")
	if len(f.Objects) > 0 {
		b.WriteString("\n")
	}
	for _, object := range f.Described() {
		fmt.Fprintf(b, "- %s\n", codeSpan(object))
	}
	if rest := more(f, len(f.Objects)); rest > 0 {
		fmt.Fprintf(b, "- and %d more\n", rest)
	}
	if f.Why != "" {
		fmt.Fprintf(b, "\n**Why:** %s\n", markdownText(f.Why))
	}
	if f.Remedy != "" {
		fmt.Fprintf(b, "\n**Remedy:** %s\n", markdownText(f.Remedy))
	}
	for _, s := range scripts(f) {
		fence := strings.Repeat("`", max(3, longestTicks(s.SQL())+1))
		fmt.Fprintf(b, "\nIn database %s:\n\n%ssql\n%s\n%s\n", codeSpan(s.Database), fence, s.SQL(), fence)
	}
	if accept := acceptance(f); accept != "" {
		fmt.Fprintf(b, "\nOr accept each: %s\n", codeSpan(accept))
	}
}

var ticks = regexp.MustCompile("`+")

func longestTicks(text string) int {
	longest := 0
	for _, run := range ticks.FindAllString(text, -1) {
		longest = max(longest, len(run))
	}
	return longest
}

// codeSpan writes a name as it is (CommonMark 6.1): between more backticks than it has in a row, with
// a space inside where it begins or ends with one.
func codeSpan(text string) string {
	text = name(text)
	quote := strings.Repeat("`", longestTicks(text)+1)
	if text == "" || strings.HasPrefix(text, "`") || strings.HasSuffix(text, "`") {
		text = " " + text + " "
	}
	return quote + text + quote
}

// markdownText writes prose so that it reads as it is: nothing in it becomes markup. An underscore within a
// word is left alone, as it is no emphasis there (CommonMark 6.2).
func markdownText(prose string) string {
	runes := []rune(printable(oneLine(prose)))
	word := func(i int) bool {
		return i >= 0 && i < len(runes) && (unicode.IsLetter(runes[i]) || unicode.IsDigit(runes[i]) || runes[i] == '_')
	}
	var b strings.Builder
	for i, r := range runes {
		mark := strings.ContainsRune("\\`*[]<>&|~#", r) || r == '_' && !(word(i-1) && word(i+1))
		if mark {
			b.WriteByte('\\')
		}
		b.WriteRune(r)
	}
	return b.String()
}
