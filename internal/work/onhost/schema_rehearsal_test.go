package onhost

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pgleap/pgleap/internal/pgtest"
	"github.com/pgleap/pgleap/internal/run"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// oddSchema has what an upgrade takes, however odd it looks.
const oddSchema = `
	CREATE EXTENSION hstore VERSION '1.4';
	CREATE EXTENSION pg_stat_statements;
	CREATE EXTENSION postgres_fdw;
	CREATE EXTENSION btree_gist;
	CREATE SCHEMA "Ünï cödé ""q"".x";
	CREATE TABLE "Ünï cödé ""q"".x"."ta.b le" ("c ol" int PRIMARY KEY, "ON ""y" text, dropped int);
	ALTER TABLE "Ünï cödé ""q"".x"."ta.b le" DROP COLUMN dropped;
	CREATE VIEW "Ünï cödé ""q"".x"."view's" AS SELECT * FROM "Ünï cödé ""q"".x"."ta.b le";
	CREATE TABLE measured (day date NOT NULL, id bigint GENERATED ALWAYS AS IDENTITY, value int, doubled int GENERATED ALWAYS AS (value * 2) STORED, PRIMARY KEY (day, id)) PARTITION BY RANGE (day);
	CREATE TABLE measured_old PARTITION OF measured FOR VALUES FROM ('2020-01-01') TO ('2025-01-01') TABLESPACE aside;
	CREATE TABLE measured_rest PARTITION OF measured DEFAULT;
	CREATE TABLE tags (t hstore, during tstzrange, EXCLUDE USING gist (during WITH &&)) TABLESPACE aside;
	CREATE UNLOGGED TABLE cache (k text PRIMARY KEY);
	CREATE MATERIALIZED VIEW sums AS SELECT day, sum(value) FROM measured GROUP BY day;
	CREATE FUNCTION noted() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'nobody may'; END $$;
	CREATE FUNCTION "F"("a b" int DEFAULT 1, VARIADIC text[] DEFAULT '{}') RETURNS int LANGUAGE sql AS 'SELECT 1';
	CREATE SERVER other FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host 'nowhere.example');
	CREATE USER MAPPING FOR app SERVER other OPTIONS (user 'x', password 'hush');
	CREATE FOREIGN TABLE far (a int) SERVER other;
	CREATE PUBLICATION all_of_it FOR ALL TABLES;
	CREATE SUBSCRIPTION sub CONNECTION 'host=nowhere.example password=hush' PUBLICATION p WITH (connect = false);
	SELECT lo_create(0);
	ALTER ROLE app IN DATABASE "Odd, 'name'" SET work_mem = '5MB';
	ALTER DATABASE "Odd, 'name'" SET default_transaction_read_only = on;
	CREATE EVENT TRIGGER noting ON ddl_command_end EXECUTE FUNCTION noted();`

// gone is what the target's version has no more of what the source's has, and what no check looks for: a field of a
// value, not a column of a relation. Empty: nothing is known.
func gone(from, to upgrade.Major) string {
	switch {
	case from < 15 && to >= 15:
		return "(NULL::pg_database).datlastsysoid"
	case from >= 15 && from < 17 && to >= 17:
		return "(NULL::pg_database).daticulocale"
	}
	return ""
}

