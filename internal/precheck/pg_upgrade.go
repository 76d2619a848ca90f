package precheck

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// pgUpgradeCheck hands on what the target's own pg_upgrade says of the running source.
var pgUpgradeCheck = Check{
	ID: "pg-upgrade", Title: "pg_upgrade --check complains",
	Severity: upgrade.Blocker, Modes: withPgUpgrade(), Scope: PerCluster,
	Why:    "The target's own pg_upgrade was run with --check against the running source and an empty target. What it refuses then, it refuses later.",
	Remedy: "Mend what it names. It often stops at its first complaint: check again afterwards.",
	Find: func(_ context.Context, f *Facts, _ Session) ([]Found, error) {
		said, err := f.Host.PgUpgrade.Get()
		if err != nil {
			return nil, fmt.Errorf("run pg_upgrade --check: %w", err)
		}
		if !said.Compatible && len(said.Failures) == 0 {
			return nil, errors.New("pg_upgrade --check failed without a reason")
		}
		var found []Found
		for _, failure := range said.Failures {
			found = append(found, failure.found()...)
		}
		for _, warning := range said.Warnings {
			for _, f := range warning.found() {
				f.Severity = upgrade.Warning
				found = append(found, f)
			}
		}
		return found, nil
	},
}

// found names the objects with what is wrong with them, or the failure itself.
func (p PgUpgradeComplaint) found() []Found {
	what := strings.TrimPrefix(p.Step, "Checking ")
	what = strings.TrimPrefix(what, "for ")
	if what == "" {
		what = p.Text
	}
	if len(p.Objects) == 0 {
		return []Found{{Object: what, Note: firstSentence(p.Text)}}
	}
	var found []Found
	for _, object := range p.Objects {
		found = append(found, Found{Object: object, Note: what})
	}
	return found
}

// firstSentence is what of pg_upgrade's advice fits beside an object.
func firstSentence(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	if end := strings.Index(text, ". "); end >= 0 {
		return text[:end]
	}
	return strings.TrimSuffix(text, ".")
}

// coveredBy names the check that tells the same as a step of pg_upgrade's, by its status line.
func coveredBy(step string) string {
	for part, id := range map[string]string{
		"prepared transactions":        "prepared-transactions",
		"database connection settings": "databases",
		"unsupported encodings":        "encodings",
	} {
		if strings.Contains(step, part) {
			return id
		}
	}
	return ""
}

// withoutRepeats takes pg_upgrade's findings out that another check has reported, with its remedy, and
// libraries that are told already. If nothing is left, one line says where pg_upgrade stopped: what comes after is not known yet.
func (r *round) withoutRepeats() {
	said := r.facts.Host.PgUpgrade.Value
	var repeated []string
	for _, failure := range said.Failures {
		if id := coveredBy(failure.Step); id != "" && len(r.found[id]) > 0 {
			repeated = append(repeated, failure.found()[0].Object)
		}
		if failure.File == "loadable_libraries.txt" {
			for _, f := range failure.found() {
				if slices.ContainsFunc(r.found["extensions"], func(l located) bool { return namesLibrary(f.Object, l.Object) }) ||
					slices.ContainsFunc(r.found["libraries"], func(l located) bool { return quotesLibrary(f.Object, l.Object) }) {
					repeated = append(repeated, f.Object)
				}
			}
		}
	}
	kept := filter(r.found["pg-upgrade"], func(l located) bool { return !slices.Contains(repeated, l.Object) })
	if len(kept) == 0 && len(repeated) > 0 {
		kept = []located{{Found: Found{
			Object: "pg_upgrade --check", Severity: upgrade.Info,
			Note: "stopped at what is reported above; check again afterwards",
		}}}
	}
	r.found["pg-upgrade"] = kept
	if len(r.found[preloadedLibraries.ID]) > 0 { // it names the libraries
		r.found[configurationInvalid.ID] = filter(r.found[configurationInvalid.ID], func(l located) bool { return l.Object != preload })
	}
}

// namesLibrary tells whether a line of loadable_libraries.txt, such as
// could not load library "$libdir/adminpack", is about an extension, such as app.adminpack.
func namesLibrary(line, extension string) bool {
	name := strings.Trim(extension[strings.LastIndexByte(extension, '.')+1:], `"`)
	return strings.Contains(line, `$libdir/`+name+`"`) || strings.Contains(line, `$libdir/`+name+`-`)
}

// quotesLibrary tells whether such a line is about a library as functions name it, such as app.$libdir/own.
func quotesLibrary(line, library string) bool {
	parts := strings.SplitN(line, `"`, 3)
	return len(parts) == 3 && strings.HasSuffix(library, "."+parts[1])
}
