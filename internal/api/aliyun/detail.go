package aliyun

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pgleap/pgleap/internal/upgrade"
)

func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }

func fullStop(text string) string {
	if text != "" && strings.ContainsAny(text[len(text)-1:], ".!?") {
		return text
	}
	return text + "."
}

// separated writes a text of several lines with the separator that was configured: the vendor's
// sample separates them by a backslash and an n.
func separated(text, newline string) string {
	if newline == "" || newline == "\n" {
		return text
	}
	return strings.ReplaceAll(text, "\n", newline)
}

// section is a part of a report's text, under a heading in brackets.
type section struct {
	name string
	has  func(f upgrade.Finding) bool
}

// sections are the parts in the vendor's order. A finding belongs to the first that has it.
func sections() []section {
	return []section{
		{"pg_upgrade_check", func(f upgrade.Finding) bool { return slices.Contains(pgUpgradeChecks(), f.Check) }},
		{"logical_replication_incompatibilities", func(f upgrade.Finding) bool {
			return f.Severity == upgrade.Blocker && slices.Contains(replicationChecks(), f.Check)
		}},
		{"errors", func(f upgrade.Finding) bool { return f.Severity == upgrade.Blocker }},
		{"warnings", func(upgrade.Finding) bool { return true }},
	}
}

// pgUpgradeChecks are the checks of what pg_upgrade refuses itself, but for those of other sections.
func pgUpgradeChecks() []string {
	return []string{
		"aclitem-types", "clean-shutdown", "encoding-conversions", "gist-inet-indexes", "inherited-not-null", "install-user", "isn-passing",
		"line-breaks-in-names", "oldest-transaction-ids", "pg-upgrade", "pg-upgrade-connection", "pg-upgrade-place", "polymorphic-functions",
		"postfix-operators", "reg-types", "required-libraries", "slots-taken-over", "subscription-state", "system-composite-types",
		"tablespace-leftovers", "target-empty", "target-origins", "target-programs", "target-slots", "transfer-method", "unicode-update",
	}
}

// replicationChecks are the checks of what logical replication cannot do. They run for modes that
// use it and for no others.
func replicationChecks() []string {
	return []string{
		"connections", "event-triggers", "full-identity-size", "full-identity-types",
		"large-objects", "long-transactions", "replica-identity", "reserved-objects",
		"slot-retention", "source-minor", "switchback", "target-minor", "template-contents",
		"triggers",
	}
}

// reportDetail is a report as text: a summary, then what was found, by section.
func reportDetail(r upgrade.Report, result string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "[user_check_report]\nPrecheck %d of instance %s: PostgreSQL %s to %s, %s. Result: %s.\n",
		r.Number, r.Instance, r.Source, r.Target, modeText(r.Mode), result)
	grouped := map[string][]upgrade.Finding{}
	for _, f := range r.Findings {
		for _, s := range sections() {
			if s.has(f) {
				grouped[s.name] = append(grouped[s.name], f)
				break
			}
		}
	}
	for _, name := range []string{"warnings", "errors", "pg_upgrade_check", "logical_replication_incompatibilities"} {
		writeSection(&b, name, grouped[name])
	}
	if len(r.NotChecked) > 0 {
		b.WriteString("[not_checked]\n")
		for _, what := range r.NotChecked {
			b.WriteString(fullStop(oneLine(what)) + "\n")
		}
	}
	return b.String()
}

func writeSection(b *strings.Builder, name string, findings []upgrade.Finding) {
	if len(findings) == 0 {
		return
	}
	fmt.Fprintf(b, "[%s]\n", name)
	for i, f := range findings {
		fmt.Fprintf(b, "%d. %s (%s, %s)\n", i+1, f.Title, f.Check, f.Severity)
		writeObjects(b, f)
		fmt.Fprintf(b, "   Why: %s\n   Remedy: %s\n", oneLine(f.Why), oneLine(f.Remedy))
		for _, sql := range f.RemedySQL {
			fmt.Fprintf(b, "   In database %s: %s\n", sql.Database, strings.TrimSpace(sql.SQL))
		}
	}
}

func writeObjects(b *strings.Builder, f upgrade.Finding) {
	for _, object := range f.Objects {
		fmt.Fprintf(b, "   - %s\n", strings.ReplaceAll(object, "\n", " "))
	}
	if more := f.Total - len(f.Objects); more > 0 {
		fmt.Fprintf(b, "   - and %d more\n", more)
	}
}
