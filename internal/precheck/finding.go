package precheck

import (
	"fmt"
	"slices"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// findings turns what was found into the report's findings: blockers first, then warnings and
// infos, each in reading order.
func (r *round) findings() []upgrade.Finding {
	findings := []upgrade.Finding{}
	for _, severity := range []upgrade.Severity{upgrade.Blocker, upgrade.Warning, upgrade.Info} {
		for _, check := range r.checks {
			of := func(l located) bool { return l.Severity == severity }
			if same := filter(r.found[check.ID], of); len(same) > 0 {
				findings = append(findings, finding(check, severity, same, r.facts.Plan.Options.Accepted))
			}
		}
	}
	rank := map[upgrade.Severity]int{upgrade.Blocker: 0, upgrade.Warning: 1, upgrade.Info: 2}
	slices.SortStableFunc(findings, func(a, b upgrade.Finding) int { return rank[a.Severity] - rank[b.Severity] })
	return findings
}

func filter(all []located, keep func(located) bool) []located {
	var kept []located
	for _, l := range all {
		if keep(l) {
			kept = append(kept, l)
		}
	}
	return kept
}

// finding is what a check found at one severity. A blocker becomes a warning when the user has
// accepted every single object: an object that came since stops the upgrade again. What is not accepted yet is
// listed first, so that every report has something to accept.
func finding(check Check, severity upgrade.Severity, found []located, accepted []string) upgrade.Finding {
	f := upgrade.Finding{
		Check: check.ID, Title: check.Title, Severity: severity, Total: len(found),
		Why: check.Why, Remedy: check.Remedy, Acceptable: check.Acceptable,
	}
	if check.Acceptable {
		isOpen := func(one located) bool { return !slices.Contains(accepted, check.ID+":"+one.Object) }
		open := filter(found, isOpen)
		f.Accepted = len(open) == 0
		found = append(open, filter(found, func(one located) bool { return !isOpen(one) })...)
	}
	if f.Accepted && severity == upgrade.Blocker {
		f.Severity = upgrade.Warning
	}
	for _, one := range found {
		list(&f, one)
	}
	if !slices.ContainsFunc(f.Notes, func(note string) bool { return note != "" }) {
		f.Notes = nil
	}
	return f
}

// list adds an object to a finding, as far as it has room. The name of one that can be accepted stands alone.
func list(f *upgrade.Finding, one located) {
	if len(f.Objects) < upgrade.MaxObjects {
		object := one.Object
		if f.Acceptable {
			f.Notes = append(f.Notes, one.Note)
		} else if one.Note != "" {
			object = fmt.Sprintf("%s (%s)", object, one.Note)
		}
		f.Objects = append(f.Objects, object)
	}
	remedy := upgrade.RemedySQL{Database: one.database, SQL: pasteable(one.SQL)}
	if one.SQL != "" && len(f.RemedySQL) < upgrade.MaxObjects && !slices.Contains(f.RemedySQL, remedy) {
		f.RemedySQL = append(f.RemedySQL, remedy)
	}
}