// One precheck sees both: what the target takes, however odd it is, and what it does not take.
func TestSchemaRehearsal(t *testing.T) {
	pgtest.Slow(t)
	w, source, args := precheckBed(t)
	beside := filepath.Dir(source.Pgdata)
	const writable = "SET TRANSACTION READ WRITE; "
	space := filepath.Join(beside, "aside")
	makeOwned(t, source.Owner, space)
	source.Exec(t, "postgres", "CREATE TABLESPACE aside LOCATION '"+space+"'")
	source.Exec(t, "postgres", "CREATE ROLE app LOGIN PASSWORD 'secret'; ALTER ROLE app SET default_tablespace = 'aside'")
	source.CreateDatabase(t, "Odd, 'name'")
	source.CreateDatabase(t, "second")
	source.Exec(t, "Odd, 'name'", oddSchema)
	var want []string
	lost := gone(args.Plan.Source.Version.Major(), args.Plan.Target.Version.Major())
	if lost != "" {
		source.Exec(t, "Odd, 'name'", writable+fmt.Sprintf(`
			ALTER EVENT TRIGGER noting DISABLE;
			CREATE VIEW "Ünï cödé ""q"".x"."he.al th" AS SELECT %[1]s AS written;
			CREATE VIEW above AS SELECT * FROM "Ünï cödé ""q"".x"."he.al th"`, lost))
		source.Exec(t, "second", fmt.Sprintf(`CREATE TABLE counted (a int, b text DEFAULT %[1]s)`, lost))
		want = []string{`"Odd, 'name'"."Ünï cödé ""q"".x"."he.al th" (view; `, `second.public.counted`}
	}
	// These fail as well, and checks of their own tell of them.
	from, to := args.Plan.Source.Version.Major(), args.Plan.Target.Version.Major()
	granted := from == 15 && to > 15
	if granted {
		source.Exec(t, "postgres", `GRANT SET ON PARAMETER vacuum_defer_cleanup_age TO app`)
	}
	source.Exec(t, "second", `CREATE DOMAIN taken AS int NOT NULL CONSTRAINT taken_not_null CHECK (VALUE > 0)`)
	check := func() (upgrade.Report, upgrade.Finding) {
		t.Helper()
		before := list(t, beside)
		report, err := w.Precheck(t.Context(), args)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(before, list(t, beside)); diff != "" {
			t.Errorf("files beside the source (-before +after):\n%s", diff)
		}
		if skipped := find(report, "not-rehearsed"); skipped.Total > 0 {
			t.Errorf("not rehearsed: %v", skipped.Objects)
		}
		if e := report.Estimate; e == nil || e.Speed.SchemaUpgrade <= 0 || e.Speed.SchemaDatabases < 4 || e.Speed.WriteRate <= 0 || e.Speed.ReadRate <= 0 {
			t.Errorf("estimate: got %+v", e)
		}
		return report, find(report, "schema-rehearsal")
	}

	// What fires at a DROP must not do so in the copy, in which what the target refuses is dropped.
	source.Exec(t, "Odd, 'name'", writable+"ALTER EVENT TRIGGER noting ENABLE ALWAYS")
	report, found := check()
	if len(found.Objects) != len(want) {
		t.Fatalf("found %+v", found)
	}
	taken := find(report, "not-null-names")
	if (taken.Total == 1) != (from < 17 && to >= 17) {
		t.Errorf("a name that is taken: found %+v", taken)
	}
	parameter := find(report, "parameter-privileges")
	if (parameter.Total == 1) != granted {
		t.Errorf("a privilege on a parameter that is gone: found %+v", parameter)
	}
	for i := range want {
		if !strings.HasPrefix(found.Objects[i], want[i]) || !strings.Contains(found.Objects[i], "the statement was ") || found.Severity != upgrade.Blocker {
			t.Errorf("got %s, want %s...", found.Objects[i], want[i])
		}
	}
	secrets(t, w.dir)
	if lost == "" || !pgtest.IsSlow() {
		return
	}
	source.Exec(t, "Odd, 'name'", writable+"ALTER EVENT TRIGGER noting DISABLE; DROP VIEW above")
	for _, mend := range slices.Concat(found.RemedySQL, taken.RemedySQL, parameter.RemedySQL) {
		source.Exec(t, mend.Database, writable+mend.SQL)
	}
	source.Exec(t, "second", `ALTER TABLE counted ALTER b DROP DEFAULT`) // the table itself is not to be dropped
	if _, found := check(); found.Total > 0 {
		t.Errorf("after the remedy: %+v", found)
	}
}

// A rehearsal that is cancelled, or that takes more than it may, leaves nothing and stands in the way of nothing.
func TestSchemaRehearsalEndsEarly(t *testing.T) {
	pgtest.Exhaustive(t)
	w, source, args := precheckBed(t)
	beside := list(t, filepath.Dir(source.Pgdata))
	clean := func() {
		t.Helper()
		if diff := cmp.Diff(beside, list(t, filepath.Dir(source.Pgdata))); diff != "" {
			t.Errorf("files beside the source (-before +after):\n%s", diff)
		}
		sessions := source.Connect(t, "postgres")
		var left int
		err := sessions.QueryRow(t.Context(), `SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'pgleap schema%'`).Scan(&left)
		if err != nil || left > 0 {
			t.Errorf("sessions left: %d, %v", left, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ctx = context.WithValue(ctx, progressKey{}, &progress{beat: func(now upgrade.Progress) {
		if strings.HasPrefix(now.Text, "schema rehearsal: upgrading") {
			cancel()
		}
	}})
	if _, err := w.Precheck(ctx, args); err == nil {
		t.Error("a precheck that was cancelled has a report")
	}
	clean()

	for _, c := range []struct {
		name    string
		options upgrade.Options
		want    string
	}{
		{"little time", upgrade.Options{SchemaRehearsalTimeout: time.Second}, "it took more than the 1s that it may take"},
		{"little disk", upgrade.Options{SchemaRehearsalDisk: 64 << 20}, "and may take 64 MiB"},
	} {
		args.Plan.Options = c.options.WithDefaults()
		report, err := w.Precheck(t.Context(), args)
		if err != nil {
			t.Fatal(err)
		}
		if said := find(report, "not-rehearsed"); said.Total != 1 || !strings.Contains(said.Objects[0], c.want) || said.Severity != upgrade.Warning {
			t.Errorf("%s: got %+v", c.name, said)
		}
		if !report.Passed() {
			t.Errorf("%s: not passed: %+v %v", c.name, report.Findings, report.NotChecked)
		}
		clean()
	}
}

// secrets looks for passwords in what is kept of a precheck.
func secrets(t *testing.T, dir string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "upgrades", "*", "transcripts", "*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no transcripts: %v", err)
	}
	for _, file := range files {
		if text := read(file); strings.Contains(text, "hush") || strings.Contains(text, "SCRAM-SHA-256") {
			t.Errorf("%s has a password", file)
		}
	}
}

func makeOwned(t *testing.T, owner, dir string) {
	t.Helper()
	user, err := run.LookupUser(owner)
	if err == nil {
		err = makeDir(dir, user)
	}
	if err != nil {
		t.Fatal(err)
	}
}
