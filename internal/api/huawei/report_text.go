package huawei

import (
	"strconv"
	"strings"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// reportText is a report for people: what stops the upgrade first, each finding with its objects
// and what to do. What the checks themselves say is in English.
func reportText(r upgrade.Report, in language, c clock) string {
	var b strings.Builder
	line := func(m message, args ...string) { b.WriteString(m.text(in, args...) + "\n") }
	line(msgReportTitle, "instance", r.Instance, "source", r.Source.String(), "target", r.Target.String())
	count := map[upgrade.Severity]int{}
	for _, group := range []struct {
		severity upgrade.Severity
		title    message
	}{{upgrade.Blocker, msgReportBlockers}, {upgrade.Warning, msgReportWarnings}, {upgrade.Info, msgReportInfos}} {
		for _, f := range r.Findings {
			if f.Severity != group.severity {
				continue
			}
			if count[f.Severity]++; count[f.Severity] == 1 {
				line(group.title)
			}
			writeFinding(&b, in, f)
		}
	}
	if len(r.NotChecked) > 0 {
		line(msgReportNotChecked)
		for _, text := range r.NotChecked {
			b.WriteString("- " + text + "\n")
		}
	}
	blockers, warnings := strconv.Itoa(count[upgrade.Blocker]), strconv.Itoa(count[upgrade.Warning])
	if r.Passed() {
		line(msgReportPassed, "warnings", warnings, "until", c.format(r.ValidUntil))
	} else {
		line(msgReportNotPassed, "blockers", blockers, "warnings", warnings, "unchecked", strconv.Itoa(len(r.NotChecked)))
	}
	return b.String()
}

func writeFinding(b *strings.Builder, in language, f upgrade.Finding) {
	b.WriteString("- " + f.Title + " [" + f.Check + "]")
	if f.Accepted {
		b.WriteString(" " + msgReportAccepted.text(in))
	}
	b.WriteString("\n")
	for _, object := range f.Objects {
		b.WriteString("    " + object + "\n")
	}
	if rest := f.Total - len(f.Objects); rest > 0 && len(f.Objects) > 0 {
		b.WriteString("    " + msgReportMore.text(in, "count", strconv.Itoa(rest)) + "\n")
	}
	if f.Why != "" {
		b.WriteString("  " + msgReportWhy.text(in, "text", f.Why) + "\n")
	}
	if f.Remedy != "" {
		b.WriteString("  " + msgReportRemedy.text(in, "text", f.Remedy) + "\n")
	}
	database := ""
	for _, sql := range f.RemedySQL {
		if sql.Database != database {
			database = sql.Database
			b.WriteString("  " + msgReportSQL.text(in, "database", database) + "\n")
		}
		b.WriteString("    " + strings.ReplaceAll(sql.SQL, "\n", "\n    ") + "\n")
	}
}
