package precheck

import (
	stdcmp "cmp"
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pgleap/pgleap/internal/upgrade"
)

func TestPgUpgradeComplaintsGoToTheirChecks(t *testing.T) {
	prepared := PgUpgradeComplaint{Step: "Checking for prepared transactions", Text: "The source cluster contains prepared transactions"}
	column := func(names ...string) PgUpgradeObject {
		return PgUpgradeObject{Database: "My app", Text: strings.Join(names, "."), Names: names}
	}
	library := func(name string) PgUpgradeObject {
		return PgUpgradeObject{Database: "app", Text: "$libdir/" + name, Note: "no such file"}
	}
	stopped := Found{Object: "pg_upgrade --check", Note: "stopped at what is reported above; check again afterwards", Severity: upgrade.Info}
	for _, c := range []struct {
		name     string
		mode     upgrade.Mode
		failures []PgUpgradeComplaint
		warnings []PgUpgradeComplaint
		found    map[string][]string // before
		severity upgrade.Severity    // of these; blocker when empty
		want     map[string][]Found  // afterwards, what is new
	}{
		{
			name:     "objects of a report file",
			failures: []PgUpgradeComplaint{{Step: "Checking data type usage", File: "tables_using_reg.txt", Objects: []PgUpgradeObject{column("public", "t", "Col umn")}}},
			want: map[string][]Found{
				"reg-types":  {{Object: `"My app".public.t."Col umn"`, Severity: upgrade.Blocker}},
				"pg-upgrade": {stopped},
			},
		},
		{
			name: "what both found appears once",
			failures: []PgUpgradeComplaint{{File: "tables_using_reg.txt", Objects: []PgUpgradeObject{
				column("public", "t", "c"), {Database: "My app", Text: "public.a.b.c"}, column("public", "new", "c"),
			}}},
			found: map[string][]string{"reg-types": {`"My app".public.t.c`, `"My app".public."a.b".c`}},
			want: map[string][]Found{
				"reg-types":  {{Object: `"My app".public.new.c`, Severity: upgrade.Blocker}},
				"pg-upgrade": {stopped},
			},
		},
		{
			name:     "words without objects",
			failures: []PgUpgradeComplaint{prepared},
			want: map[string][]Found{
				"prepared-transactions": {{Object: "prepared transactions", Note: "The source cluster contains prepared transactions", Severity: upgrade.Blocker}},
				"pg-upgrade":            {stopped},
			},
		},
		{
			name:     "words about what another check has found",
			failures: []PgUpgradeComplaint{prepared},
			found:    map[string][]string{"prepared-transactions": {"'x'"}},
			want:     map[string][]Found{"pg-upgrade": {stopped}},
		},
		{
			name:     "words about what another check takes lightly",
			failures: []PgUpgradeComplaint{prepared},
			found:    map[string][]string{"prepared-transactions": {"'x'"}}, severity: upgrade.Info,
			want: map[string][]Found{
				"prepared-transactions": {{Object: "prepared transactions", Note: "The source cluster contains prepared transactions", Severity: upgrade.Blocker}},
				"pg-upgrade":            {stopped},
			},
		},
		{
			name:     "a complaint of a later version",
			failures: []PgUpgradeComplaint{{Step: "Checking for something new", Text: "Your installation has news.\nMore of it.", File: "news.txt", Objects: []PgUpgradeObject{{Database: "app", Text: "public.t"}}}},
			want:     map[string][]Found{"pg-upgrade": {{Object: "app.public.t", Note: "something new", Severity: upgrade.Blocker}}},
		},
		{
			name:     "words of a later version",
			failures: []PgUpgradeComplaint{{Step: "Checking for something new", Text: "Your installation has\nnews. More of it."}},
			want:     map[string][]Found{"pg-upgrade": {{Object: "something new", Note: "Your installation has news", Severity: upgrade.Blocker}}},
		},
		{
			name:     "before the first step",
			failures: []PgUpgradeComplaint{{Text: "When checking a live server, the old and new port numbers must be different."}},
			want: map[string][]Found{
				"pg-upgrade-place": {{Object: "pg_upgrade --check", Note: "When checking a live server, the old and new port numbers must be different", Severity: upgrade.Blocker}},
				"pg-upgrade":       {stopped},
			},
		},
		{
			name: "a warning stays one before a failure",
			failures: []PgUpgradeComplaint{
				prepared, {Step: "unicode dependent rels", File: "unicode_dependent_rels.txt", Objects: []PgUpgradeObject{column("public", "t")}},
			},
			found: map[string][]string{"prepared-transactions": {"'x'"}},
			want: map[string][]Found{
				"unicode-update": {{Object: `"My app".public.t`, Severity: upgrade.Warning}},
				"pg-upgrade":     {stopped},
			},
		},
		{
			name:     "a warning",
			warnings: []PgUpgradeComplaint{{File: "unicode_dependent_rels.txt", Objects: []PgUpgradeObject{column("public", "t")}}},
			want:     map[string][]Found{"unicode-update": {{Object: `"My app".public.t`, Severity: upgrade.Warning}}},
		},
		{
			name:     "a blocker of a check that informs otherwise",
			failures: []PgUpgradeComplaint{{Step: "Checking for prepared transactions", Text: `tablespace directory "/gone" does not exist`}},
			found:    map[string][]string{"tablespaces": {}},
			want: map[string][]Found{
				"tablespaces": {{Object: "prepared transactions", Note: `tablespace directory "/gone" does not exist`, Severity: upgrade.Blocker}},
				"pg-upgrade":  {stopped},
			},
		},
		{
			name: "a library of an extension that is known to be missing, and others",
			failures: []PgUpgradeComplaint{{File: "loadable_libraries.txt", Objects: []PgUpgradeObject{
				library("adminpack"), library("own"), library("postgis-3"), library("uuid-ossp"),
			}}},
			found: map[string][]string{"extensions": {"app.adminpack", "app.postgis", `app."uuid-ossp"`}},
			want: map[string][]Found{
				"required-libraries": {{Object: "app.$libdir/own", Note: "no such file", Severity: upgrade.Blocker}},
				"pg-upgrade":         {stopped},
			},
		},
		{
			name:     "a library without its directory",
			failures: []PgUpgradeComplaint{{File: "loadable_libraries.txt", Objects: []PgUpgradeObject{{Database: "app", Text: "own"}, {Database: "app", Text: "adminpack"}}}},
			found:    map[string][]string{"required-libraries": {"app.$libdir/own"}, "extensions": {"app.adminpack"}},
			want:     map[string][]Found{"pg-upgrade": {stopped}},
		},
		{
			name:     "slots do not come along with a clone",
			failures: []PgUpgradeComplaint{{Step: "Checking for valid logical replication slots", File: "invalid_logical_slots.txt", Objects: []PgUpgradeObject{{Text: "s1", Names: []string{"s1"}}}}},
			want: map[string][]Found{"pg-upgrade": {{
				Object: "valid logical replication slots", Severity: upgrade.Info,
				Note: "does not concern an upgrade in this mode, but pg_upgrade --check stopped there",
			}}},
		},
		{
			name: "but they do in place", mode: upgrade.InPlace,
			failures: []PgUpgradeComplaint{{File: "invalid_logical_slots.txt", Objects: []PgUpgradeObject{{Text: "s1", Names: []string{"s1"}, Note: "is invalid"}}}},
			want: map[string][]Found{
				"slots-taken-over": {{Object: "s1", Note: "is invalid", Severity: upgrade.Blocker}},
				"pg-upgrade":       {stopped},
			},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			facts := &Facts{Host: Host{PgUpgrade: Known(PgUpgrade{Failures: c.failures, Warnings: c.warnings}, nil)}}
			if facts.Plan.Mode = c.mode; c.mode == "" {
				facts.Plan.Mode = upgrade.ZeroDowntime
			}
			r := round{facts: facts, checks: of(All(), facts.Plan.Mode), seen: seen{found: map[string][]located{}}}
			for id, objects := range c.found {
				for _, object := range objects {
					r.found[id] = append(r.found[id], located{Found: Found{Object: object, Severity: stdcmp.Or(c.severity, upgrade.Blocker)}})
				}
			}
			r.hearPgUpgrade()
			got := map[string][]Found{}
			for id, found := range r.found {
				for _, one := range found[len(c.found[id]):] {
					got[id] = append(got[id], one.Found)
				}
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("found (-want +got):\n%s", diff)
			}
		})
	}
}

