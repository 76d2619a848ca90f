package report

import (
	"fmt"
	"strings"
	"unicode"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// group is the findings of one severity.
type group struct {
	Severity upgrade.Severity
	Title    string
	Findings []upgrade.Finding
}

// groups are the severities that have findings, what stops the upgrade first.
func groups(r upgrade.Report) []group {
	all := []group{
		{Severity: upgrade.Blocker, Title: "Blockers: the upgrade cannot begin before these are gone"},
		{Severity: upgrade.Warning, Title: "Warnings: to be looked at"},
		{Severity: upgrade.Info, Title: "Good to know"},
	}
	var some []group
	for _, g := range all {
		for _, f := range r.Findings {
			if f.Severity == g.Severity {
				g.Findings = append(g.Findings, f)
			}
		}
		if len(g.Findings) > 0 {
			some = append(some, g)
		}
	}
	return some
}

// notCheckedTitle heads what could not be checked.
const notCheckedTitle = "Not checked: the upgrade cannot begin before these can be"

func count(r upgrade.Report, severity upgrade.Severity) int {
	n := 0
	for _, f := range r.Findings {
		if f.Severity == severity {
			n++
		}
	}
	return n
}

// more tells how many objects there are beyond those that are shown.
func more(f upgrade.Finding, shown int) int {
	if shown == 0 {
		return 0
	}
	return max(0, f.Total-shown)
}

// script is the SQL of a finding for one database.
type script struct {
	Database   string
	Statements []string
}

// SQL is the script as it can be pasted.
func (s script) SQL() string { return strings.Join(s.Statements, "\n") }

// scripts joins neighbouring statements for the same database. Each ends with a semicolon.
func scripts(f upgrade.Finding) []script {
	var all []script
	for _, r := range f.RemedySQL {
		statement := strings.TrimSpace(r.SQL)
		if statement != "" && !strings.HasSuffix(statement, ";") {
			statement += ";"
		}
		if len(all) == 0 || all[len(all)-1].Database != r.Database {
			all = append(all, script{Database: r.Database})
		}
		last := &all[len(all)-1]
		last.Statements = append(last.Statements, statement)
	}
	return all
}

// Verdict is what a report comes to, in a word and in a sentence.
func Verdict(r upgrade.Report) (word, sentence string) {
	found := plural(count(r, upgrade.Blocker), "blocker") + ", " + plural(count(r, upgrade.Warning), "warning")
	switch unknown := len(r.NotChecked); {
	case r.Passed():
		return "Passed", found
	case unknown > 0 && count(r, upgrade.Blocker) == 0:
		return "Not complete", found + ", but " + plural(unknown, "thing") + " could not be checked"
	case unknown > 0:
		return "Not passed", found + ", " + plural(unknown, "thing") + " not checked"
	}
	return "Not passed", found
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

// acceptance is the option that takes the first object of a finding upon oneself; empty when that cannot be.
func acceptance(f upgrade.Finding) string {
	if !f.Acceptable || f.Accepted || len(f.Objects) == 0 {
		return ""
	}
	return "--accept " + quoteShell(f.Check+":"+f.Objects[0])
}

func quoteShell(word string) string { return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'" }

// printable replaces what a terminal would take for a command, or what would make a name look like
// another one. The names are those that anybody may give to his tables.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) || r == '\n' {
			return r
		}
		if r == '\t' {
			return ' '
		}
		return unicode.ReplacementChar
	}, text)
}

// name writes what somebody has named in one line, with its spaces as they are.
func name(text string) string { return strings.ReplaceAll(printable(text), "\n", " ") }

// oneLine is prose without line ends.
func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }
