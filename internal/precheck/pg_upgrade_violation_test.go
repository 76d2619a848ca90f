package precheck

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pgleap/pgleap/internal/pgtest"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// long is a name of 63 bytes that needs quotes.
const long = `Größe ünd 'Länge' "x" äöü ÄÖÜ ß 63 Bytes langer Name`

// quoted is a name as SQL wants it.
func quoted(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// pgUpgradeViolations are what pg_upgrade itself refuses.
func pgUpgradeViolations() []violation {
	return concat(typeViolations(), oldObjectViolations(), schemaViolations(), clusterViolations(), inPlaceViolations())
}

func concat(lists ...[]violation) []violation {
	var all []violation
	for _, list := range lists {
		all = append(all, list...)
	}
	return all
}

func typeViolations() []violation {
	return []violation{
		{
			name: "columns of reg* types", check: regTypes,
			violate: []string{
				`CREATE TABLE t (a regproc, b regprocedure[], fine regclass, c int, d regtype, e regrole)`,
				`CREATE TABLE ` + quoted(long) + ` (` + quoted(long) + ` regnamespace DEFAULT 'pg_catalog')`,
				`INSERT INTO t VALUES ('now', '{now()}')`,
			},
			want: []string{
				`{db}.public.` + quoted(long) + `.` + quoted(long) + ` (regnamespace)`,
				`{db}.public.t.a (regproc)`, `{db}.public.t.b (regprocedure[])`,
			},
		},
		{
			name: "reg* types within others", check: regTypes,
			violate: []string{
				`CREATE SCHEMA "S x"`,
				`CREATE DOMAIN "S x".source AS regoper`, `CREATE TYPE "S x".pair AS (name text, ops "S x".source[])`,
				`CREATE TYPE "S x".span AS RANGE (subtype = "S x".source)`,
				`CREATE DOMAIN "S x".pairs AS "S x".pair[]`,
				`CREATE TABLE deep (id int, a "S x".pairs, b "S x".span, gone regproc)`,
				`ALTER TABLE deep DROP gone`,
			},
			want: []string{`{db}.public.deep.a ("S x".pairs)`, `{db}.public.deep.b ("S x".span)`},
		},
		{
			name: "an inherited column is changed where it was declared", check: regTypes,
			violate: []string{
				`CREATE TABLE "Part ed" (id int, "C" regproc) PARTITION BY RANGE (id)`,
				`CREATE TABLE part PARTITION OF "Part ed" FOR VALUES FROM (0) TO (10) PARTITION BY RANGE (id)`,
				`CREATE TABLE leaf PARTITION OF part FOR VALUES FROM (0) TO (5)`,
				`CREATE TABLE leaf2 PARTITION OF part FOR VALUES FROM (5) TO (10)`,
				`CREATE INDEX ON "Part ed" ("C")`,
			},
			want: []string{
				`{db}.public."leaf2_C_idx"."C" (index, regproc)`, `{db}.public."leaf_C_idx"."C" (index, regproc)`,
				`{db}.public.leaf."C" (regproc)`, `{db}.public.leaf2."C" (regproc)`,
			},
		},
		{
			name: "columns whose type cannot be changed", check: regTypes,
			violate: []string{
				`CREATE TYPE made AS (id int, what regproc)`, `CREATE TABLE typed OF made`,
				`CREATE TABLE keyed (what regproc) PARTITION BY LIST (what)`, `CREATE TABLE keyed_1 PARTITION OF keyed DEFAULT`,
			},
			want: []string{`{db}.public.keyed_1.what (regproc)`, `{db}.public.typed.what (regproc)`},
			mend: []string{`DROP TABLE keyed`, `ALTER TABLE typed NOT OF`, `ALTER TABLE typed ALTER COLUMN what TYPE text`},
		},
		{
			name: "an index of an expression", check: regTypes,
			violate: []string{
				`CREATE TABLE t (name int)`,
				`CREATE FUNCTION f(int) RETURNS regproc LANGUAGE sql IMMUTABLE AS 'SELECT NULL::regproc'`,
				`CREATE INDEX "My index" ON t (f(name))`,
			},
			want: []string{`{db}.public."My index".f (index, regproc)`},
		},
		{
			name: "a materialized view", check: regTypes,
			violate: []string{`CREATE MATERIALIZED VIEW m AS SELECT 'now'::regproc AS f`},
			want:    []string{`{db}.public.m.f (materialized view, regproc)`},
			mend:    []string{`DROP MATERIALIZED VIEW m`},
		},
		{
			name: "row types of catalogs", check: systemCompositeTypes,
			violate: []string{
				`CREATE TABLE t (a pg_class, b information_schema.tables, own point)`,
				`CREATE TABLE fine (own t[])`,
				`CREATE TABLE "T 2" ("a b" pg_stat_activity)`,
			},
			want: []string{
				`{db}.public."T 2"."a b" (pg_stat_activity)`, `{db}.public.fine.own (public.t[])`,
				`{db}.public.t.a (pg_class)`, `{db}.public.t.b (information_schema.tables)`,
			},
		},
		{
			name: "row types of catalogs alone", check: systemCompositeTypes,
			violate: []string{`CREATE TABLE "T 2" ("a b" pg_stat_activity, c pg_database)`},
			want:    []string{`{db}.public."T 2"."a b" (pg_stat_activity)`, `{db}.public."T 2".c (pg_database)`},
		},
		{
			name: "privileges", check: aclitemTypes, source: -15, target: 16,
			violate: []string{
				`CREATE TABLE t ("acl s" aclitem[], one aclitem)`, `INSERT INTO t SELECT relacl, relacl[1] FROM pg_class WHERE relacl IS NOT NULL LIMIT 1`,
			},
			want: []string{`{db}.public.t."acl s" (aclitem[])`, `{db}.public.t.one (aclitem)`},
		},
	}
}

func oldObjectViolations() []violation {
	return []violation{
		{
			name: "encoding conversion", check: encodingConversions, source: -13,
			violate: []string{`CREATE SCHEMA "S x"`, `CREATE CONVERSION "S x".` + quoted(long) + ` FOR 'LATIN1' TO 'UTF8' FROM iso8859_1_to_utf8`},
			want:    []string{`{db}."S x".` + quoted(long) + ` (LATIN1 to UTF8)`},
		},
		{
			name: "postfix operator", check: postfixOperators, source: -13,
			violate: []string{
				`CREATE SCHEMA "S x"`, `CREATE TYPE "S x"."My ""type" AS (a int)`,
				`CREATE FUNCTION f(int8) RETURNS numeric LANGUAGE sql AS 'SELECT 1.0'`,
				`CREATE FUNCTION f("S x"."My ""type") RETURNS numeric LANGUAGE sql AS 'SELECT 1.0'`,
				`CREATE OPERATOR !!! (LEFTARG = int8, PROCEDURE = f)`,
				`CREATE OPERATOR "S x".!!! (LEFTARG = "S x"."My ""type", PROCEDURE = f)`,
				`CREATE OPERATOR @!! (RIGHTARG = int8, PROCEDURE = f)`,
			},
			want: []string{`{db}."S x".!!! ("S x"."My ""type", NONE) (public.f)`, `{db}.public.!!! (pg_catalog.int8, NONE) (public.f)`},
		},
		{
			name: "polymorphic functions", check: polymorphicFunctions, source: -13,
			violate: []string{
				`CREATE SCHEMA "S x"`,
				`CREATE AGGREGATE "S x"."All of ""it" (anyelement) (SFUNC = array_append, STYPE = anyarray, INITCOND = '{}')`,
				`CREATE AGGREGATE cat (v anyarray) (SFUNC = array_cat, STYPE = anyarray, INITCOND = '{}')`,
				`CREATE OPERATOR "S x".@@! (LEFTARG = anyarray, RIGHTARG = anyelement, PROCEDURE = array_remove)`,
				`CREATE AGGREGATE fine (int) (SFUNC = int4pl, STYPE = int)`,
			},
			want: []string{
				`{db}."S x"."All of ""it"(anyelement) (aggregate)`, `{db}."S x".@@!(anyarray,anyelement) (operator)`,
				`{db}.public.cat(anyarray) (aggregate)`,
			},
		},
	}
}

func schemaViolations() []violation {
	return []violation{
		{
			name: "a child takes NULL", check: inheritedNotNull, source: -17,
			violate: []string{
				`CREATE TABLE parent (id int, ` + quoted(long) + ` int)`, `CREATE TABLE "Ch ild" () INHERITS (parent)`, `CREATE TABLE grandchild () INHERITS ("Ch ild")`,
				`ALTER TABLE ONLY parent ALTER ` + quoted(long) + ` SET NOT NULL`,
				// SET NOT NULL reaches the children that are not inherited from.
				`UPDATE pg_attribute SET attnotnull = attrelid = 'parent'::regclass WHERE attname = ` + literal(long) + ` AND attrelid::regclass::text IN ('parent', '"Ch ild"', 'grandchild')`,
			},
			want: []string{`{db}.public."Ch ild".` + quoted(long)},
		},
		{
			name: "index of btree_gist's classes", check: gistInetIndexes, target: 19,
			violate: []string{
				`CREATE EXTENSION btree_gist`,
				`CREATE TABLE "T x" (id int, "ad dr" inet, net cidr, body text, during tsrange)`,
				`CREATE INDEX ` + quoted(long) + ` ON "T x" USING gist (id, "ad dr", net) INCLUDE (body) WITH (fillfactor = 70) WHERE id > 0`,
				`CREATE INDEX plain ON "T x" USING gist (net)`,
				`CREATE INDEX fine ON "T x" USING gist ("ad dr" inet_ops)`,
				`ALTER TABLE "T x" ADD CONSTRAINT "No two" EXCLUDE USING gist ("ad dr" WITH =, during WITH &&) WHERE (id > 5)`,
				`CREATE TABLE p (id int, a inet) PARTITION BY RANGE (id)`, `CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (5)`,
				`CREATE INDEX p_a ON p USING gist (a)`,
				`INSERT INTO "T x" VALUES (7, '10.0.0.1', '10.0.0.0/8', 'x', '[2026-01-01,2026-01-02)')`,
			},
			want: []string{
				`{db}.public.` + quoted(long), `{db}.public."No two" (exclusion constraint)`,
				`{db}.public.p1_a_idx`, `{db}.public.p_a`, `{db}.public.plain`,
			},
		},
		{
			name: "expressions that depend on Unicode", check: unicodeUpdate, source: 17, target: 18,
			violate: []string{
				`CREATE TABLE t (name text COLLATE pg_c_utf8, other text COLLATE "C", CHECK (name ~ 'a'), CHECK (length(other) < 9))`,
				`CREATE INDEX "My index" ON t (lower(name))`, `CREATE INDEX part ON t (other) WHERE upper(name) = 'A'`,
				`CREATE INDEX fine ON t (lower(other))`, `CREATE INDEX norm ON t (normalize(other))`,
				`CREATE MATERIALIZED VIEW m AS SELECT initcap(name) FROM t`, `CREATE VIEW v AS SELECT initcap(name) FROM t`,
				`CREATE TABLE p (name text COLLATE pg_c_utf8) PARTITION BY RANGE (upper(name))`,
			},
			want: []string{
				`{db}.public."My index" (index)`, `{db}.public.m (materialized view)`, `{db}.public.norm (index)`,
				`{db}.public.p (partition key)`, `{db}.public.part (index)`, `{db}.public.t (CHECK constraint)`,
			},
			mend: []string{`DROP MATERIALIZED VIEW m`, `DROP VIEW v`, `DROP TABLE p, t`},
		},
		{
			name: "a library that the target lacks", check: requiredLibraries,
			violate: []string{
				`CREATE SCHEMA "S x"`,
				`CREATE FUNCTION "S x"."My f"(int) RETURNS int LANGUAGE c AS '$libdir/pgcrypto', 'pg_digest'`,
				`CREATE FUNCTION f(a "char", b text[]) RETURNS int LANGUAGE c AS '$libdir/pgcrypto', 'pg_digest'`,
				`UPDATE pg_proc SET probin = '$libdir/no such "lib' WHERE proname = 'My f'`,
				`UPDATE pg_proc SET probin = '$libdir/neither' WHERE proname = 'f' AND oid >= 16384`,
				`CREATE EXTENSION hstore`,
			},
			want: []string{
				`{db}.$libdir/neither (could not access file "$libdir/neither": No such file or directory; used by public.f(a "char", b text[]))`,
				`{db}.$libdir/no such "lib (could not access file "$libdir/no such "lib": No such file or directory; used by "S x"."My f"(integer))`,
			},
			mend: []string{`DROP FUNCTION "S x"."My f"(int)`, `DROP FUNCTION f("char", text[])`},
		},
		{
			name: "a broken library of an extension that the target has", check: requiredLibraries,
			violate: []string{
				`CREATE EXTENSION "uuid-ossp"`,
				`UPDATE pg_proc SET probin = '$libdir/broken' WHERE probin = '$libdir/uuid-ossp'`,
			},
			want: []string{`{db}.$libdir/broken (could not access file "$libdir/broken": No such file or directory; used by public.uuid_nil())`},
			mend: []string{`DROP EXTENSION "uuid-ossp"`},
		},
	}
}

func literal(text string) string { return "'" + strings.ReplaceAll(text, "'", "''") + "'" }

func clusterViolations() []violation {
	return []violation{
		{
			name: "line breaks in names", check: lineBreaksInNames, target: 19, source: -18,
			violate: []string{
				"CREATE DATABASE \"two\nlines\"", "CREATE ROLE \"carriage\r\nreturn \"\"x\"\"\"",
				`COPY (SELECT WHERE false) TO PROGRAM 'mkdir -p "$PWD/../broken space" && chmod 700 "$PWD/../broken space"'`,
			},
			want: []string{"\"two\nlines\" (database)", "\"carriage\r\nreturn \"\"x\"\"\" (role)"},
		},
		{
			name: "a database older than the cluster", check: oldestTransactionIDs, target: 19,
			violate: []string{
				`CREATE DATABASE "Old one"`,
				`UPDATE pg_database SET datfrozenxid = '3' WHERE datname = 'Old one'`,
			},
			want: []string{`"Old one" (datfrozenxid 3, datminmxid 1)`},
		},
		{
			name: "tablespace without a directory", check: tablespaces,
			violate: []string{
				`COPY (SELECT WHERE false) TO PROGRAM 'mkdir -m 700 {dir}/{db}'`,
				`CREATE TABLESPACE "My space" LOCATION '{dir}/{db}'`,
				`COPY (SELECT WHERE false) TO PROGRAM 'mv {dir}/{db} {dir}/{db}-away'`,
			},
			want:     []string{`"My space" ({dir}/{db} is not a directory)`},
			severity: upgrade.Blocker,
			mend: []string{
				`COPY (SELECT WHERE false) TO PROGRAM 'mv {dir}/{db}-away {dir}/{db}'`, `DROP TABLESPACE "My space"`,
				`COPY (SELECT WHERE false) TO PROGRAM 'rmdir {dir}/{db}'`,
			},
		},
	}
}

func inPlaceViolations() []violation {
	return []violation{
		{
			name: "directory of the target in a tablespace", check: tablespaceLeftovers, mode: upgrade.InPlace,
			violate: []string{
				`COPY (SELECT WHERE false) TO PROGRAM 'mkdir -m 700 {dir}/{db}'`,
				`CREATE TABLESPACE "My space" LOCATION '{dir}/{db}'`,
				`COPY (SELECT WHERE false) TO PROGRAM 'mkdir {dir}/{db}/{leftover}'`,
			},
			want: []string{`"My space" ({dir}/{db}/{leftover})`},
			mend: []string{
				`COPY (SELECT WHERE false) TO PROGRAM 'rmdir {dir}/{db}/{leftover}'`, `DROP TABLESPACE "My space"`,
				`COPY (SELECT WHERE false) TO PROGRAM 'rmdir {dir}/{db}'`,
			},
		},
		{
			name: "subscription without a position", check: subscriptionState, mode: upgrade.InPlace, source: 17,
			violate: []string{
				`CREATE TABLE "T x" (id int)`,
				`CREATE SUBSCRIPTION "My sub" CONNECTION 'dbname=none' PUBLICATION p WITH (connect = false)`,
				`SELECT pg_replication_origin_drop('pg_' || oid) FROM pg_subscription WHERE subname = 'My sub'`,
				`INSERT INTO pg_subscription_rel SELECT oid, '"T x"'::regclass, 'd', NULL FROM pg_subscription WHERE subname = 'My sub'`,
			},
			want: []string{
				`{db}."My sub" (its replication origin is missing)`, `{db}."My sub" (table public."T x": state d)`,
			},
			mend: []string{`ALTER SUBSCRIPTION "My sub" SET (slot_name = NONE)`, `DROP SUBSCRIPTION "My sub"`},
		},
		{
			name: "slot of a name that 19 reserves", check: slotsTakenOver, mode: upgrade.InPlace, source: 17, target: 19,
			violate: []string{`SELECT pg_create_logical_replication_slot('pg_conflict_detection', 'pgoutput')`},
			want:    []string{`pg_conflict_detection (its name is reserved)`},
		},
		{
			name: "slot from which nobody reads", check: slotsUnread, mode: upgrade.InPlace, source: 17,
			violate: []string{
				`SELECT pg_create_logical_replication_slot('stopped', 'test_decoding')`, `CREATE TABLE unread (a int)`,
				`SELECT pg_create_physical_replication_slot('physical', true)`,
			},
			want:    []string{`stopped (of database {db})`},
			mend:    []string{`SELECT pg_drop_replication_slot('stopped')`},
			cleanup: []string{`SELECT pg_drop_replication_slot('physical')`},
		},
		{
			name: "slot of a plugin that the target does not allow", check: targetSlots, mode: upgrade.InPlace, source: 17,
			violate: []string{
				`SELECT pg_create_logical_replication_slot('cdc', 'test_decoding')`, `SELECT pg_create_logical_replication_slot('fine', 'pgoutput')`,
				`ALTER SYSTEM SET output_plugin_libraries = 'pgoutput'`, `SELECT pg_reload_conf()`,
			},
			want: []string{`cdc (plugin test_decoding is not in output_plugin_libraries)`},
			cleanup: []string{
				`ALTER SYSTEM RESET output_plugin_libraries`, `SELECT pg_reload_conf()`,
				`SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name IN ('cdc', 'fine')`,
			},
		},
	}
}

// What takes servers of its own or a restart.

func TestInstallUserOfAnotherName(t *testing.T) {
	s := pair(t)
	s.source.Exec(t, "postgres", `CREATE ROLE "Second one" SUPERUSER LOGIN`)
	subject := s.subject(t, upgrade.Options{})
	for name, want := range map[string]string{"": "", "postgres": "", "Second one": `postgres (is the role that initdb made, not "Second one")`} {
		subject.Plan.Source.Superuser = name
		report, err := run(t.Context(), []Check{installUser}, subject, time.Now())
		if err != nil || len(report.NotChecked) > 0 {
			t.Fatal(err, report.NotChecked)
		}
		got := ""
		if len(report.Findings) > 0 {
			got = report.Findings[0].Objects[0]
		}
		if got != want {
			t.Errorf("%q: got %q, want %q", name, got, want)
		}
	}
}

func TestInstallUserThatCannotLogIn(t *testing.T) {
	s := pair(t)
	s.source.Exec(t, "postgres", `CREATE ROLE other SUPERUSER LOGIN`)
	mender := s.source.Connect(t, "postgres") // before it is too late
	s.source.Exec(t, "postgres", `ALTER ROLE postgres NOLOGIN`)
	subject := s.subject(t, upgrade.Options{})
	subject.Source.User = "other"
	look := func() []upgrade.Finding {
		t.Helper()
		report, err := run(t.Context(), []Check{installUser}, subject, time.Now())
		if err != nil || len(report.NotChecked) > 0 {
			t.Fatal(err, report.NotChecked)
		}
		return report.Findings
	}
	found := look()
	if len(found) != 1 || found[0].Objects[0] != "postgres (cannot log in)" {
		t.Fatalf("got %+v", found)
	}
	execute(t, mender, found[0].RemedySQL[0].SQL)
	if after := look(); len(after) > 0 {
		t.Errorf("still found %v", after[0].Objects)
	}
}

func TestPreparedTransactionsAreRolledBackInTheirDatabase(t *testing.T) {
	s := pair(t, pgtest.Config(map[string]string{"max_prepared_transactions": "2"}))
	s.source.CreateDatabase(t, "My shop")
	s.source.Exec(t, "My shop", `BEGIN; SELECT txid_current(); PREPARE TRANSACTION 'it''s "open"'`)
	look := func() []upgrade.Finding {
		t.Helper()
		report, err := run(t.Context(), []Check{preparedTransactions}, s.subject(t, upgrade.Options{}), time.Now())
		if err != nil || len(report.NotChecked) > 0 {
			t.Fatal(err, report.NotChecked)
		}
		return report.Findings
	}
	found := look()
	if len(found) != 1 || len(found[0].RemedySQL) != 1 || found[0].RemedySQL[0].Database != "My shop" {
		t.Fatalf("got %+v", found)
	}
	s.source.Exec(t, found[0].RemedySQL[0].Database, found[0].RemedySQL[0].SQL)
	if after := look(); len(after) > 0 {
		t.Errorf("still found %v", after[0].Objects)
	}
}

func TestSlotsThatAreInvalid(t *testing.T) {
	s := pair(t, pgtest.Config(map[string]string{"max_slot_wal_keep_size": "1MB"}))
	if s.source.Major < 17 {
		t.Skipf("PostgreSQL %d does not hand slots over", s.source.Major)
	}
	s.source.Exec(t, "postgres", `SELECT pg_create_logical_replication_slot('cdc', 'pgoutput')`)
	for range 3 {
		s.source.Exec(t, "postgres", `SELECT pg_current_xact_id()`, `SELECT pg_switch_wal()`)
	}
	s.source.Exec(t, "postgres", `CHECKPOINT`, `SELECT pg_create_logical_replication_slot('fine', 'pgoutput')`)
	s.mendsAsPrinted(t, slotsTakenOver, upgrade.InPlace, "cdc (invalid: wal_removed)")
}

// A target of another size of words: its pg_control_init says so.
func TestIsnOnATargetOfAnotherWordSize(t *testing.T) {
	s := pair(t)
	s.source.CreateDatabase(t, "My shop")
	s.source.Exec(t, "My shop", `CREATE SCHEMA "S x"`, `CREATE EXTENSION isn SCHEMA "S x"`)
	target := connect(t, s.target, "postgres")
	execute(t, target, `ALTER FUNCTION pg_catalog.pg_control_init() RENAME TO pg_control_init_real`)
	execute(t, target, `CREATE FUNCTION pg_catalog.pg_control_init(OUT float8_pass_by_value boolean) LANGUAGE sql AS 'SELECT false'`)
	s.mendsAsPrinted(t, isnPassing, upgrade.BlueGreen, `"My shop"."S x".ean13_in`)
}

// mendsAsPrinted sees a finding with an object, does what its SQL says, and sees nothing.
func (s stage) mendsAsPrinted(t *testing.T, check Check, mode upgrade.Mode, object string) {
	t.Helper()
	subject := s.subject(t, upgrade.Options{})
	subject.Plan.Mode = mode
	look := func() []upgrade.Finding {
		t.Helper()
		report, err := run(t.Context(), []Check{check}, subject, time.Now())
		if err != nil || len(report.NotChecked) > 0 {
			t.Fatal(err, report.NotChecked)
		}
		return report.Findings
	}
	found := look()
	if len(found) != 1 || !slices.Contains(found[0].Objects, object) || len(found[0].RemedySQL) == 0 {
		t.Fatalf("got %+v", found)
	}
	for _, remedy := range found[0].RemedySQL {
		s.source.Exec(t, remedy.Database, remedy.SQL)
	}
	if after := look(); len(after) > 0 {
		t.Errorf("still found %v", after[0].Objects)
	}
}
