package report

import (
	"fmt"
	"strings"
	"time"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// Style is how a report looks on a terminal.
type Style struct {
	Color bool
	// Zone is that of the times; UTC when nil.
	Zone *time.Location
}

// maxShownObjects caps the objects and statements of a finding on the screen; the other formats have
// all that the report has.
const maxShownObjects = 20

// textWidth is where prose is wrapped.
const textWidth = 100

// The colours, as select graphic rendition has them (ECMA-48, 8.3.117).
const (
	bold   = "1"
	red    = "1;31"
	yellow = "1;33"
	cyan   = "1;36"
	green  = "1;32"
	dim    = "2"
)

func (s Style) paint(color, text string) string {
	if !s.Color {
		return text
	}
	return "\x1b[" + color + "m" + text + "\x1b[0m"
}

func (s Style) time(t time.Time) string {
	if s.Zone == nil {
		return t.UTC().Format("2006-01-02 15:04:05 UTC")
	}
	return t.In(s.Zone).Format("2006-01-02 15:04:05")
}

func colorOf(severity upgrade.Severity) string {
	return map[upgrade.Severity]string{upgrade.Blocker: red, upgrade.Warning: yellow, upgrade.Info: cyan}[severity]
}

// text writes a report for a terminal: what stops the upgrade first, each finding with what to do,
// and what it comes to as the last line, which is the one in sight.
func text(r upgrade.Report, s Style) string {
	var b strings.Builder
	b.WriteString(s.paint(bold, headline(r)) + "\n")
	for _, g := range groups(r) {
		fmt.Fprintf(&b, "\n%s\n", s.paint(colorOf(g.Severity), g.Title))
		for _, f := range g.Findings {
			writeFinding(&b, f, s)
		}
	}
	if len(r.NotChecked) > 0 {
		fmt.Fprintf(&b, "\n%s\n", s.paint(yellow, notCheckedTitle))
		for _, what := range r.NotChecked {
			writeWrapped(&b, "  - ", "    ", oneLine(what))
		}
	}
	writeConfiguration(&b, r.Configuration)
	writeEstimate(&b, r.Estimate)
	b.WriteString("\n" + lastLine(r, s) + "\n")
	return b.String()
}

// headline names the report. One that was made without a server has no number.
func headline(r upgrade.Report) string {
	what := "Report"
	if r.Number != 0 {
		what = fmt.Sprintf("Report %d", r.Number)
	}
	return name(fmt.Sprintf("%s: %s, PostgreSQL %s to %s, %s", what, r.Instance, r.Source, r.Target, r.Mode))
}

func lastLine(r upgrade.Report, s Style) string {
	word, sentence := Verdict(r)
	if !r.Passed() {
		return s.paint(red, word+":") + " " + sentence + "."
	}
	return fmt.Sprintf("%s %s. Valid until %s, unless what was checked changes.", s.paint(green, word+":"), sentence, s.time(r.ValidUntil))
}

func writeFinding(b *strings.Builder, f upgrade.Finding, s Style) {
	note := f.Check
	if f.Accepted {
		note += ", accepted"
	}
	fmt.Fprintf(b, "  - %s %s\n", s.paint(bold, oneLine(f.Title)), s.paint(dim, "("+note+")"))
	shown := f.Described()[:min(len(f.Objects), maxShownObjects)]
	for _, object := range shown {
		fmt.Fprintf(b, "      %s\n", name(object))
	}
	if rest := more(f, len(shown)); rest > 0 {
		fmt.Fprintf(b, "      and %d more\n", rest)
	}
	writeField(b, s, "Why", f.Why)
	writeField(b, s, "Remedy", f.Remedy)
	writeScripts(b, f, s)
	if accept := acceptance(f); accept != "" {
		fmt.Fprintf(b, "    Or accept each: %s\n", name(accept))
	}
}

func writeField(b *strings.Builder, s Style, label, value string) {
	if value == "" {
		return
	}
	var lines strings.Builder
	writeWrapped(&lines, "    "+label+": ", "      ", value)
	b.WriteString(strings.Replace(lines.String(), label+":", s.paint(dim, label+":"), 1))
}

// writeScripts writes the SQL that mends a finding, no more of it than of its objects.
func writeScripts(b *strings.Builder, f upgrade.Finding, s Style) {
	shown := f
	shown.RemedySQL = f.RemedySQL[:min(len(f.RemedySQL), maxShownObjects)]
	for _, one := range scripts(shown) {
		fmt.Fprintf(b, "    %s\n", s.paint(dim, "SQL, in database "+name(one.Database)+":"))
		fmt.Fprintf(b, "      %s\n", strings.ReplaceAll(printable(one.SQL()), "\n", "\n      "))
	}
	if rest := len(f.RemedySQL) - len(shown.RemedySQL); rest > 0 {
		fmt.Fprintf(b, "      and %s more: --output json has them\n", plural(rest, "statement"))
	}
}

// writeWrapped writes prose in lines that fit. A word that is longer than a line has one of its own.
func writeWrapped(b *strings.Builder, first, next, prose string) {
	line, width := first, len([]rune(first))
	empty := true
	for _, word := range strings.Fields(printable(prose)) {
		length := len([]rune(word))
		if !empty && width+1+length > textWidth {
			b.WriteString(line + "\n")
			line, width, empty = next, len([]rune(next)), true
		}
		if !empty {
			line, width = line+" ", width+1
		}
		line, width, empty = line+word, width+length, false
	}
	b.WriteString(line + "\n")
}
