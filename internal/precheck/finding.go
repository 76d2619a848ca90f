package precheck

import (
	"fmt"
	"slices"
	"strings"

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

// maxNotes bounds what is said of single objects after the reason.
const maxNotes = 5

// finding is what a check found at one severity. A blocker becomes a warning when the user has
// accepted every single object: an object that came since stops the upgrade again.
func finding(check Check, severity upgrade.Severity, found []located, accepted []string) upgrade.Finding {
	f := upgrade.Finding{
		Check: check.ID, Title: check.Title, Severity: severity, Total: len(found),
		Why: check.Why, Remedy: check.Remedy, Acceptable: check.Acceptable,
	}
	var notes []string
	all := true
	for _, one := range found {
		object := one.Object
		all = all && slices.Contains(accepted, check.ID+":"+object)
		if check.Acceptable && one.Note != "" {
			notes = append(notes, object+": "+one.Note)
		} else if one.Note != "" {
			object = fmt.Sprintf("%s (%s)", object, one.Note)
		}
		if len(f.Objects) < upgrade.MaxObjects {
			f.Objects = append(f.Objects, object)
		}
		remedy := upgrade.RemedySQL{Database: one.database, SQL: pasteable(one.SQL)}
		if one.SQL != "" && len(f.RemedySQL) < upgrade.MaxObjects && !slices.Contains(f.RemedySQL, remedy) {
			f.RemedySQL = append(f.RemedySQL, remedy)
		}
	}
	if len(notes) > 0 {
		f.Why += " Found: " + strings.Join(notes[:min(len(notes), maxNotes)], "; ") + "."
	}
	if check.Acceptable && all {
		f.Accepted = true
		if severity == upgrade.Blocker {
			f.Severity = upgrade.Warning
		}
	}
	return f
}
