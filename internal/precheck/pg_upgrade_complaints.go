package precheck

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// hearPgUpgrade adds what pg_upgrade --check said to what the checks found: each complaint to the check that knows
// it, object by object; an object that both found appears once, as the check has it. pg_upgrade stops at its first
// complaint, so its silence about the rest says nothing; a line tells where it stopped.
func (r *round) hearPgUpgrade() {
	if !slices.ContainsFunc(r.checks, func(c Check) bool { return c.ID == pgUpgradeCheck.ID }) {
		return
	}
	said := r.facts.Host.PgUpgrade.Value
	for _, complaint := range said.Failures {
		r.hear(complaint, upgrade.Blocker)
	}
	for _, complaint := range said.Warnings {
		r.hear(complaint, upgrade.Warning)
	}
	r.missWhatNobodyTried(said.Failures)
	if len(said.Failures) > 0 && len(r.found[pgUpgradeCheck.ID]) == 0 {
		r.found[pgUpgradeCheck.ID] = []located{{Found: Found{
			Object: "pg_upgrade --check", Severity: upgrade.Info,
			Note: "stopped at what is reported above; check again afterwards",
		}}}
	}
}

// missWhatNobodyTried tells where pg_upgrade --check stopped at what only another mode minds, and the schema rehearsal has
// not tried the rest either: nothing of what was found stands in the way then, but most was not looked at.
func (r *round) missWhatNobodyTried(failures []PgUpgradeComplaint) {
	minded := func(p PgUpgradeComplaint) bool { return !r.concernsAnotherMode(p) }
	rehearsed, err := r.facts.Host.SchemaRehearsal.Get()
	why := rehearsed.Unfinished
	if err != nil {
		why = err.Error()
	}
	if len(failures) == 0 || slices.ContainsFunc(failures, minded) || why == "" {
		return
	}
	r.notChecked = append(r.notChecked, fmt.Sprintf(
		"%s: pg_upgrade --check stopped at %s, which does not concern an upgrade in this mode, and the schema rehearsal was not finished: %s. Mend either",
		pgUpgradeCheck.ID, failures[0].subject(), why))
}

// concernsAnotherMode tells a complaint that belongs to a check of other modes only.
func (r *round) concernsAnotherMode(complaint PgUpgradeComplaint) bool {
	if _, ok := checkOf(r.checks, complaint); ok {
		return false
	}
	of, known := checkOf(All(), complaint)
	return known && !slices.Contains(of.Modes, r.facts.Plan.Mode)
}

func (r *round) hear(complaint PgUpgradeComplaint, severity upgrade.Severity) {
	check, ok := checkOf(r.checks, complaint)
	if !ok {
		check = pgUpgradeCheck
		if r.concernsAnotherMode(complaint) {
			r.found[check.ID] = append(r.found[check.ID], located{Found: Found{
				Object: complaint.subject(), Severity: upgrade.Info,
				Note: "does not concern an upgrade in this mode, but pg_upgrade --check stopped there",
			}})
			return
		}
	}
	if check.Severity == upgrade.Warning { // it goes into the same report file before a failure, too
		severity = upgrade.Warning
	}
	asBad := func(l located) bool { return l.Severity == upgrade.Blocker || l.Severity == severity }
	for _, found := range complaint.found(check, slices.ContainsFunc(r.found[check.ID], asBad)) {
		found.Severity = severity
		if !r.knows(check, found.Object) {
			r.found[check.ID] = append(r.found[check.ID], found)
		}
	}
}

// checkOf finds the check that knows a complaint: by its report file, else by its words.
func checkOf(checks []Check, complaint PgUpgradeComplaint) (Check, bool) {
	for _, check := range checks {
		for _, words := range check.PgUpgrade {
			if words == complaint.File || complaint.File == "" && strings.Contains(complaint.Text, words) {
				return check, true
			}
		}
	}
	return Check{}, false
}

// found names the objects as the check would, or the complaint itself if it names none and nobody else has.
func (p PgUpgradeComplaint) found(check Check, known bool) []located {
	if len(p.Objects) == 0 {
		if known {
			return nil
		}
		return []located{{Found: Found{Object: p.subject(), Note: firstSentence(p.Text)}}}
	}
	var found []located
	for _, object := range p.Objects {
		one := located{Found: Found{Object: object.Text, Note: object.Note}, database: object.Database}
		if len(object.Names) > 0 {
			names := make([]string, len(object.Names))
			for i, name := range object.Names {
				names[i] = displayName(name)
			}
			one.Object = strings.Join(names, ".")
		}
		if object.Database != "" {
			one.Object = displayName(object.Database) + "." + one.Object
		}
		if check.ID == pgUpgradeCheck.ID && one.Note == "" {
			one.Note = p.subject()
		}
		found = append(found, one)
	}
	return found
}

// subject is what pg_upgrade was looking at.
func (p PgUpgradeComplaint) subject() string {
	what := strings.TrimPrefix(p.Step, "Checking ")
	what = strings.TrimPrefix(what, "for ")
	if what == "" {
		what = "pg_upgrade --check"
	}
	return what
}

// knows tells whether a check found an object already. pg_upgrade writes names without quotes, and since 19 libraries
// without their directory.
func (r *round) knows(check Check, object string) bool {
	plain := func(object string) string {
		object = plainName(object)
		if check.ID == requiredLibraries.ID {
			object = strings.Replace(object, ".$libdir/", ".", 1)
		}
		return object
	}
	same := func(l located) bool { return plain(l.Object) == plain(object) }
	if slices.ContainsFunc(r.found[check.ID], same) {
		return true
	}
	return check.ID == requiredLibraries.ID && slices.ContainsFunc(r.found[extensions.ID], func(l located) bool {
		return ofExtension(object, l.Object)
	})
}

// firstSentence is what of pg_upgrade's advice fits beside an object.
func firstSentence(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	if end := strings.Index(text, ". "); end >= 0 {
		return text[:end]
	}
	return strings.TrimSuffix(text, ".")
}

// needsNoQuotes are names that SQL takes as they are. Key words among them are not told apart: this is for reading.
var needsNoQuotes = regexp.MustCompile(`^[a-z_][a-z0-9_$]*$`)

func displayName(name string) string {
	if needsNoQuotes.MatchString(name) {
		return name
	}
	return `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
}

// plainName takes the quotes off the names in an object.
func plainName(object string) string {
	var plain strings.Builder
	quoted := false
	for i := 0; i < len(object); i++ {
		switch {
		case object[i] != '"':
			plain.WriteByte(object[i])
		case quoted && i+1 < len(object) && object[i+1] == '"':
			plain.WriteByte('"')
			i++
		default:
			quoted = !quoted
		}
	}
	return plain.String()
}
