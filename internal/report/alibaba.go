package report

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// alibabaSection is a part of a report's text, under a heading in brackets.
type alibabaSection struct {
	name string
	has  func(f upgrade.Finding) bool
}

// alibabaSections are the parts in the vendor's order. A finding belongs to the first that has it.
func alibabaSections() []alibabaSection {
	return []alibabaSection{
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
		"applied-search-path", "connections", "event-triggers", "foreign-partitions", "full-identity-size", "full-identity-types",
		"large-objects", "large-values", "long-transactions", "replica-identity", "reserved-objects",
		"slot-retention", "source-minor", "switchback", "target-minor", "template-contents",
		"triggers", "truncate-foreign-keys",
	}
}

// Alibaba is a report as Alibaba Cloud's API has it in the Detail of a precheck: a summary, then what was
// found, by section. Mode and result are that API's words.
func Alibaba(r upgrade.Report, mode, result string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "[user_check_report]\nPrecheck %d of instance %s: PostgreSQL %s to %s, %s. Result: %s.\n",
		r.Number, r.Instance, r.Source, r.Target, mode, result)
	grouped := map[string][]upgrade.Finding{}
	for _, f := range r.Findings {
		for _, s := range alibabaSections() {
			if s.has(f) {
				grouped[s.name] = append(grouped[s.name], f)
				break
			}
		}
	}
	for _, heading := range []string{"warnings", "errors", "pg_upgrade_check", "logical_replication_incompatibilities"} {
		writeAlibabaSection(&b, heading, grouped[heading])
	}
	if len(r.NotChecked) > 0 {
		b.WriteString("[not_checked]\n")
		for _, what := range r.NotChecked {
			b.WriteString(sentence(oneLine(what)) + "\n")
		}
	}
	return b.String()
}

func writeAlibabaSection(b *strings.Builder, heading string, findings []upgrade.Finding) {
	if len(findings) == 0 {
		return
	}
	fmt.Fprintf(b, "[%s]\n", heading)
	for i, f := range findings {
		fmt.Fprintf(b, "%d. %s (%s, %s)\n", i+1, f.Title, f.Check, f.Severity)
		writeAlibabaObjects(b, f)
		fmt.Fprintf(b, "   Why: %s\n   Remedy: %s\n", oneLine(f.Why), oneLine(f.Remedy))
		for _, sql := range f.RemedySQL {
			fmt.Fprintf(b, "   In database %s: %s\n", sql.Database, strings.TrimSpace(sql.SQL))
		}
	}
}

func writeAlibabaObjects(b *strings.Builder, f upgrade.Finding) {
	for _, object := range f.Described() {
		fmt.Fprintf(b, "   - %s\n", name(object))
	}
	if rest := more(f, len(f.Objects)); rest > 0 {
		fmt.Fprintf(b, "   - and %d more\n", rest)
	}
}

func sentence(text string) string {
	if text != "" && strings.ContainsAny(text[len(text)-1:], ".!?") {
		return text
	}
	return text + "."
}