// pg_upgrade --check that stopped at what another mode minds has not looked at the rest; the rehearsal may have.
func TestNobodyLookedAtTheRest(t *testing.T) {
	ofSlots := PgUpgradeComplaint{Step: "Checking for valid logical replication slots", File: "invalid_logical_slots.txt"}
	ofTypes := PgUpgradeComplaint{Step: "Checking for reg* data types in user tables", File: "tables_using_reg.txt"}
	for _, c := range []struct {
		name      string
		mode      upgrade.Mode
		failures  []PgUpgradeComplaint
		rehearsed Measured[SchemaRehearsal]
		want      []string
	}{
		{name: "no complaint, no rehearsal", mode: upgrade.ZeroDowntime, rehearsed: Known(SchemaRehearsal{}, errors.New("no space"))},
		{name: "everything else was rehearsed", mode: upgrade.ZeroDowntime, failures: []PgUpgradeComplaint{ofSlots}},
		{name: "a complaint that stands in the way", mode: upgrade.ZeroDowntime, failures: []PgUpgradeComplaint{ofTypes}, rehearsed: Known(SchemaRehearsal{}, errors.New("no space"))},
		{name: "in place", mode: upgrade.InPlace, failures: []PgUpgradeComplaint{ofSlots}, rehearsed: Known(SchemaRehearsal{}, errors.New("no space"))},
		{
			name: "no rehearsal", mode: upgrade.ZeroDowntime, failures: []PgUpgradeComplaint{ofSlots}, rehearsed: Known(SchemaRehearsal{}, errors.New("no space")),
			want: []string{"pg-upgrade: pg_upgrade --check stopped at valid logical replication slots, which does not concern an upgrade in this mode, and the schema rehearsal was not finished: no space. Mend either"},
		},
		{
			name: "a rehearsal that was given up", mode: upgrade.BlueGreen, failures: []PgUpgradeComplaint{ofSlots}, rehearsed: Known(SchemaRehearsal{Unfinished: "too many failures"}, nil),
			want: []string{"pg-upgrade: pg_upgrade --check stopped at valid logical replication slots, which does not concern an upgrade in this mode, and the schema rehearsal was not finished: too many failures. Mend either"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			facts := &Facts{Host: Host{PgUpgrade: Known(PgUpgrade{Failures: c.failures}, nil), SchemaRehearsal: c.rehearsed}}
			facts.Plan.Mode = c.mode
			r := round{facts: facts, checks: of(All(), c.mode), seen: newSeen()}
			r.hearPgUpgrade()
			if diff := cmp.Diff(c.want, r.notChecked); diff != "" {
				t.Errorf("not checked (-want +got):\n%s", diff)
			}
		})
	}
}

func TestPgUpgradeThatFailedWithoutAWordIsNotPassed(t *testing.T) {
	facts := &Facts{Host: Host{PgUpgrade: Known(PgUpgrade{}, nil)}}
	if _, err := pgUpgradeCheck.Find(context.Background(), facts, Session{}); err == nil {
		t.Error("no error")
	}
}

// Each of pg_upgrade's words belongs to one check.
func TestPgUpgradeWordsAreToldApart(t *testing.T) {
	for _, c := range All() {
		for _, words := range c.PgUpgrade {
			for _, other := range All() {
				for _, others := range other.PgUpgrade {
					if other.ID != c.ID && strings.Contains(words, others) {
						t.Errorf("%s and %s: %q is in %q", c.ID, other.ID, others, words)
					}
				}
			}
		}
	}
}

func FuzzPlainName(f *testing.F) {
	f.Add("Two words")
	f.Add(`say "hi"`)
	f.Fuzz(func(t *testing.T, name string) {
		if got := plainName(displayName(name)); got != name {
			t.Errorf("%q became %q", name, got)
		}
	})
}
