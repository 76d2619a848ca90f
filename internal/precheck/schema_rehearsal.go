package precheck

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// SchemaRehearsal is what came of upgrading a copy of the source without its data.
type SchemaRehearsal struct {
	// Refused is what the target did not take.
	Refused []RehearsalFailure
	// LeftOut is what could not be rehearsed, for reasons that are not the target's.
	LeftOut []RehearsalFailure
	// Unfinished tells why it ended before everything else was upgraded; empty: it was.
	Unfinished string
	// Upgraded tells how long the pg_upgrade took that upgraded all that was left, and of how much.
	Upgraded  time.Duration
	Relations int64
	Databases int64
}

// RehearsalFailure is one thing that was not taken.
type RehearsalFailure struct {
	Database string // as SQL wants it; empty: it belongs to the whole cluster
	Kind     string // such as "view"; may be empty
	Object   string // as SQL wants it; empty: the database itself
	Error    string // what the server said
	SQL      string // the statement that failed, if it may be shown
	// Undo takes the object away, or resets the setting, if that loses no data.
	Undo string
	// In is the name of the database that Undo is to be run in.
	In string
}

// schemaRehearsal: pg_upgrade --check does not restore anything. What the target's version does not take
// fails in the middle of the upgrade (pg_upgrade.c, create_new_objects), within the outage.
var schemaRehearsal = Check{
	ID: "schema-rehearsal", Title: "The target does not take what the source has defined",
	Severity: upgrade.Blocker, Modes: withPgUpgrade(), Scope: PerCluster,
	Why: "A copy of all definitions, without data, was upgraded in a scratch directory by the programs of both versions. " +
		"What failed there fails in the upgrade. What depends on such an object was left out with it.",
	Remedy: "Change the object so that the target's version takes it, or drop it and create it again in another form after the upgrade. Check again afterwards.",
	Find: func(_ context.Context, f *Facts, _ Session) ([]Found, error) {
		var found []Found
		for _, refused := range f.Host.SchemaRehearsal.Value.Refused {
			one := refused.found()
			one.SQL, one.Database = refused.Undo, refused.In
			found = append(found, one)
		}
		return found, nil
	},
}

// notRehearsed: what the rehearsal says nothing about. It stands in the way of nothing, since the checks that look for
// single things have looked; but a whole database that was left out is where surprises are left.
var notRehearsed = Check{
	ID: "not-rehearsed", Title: "Not all definitions were upgraded for a trial",
	Severity: upgrade.Info, Modes: withPgUpgrade(), Scope: PerCluster,
	Why: "A copy of all definitions, without data, is upgraded in a scratch directory by the programs of both versions, since pg_upgrade --check " +
		"restores nothing. What was not part of it was checked in other ways only.",
	Remedy: "See the reason. If it can be mended, check again.",
	Find: func(_ context.Context, f *Facts, _ Session) ([]Found, error) {
		said, err := f.Host.SchemaRehearsal.Get()
		if err != nil {
			one := Found{Object: "schema rehearsal", Note: err.Error(), Severity: upgrade.Warning}
			if f.Plan.Options.SkipSchemaRehearsal || f.Host.Unseen != nil {
				one.Severity = upgrade.Info // so it was asked for
			}
			return []Found{one}, nil
		}
		var found []Found
		for _, left := range said.LeftOut {
			one := left.found()
			if left.Object == "" {
				one.Severity = upgrade.Warning
			}
			found = append(found, one)
		}
		if said.Unfinished != "" {
			found = append(found, Found{Object: "schema rehearsal", Note: said.Unfinished, Severity: upgrade.Warning})
		}
		return found, nil
	},
}

// maxShownSQL bounds what is shown of a statement beside an object.
const maxShownSQL = 300

func (r RehearsalFailure) found() Found {
	name := r.Object
	if r.Database != "" {
		name = strings.TrimSuffix(r.Database+"."+r.Object, ".")
	}
	var words []string
	if r.Kind != "" && r.Kind != "setting" {
		words = append(words, r.Kind)
	}
	words = append(words, strings.Join(strings.Fields(r.Error), " "))
	if sql := strings.Join(strings.Fields(r.SQL), " "); sql != "" {
		if len(sql) > maxShownSQL {
			sql = strings.ToValidUTF8(sql[:maxShownSQL], "") + " ..."
		}
		words = append(words, "the statement was "+strings.TrimSuffix(sql, ";"))
	}
	return Found{Object: name, Note: strings.Join(words, "; ")}
}

// foretells lists the checks that find, one by one, what fails in a restore. Of the others, such as that of
// the replica identities, an object may have both troubles.
func foretells() []string {
	return []string{
		"role-settings", "parameter-privileges", "function-settings", "encodings", "locales", "extensions", "required-libraries", "languages", "storage-options", "python2",
		"removed-columns", "removed-functions", "reserved-words", "foreign-key-collations", "generated-children", "not-null-names", "text-search-files", "pg-upgrade",
	}
}

// withoutRehearsed takes out of the rehearsal's findings what another check has foretold of the same object,
// with a remedy of its own.
func (r *round) withoutRehearsed() {
	var foretold []string
	for _, id := range foretells() {
		for _, one := range r.found[id] {
			if one.Severity == upgrade.Blocker {
				foretold = append(foretold, rehearsedName(one.Object))
			}
		}
	}
	r.found[schemaRehearsal.ID] = slices.DeleteFunc(r.found[schemaRehearsal.ID], func(l located) bool {
		name := rehearsedName(l.Object)
		return slices.ContainsFunc(foretold, func(known string) bool {
			return known == name || strings.HasPrefix(known, name+".") // a part of it, such as a default of a table
		})
	})
}

// rehearsedName is an object's name without what only some checks write: quotes, and the schema public.
func rehearsedName(object string) string {
	return strings.ReplaceAll(strings.ReplaceAll(object, `"`, ""), ".public.", ".")
}
