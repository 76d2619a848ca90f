package report

import (
	"strconv"
	"strings"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// Phrase is a piece of Huawei Cloud's report, which comes in several languages.
type Phrase string

// The phrases, with the placeholders of each.
const (
	PhraseTitle      Phrase = "report title" // instance, source, target
	PhraseBlockers   Phrase = "report blockers"
	PhraseWarnings   Phrase = "report warnings"
	PhraseInfos      Phrase = "report infos"
	PhraseNotChecked Phrase = "report not checked"
	PhraseWhy        Phrase = "report why"    // text
	PhraseRemedy     Phrase = "report remedy" // text
	PhraseSQL        Phrase = "report SQL"    // database
	PhraseMore       Phrase = "report more"   // count
	PhraseAccepted   Phrase = "report accepted"
	PhrasePassed     Phrase = "report passed"     // warnings, until
	PhraseNotPassed  Phrase = "report not passed" // blockers, warnings, unchecked
)

// Say writes a phrase in the reader's language. Arguments are pairs of a placeholder's name and its value.
type Say func(phrase Phrase, args ...string) string

// Huawei is a report as Huawei Cloud's API has it in the detail of an inspection: what stops the upgrade
// first, each finding with its objects and what to do. What the
// checks themselves say is in the report's own language (see InChinese).
func Huawei(r upgrade.Report, say Say, until string) string {
	var b strings.Builder
	line := func(p Phrase, args ...string) { b.WriteString(say(p, args...) + "\n") }
	line(PhraseTitle, "instance", r.Instance, "source", r.Source.String(), "target", r.Target.String())
	titles := map[upgrade.Severity]Phrase{
		upgrade.Blocker: PhraseBlockers, upgrade.Warning: PhraseWarnings, upgrade.Info: PhraseInfos,
	}
	for _, g := range groups(r) {
		line(titles[g.Severity])
		for _, f := range g.Findings {
			writeHuaweiFinding(&b, say, f)
		}
	}
	if len(r.NotChecked) > 0 {
		line(PhraseNotChecked)
		for _, what := range r.NotChecked {
			b.WriteString("- " + oneLine(what) + "\n")
		}
	}
	blockers, warnings := strconv.Itoa(count(r, upgrade.Blocker)), strconv.Itoa(count(r, upgrade.Warning))
	if r.Passed() {
		line(PhrasePassed, "warnings", warnings, "until", until)
	} else {
		line(PhraseNotPassed, "blockers", blockers, "warnings", warnings, "unchecked", strconv.Itoa(len(r.NotChecked)))
	}
	return b.String()
}

func writeHuaweiFinding(b *strings.Builder, say Say, f upgrade.Finding) {
	b.WriteString("- " + f.Title + " [" + f.Check + "]")
	if f.Accepted {
		b.WriteString(" " + say(PhraseAccepted))
	}
	b.WriteString("\n")
	for _, object := range f.Described() {
		b.WriteString("    " + name(object) + "\n")
	}
	if rest := more(f, len(f.Objects)); rest > 0 {
		b.WriteString("    " + say(PhraseMore, "count", strconv.Itoa(rest)) + "\n")
	}
	if f.Why != "" {
		b.WriteString("  " + say(PhraseWhy, "text", f.Why) + "\n")
	}
	if f.Remedy != "" {
		b.WriteString("  " + say(PhraseRemedy, "text", f.Remedy) + "\n")
	}
	for _, one := range scripts(f) {
		b.WriteString("  " + say(PhraseSQL, "database", one.Database) + "\n")
		b.WriteString("    " + strings.ReplaceAll(one.SQL(), "\n", "\n    ") + "\n")
	}
}
