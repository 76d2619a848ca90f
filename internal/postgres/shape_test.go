package postgres_test

import (
	"bytes"
	"context"
	"maps"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pgleap/pgleap/internal/pgtest"
	"github.com/pgleap/pgleap/internal/postgres"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// TestShape: every change of the schema is seen by the shape and by its mark; work on rows by neither.
func TestShape(t *testing.T) {
	t.Parallel()
	for _, major := range pgtest.Versions(t) {
		c := pgtest.Start(t, major)
		c.Exec(t, "postgres", `
			CREATE ROLE reader;
			CREATE TABLE t (id serial PRIMARY KEY, a int, b text);
			CREATE TABLE u (id int PRIMARY KEY);
			CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1';
			CREATE FUNCTION g() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'`)
		conn := c.Connect(t, "postgres")
		for _, change := range []struct{ sql, seen string }{
			{"CREATE TABLE late (id int)", "relation public.late"},
			{"ALTER TABLE t ADD COLUMN c int", "column public.t.c integer"},
			{"ALTER TABLE t ALTER a TYPE bigint", "column public.t.a bigint"},
			{"ALTER TABLE t ALTER a SET NOT NULL", "column public.t.a bigint not null"},
			{"CREATE INDEX ON t (a)", "relation public.t_a_idx"},
			{"ALTER TABLE t ADD FOREIGN KEY (id) REFERENCES u", "constraint t_id_fkey on public.t: FOREIGN KEY (id) REFERENCES u(id)"},
			{"ALTER TABLE t REPLICA IDENTITY FULL", "relation public.t (rpf)"},
			{"CREATE TRIGGER fires BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION g()", "trigger fires on public.t"},
			{"CREATE OR REPLACE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 2'", "function public.f()"},
			{"ALTER SEQUENCE t_id_seq INCREMENT 5", "by 5"},
			{"CREATE SEQUENCE free", "relation public.free"},
			{"CREATE VIEW v AS SELECT a FROM t", "column public.v.a"},
			{"ALTER TABLE t ALTER b SET DEFAULT 'x'", "default of public.t.b: 'x'::text"},
			{"ALTER TABLE t ENABLE ROW LEVEL SECURITY", "row security of public.t"},
			{"CREATE POLICY p ON t FOR SELECT TO reader USING (a > 0)", "policy p on public.t: permissive r to reader"},
			{"ALTER POLICY p ON t USING (a > 1)", "policy p on public.t: using: (a > 1)"},
			{"CREATE OR REPLACE VIEW v AS SELECT a FROM t WHERE a > 1", "view public.v: "},
			{"ALTER VIEW v SET (security_barrier)", "view public.v: with security_barrier=true"},
			{"CREATE RULE nothing AS ON DELETE TO v DO INSTEAD NOTHING", "rule nothing on public.v: CREATE RULE nothing"},
			{"CREATE OR REPLACE RULE nothing AS ON DELETE TO v WHERE old.a > 1 DO INSTEAD NOTHING", "old.a > 1"},
			{"ALTER TABLE t ADD CONSTRAINT checked CHECK (a > 0) NOT VALID", "constraint checked on public.t: CHECK ((a > 0)) NOT VALID"},
			{"ALTER TABLE t VALIDATE CONSTRAINT checked", "constraint checked on public.t: CHECK ((a > 0))"},
			{"ALTER TABLE t DROP CONSTRAINT checked, ADD CONSTRAINT checked CHECK (a > 1)", "constraint checked on public.t: CHECK ((a > 1))"},
			{"ALTER TABLE t DROP CONSTRAINT t_id_fkey, ADD CONSTRAINT t_id_fkey FOREIGN KEY (id) REFERENCES u ON DELETE CASCADE", "ON DELETE CASCADE"},
			{"CREATE INDEX i ON t (a)", "index public.i: CREATE INDEX i ON public.t USING btree (a)"},
			{"DROP INDEX i; CREATE INDEX i ON t (a DESC) WHERE a > 3", "index public.i: CREATE INDEX i ON public.t USING btree (a DESC) WHERE (a > 3)"},
			{"UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'i'::regclass", "index public.i: it is not valid"},
			{"ALTER TABLE t ADD CONSTRAINT uniq UNIQUE (b)", "index public.uniq: CREATE UNIQUE INDEX uniq ON public.t USING btree (b)"},
			{"ALTER TABLE t DROP CONSTRAINT uniq, ADD CONSTRAINT uniq UNIQUE (b) DEFERRABLE", "constraint uniq on public.t (u) deferrable"},
			{"ALTER TABLE t ADD CONSTRAINT apart EXCLUDE (b WITH =)", "constraint apart on public.t: EXCLUDE USING btree (b WITH =)"},
			{"CREATE DOMAIN d AS int", "domain public.d: integer"},
			{"ALTER DOMAIN d ADD CONSTRAINT positive CHECK (value > 0)", "constraint positive on domain public.d: CHECK ((VALUE > 0))"},
			{"ALTER DOMAIN d SET DEFAULT 3", "default of domain public.d: 3"},
			{"ALTER DOMAIN d SET NOT NULL", "domain public.d: integer not null"},
			{"DROP TRIGGER fires ON t; CREATE TRIGGER fires BEFORE INSERT OR UPDATE ON t FOR EACH ROW EXECUTE FUNCTION g()", "BEFORE INSERT OR UPDATE ON public.t"},
			{"ALTER TABLE t DISABLE TRIGGER fires", "trigger fires on public.t: enabled D"},
			{"ALTER FUNCTION f() STABLE", "function public.f(): returns integer language sql f s u"},
			{"ALTER FUNCTION f() SET work_mem = '8MB'", "set {work_mem=8MB}"},
			{"CREATE FUNCTION named(a int, OUT b int) LANGUAGE sql AS 'SELECT 1'", "arguments {a,b} {i,o}"},
			{"CREATE FUNCTION given(a int DEFAULT 1) RETURNS int LANGUAGE sql AS 'SELECT 1'", "a integer DEFAULT 1"},
			{"ALTER TABLE t ALTER b TYPE text COLLATE \"C\"", "column public.t.b text collate pg_catalog.\"C\""},
			{"CREATE TABLE heir () INHERITS (u)", "inheritance of public.heir from public.u"},
			{"CREATE MATERIALIZED VIEW m AS SELECT 1 AS one", "materialized view public.m: "},
			{"CREATE TABLE parted (id int) PARTITION BY RANGE (id)", "partitions of public.parted: RANGE (id)"},
			{"CREATE TABLE part PARTITION OF parted FOR VALUES FROM (1) TO (2)", "partition public.part: FOR VALUES FROM (1) TO (2)"},
			{"CREATE FUNCTION e() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END'", ""},
			{"CREATE EVENT TRIGGER late ON ddl_command_end EXECUTE FUNCTION e()", "event trigger late on ddl_command_end"},
			{"ALTER EVENT TRIGGER late DISABLE", "enabled D"},
			{"CREATE TYPE mood AS ENUM ('sad', 'happy')", "enum public.mood ('sad', 'happy')"},
			{"ALTER TYPE mood ADD VALUE 'so so' BEFORE 'happy'", "enum public.mood ('sad', 'so so', 'happy')"},
			{"ALTER TABLE t SET (fillfactor = 70, toast.autovacuum_enabled = off)", "table public.t: with toast.autovacuum_enabled=off"},
			{"ALTER TABLE t ALTER b SET STORAGE EXTERNAL, ALTER b SET STATISTICS 7", "storage e statistics 7"},
			{"ALTER TABLE t ALTER b SET (n_distinct = 5)", "with n_distinct=5"},
			{"CREATE INDEX by_sum ON t ((a + 1)); ALTER INDEX by_sum ALTER 1 SET STATISTICS 7", "index public.by_sum: statistics 7 of column 1"},
			{"CREATE AGGREGATE total(int) (SFUNC = int4pl, STYPE = int)", "aggregate public.total(integer): n 0 int4pl(integer,integer)"},
			{"CREATE OR REPLACE AGGREGATE total(int) (SFUNC = int4pl, STYPE = int, INITCOND = '5')", "'5'"},
			{"CREATE OPERATOR ### (LEFTARG = int, RIGHTARG = int, FUNCTION = int4ne, RESTRICT = eqsel)", "operator public.###(integer,integer): b boolean int4ne(integer,integer)"},
			{"ALTER OPERATOR ### (int, int) SET (RESTRICT = neqsel)", "neqsel"},
			{"CREATE OPERATOR FAMILY loose USING btree", "operator family public.loose USING btree"},
			{"ALTER OPERATOR FAMILY loose USING btree ADD OPERATOR 1 < (int4, int8)", "operator 1 (integer, bigint) of public.loose USING btree: <(integer,bigint) s"},
			{"ALTER OPERATOR FAMILY loose USING btree ADD FUNCTION 1 btint48cmp(int4, int8)", "function 1 (integer, bigint) of public.loose USING btree: btint48cmp(integer,bigint)"},
			{"CREATE OPERATOR CLASS own FOR TYPE int USING hash AS OPERATOR 1 =, FUNCTION 1 hashint4(int)", "operator class public.own USING hash: public.own USING hash integer"},
			{"CREATE CAST (mood AS int) WITH INOUT", "cast (public.mood AS integer): - e i"},
			{"CREATE COLLATION german (provider = icu, locale = 'de')", "collation public.german: i de"},
			{"CREATE COLLATION plain_c (locale = 'C')", "collation public.plain_c: c C, C"},
			{"CREATE STATISTICS related (dependencies) ON a, b FROM t", "statistics public.related: (dependencies) ON a, b FROM "},
			{"ALTER STATISTICS related SET STATISTICS 5", "statistics object public.related: statistics 5"},
			{"CREATE TEXT SEARCH PARSER parses (START = prsd_start, GETTOKEN = prsd_nexttoken, END = prsd_end, LEXTYPES = prsd_lextype)", "text search parser public.parses: prsd_start"},
			{"CREATE TEXT SEARCH TEMPLATE plainest (LEXIZE = dsimple_lexize)", "text search template public.plainest: - dsimple_lexize"},
			{"CREATE TEXT SEARCH DICTIONARY plainly (TEMPLATE = simple)", "text search dictionary public.plainly: "},
			{"ALTER TEXT SEARCH DICTIONARY plainly (ACCEPT = false)", "accept = 'false'"},
			{"CREATE TEXT SEARCH CONFIGURATION searched (COPY = english)", "text search configuration public.searched: "},
			{"ALTER TEXT SEARCH CONFIGURATION searched ALTER MAPPING FOR url WITH english_stem", "5:english_stem"},
			{"CREATE FOREIGN DATA WRAPPER wraps", "foreign-data wrapper wraps: - -"},
			{"CREATE SERVER s TYPE 'x' FOREIGN DATA WRAPPER wraps OPTIONS (host 'secret')", "server s: wraps 'x' NULL, options (not shown)"},
			{"ALTER SERVER s OPTIONS (SET host 'other')", "server s: wraps 'x' NULL, options (not shown)"},
			{"CREATE USER MAPPING FOR reader SERVER s OPTIONS (password 'secret')", "user mapping reader on server s: options (not shown)"},
			{"ALTER USER MAPPING FOR reader SERVER s OPTIONS (SET password 'other')", "user mapping reader on server s: options (not shown)"},
			{"CREATE FOREIGN TABLE abroad (a int OPTIONS (x 'y')) SERVER s OPTIONS (t 'u')", "foreign table public.abroad: s, options (not shown)"},
			{"ALTER FOREIGN TABLE abroad OPTIONS (SET t 'v')", "foreign table public.abroad: s, options (not shown)"},
			{"ALTER FOREIGN TABLE abroad ALTER a OPTIONS (SET x 'z')", "foreign table column public.abroad.a: options (not shown)"},
			{"CREATE LANGUAGE spoken HANDLER plpgsql_call_handler", "language spoken: plpgsql_call_handler()"},
			{"CREATE TRANSFORM FOR int LANGUAGE spoken (FROM SQL WITH FUNCTION prsd_lextype(internal))", "transform for integer language spoken: prsd_lextype(internal) -"},
			{"CREATE PUBLICATION theirs FOR TABLE t WITH (publish = 'insert')", "publication theirs: insert"},
			{"ALTER PUBLICATION theirs ADD TABLE u", "publication relation public.u in publication theirs"},
			{"CREATE SUBSCRIPTION theirs CONNECTION 'password=secret' PUBLICATION p WITH (connect = false, slot_name = NONE)", "subscription theirs: of {p}, options (not shown)"},
			{"ALTER SUBSCRIPTION theirs CONNECTION 'password=other'", "subscription theirs: of {p}, options (not shown)"},
			{"CREATE TYPE span AS RANGE (subtype = text, collation = \"C\")", "type public.span: text pg_catalog.text_ops USING btree pg_catalog.\"C\" - -"},
			{"CREATE CONVERSION converts FOR 'LATIN1' TO 'UTF8' FROM iso8859_1_to_utf8", "conversion public.converts: LATIN1 UTF8 iso8859_1_to_utf8"},
			{"CREATE ACCESS METHOD gist_too TYPE INDEX HANDLER gisthandler", "access method gist_too: i gisthandler"},
			{"CREATE ACCESS METHOD heap_too TYPE TABLE HANDLER heap_tableam_handler", "access method heap_too: t heap_tableam_handler"},
			{"CREATE TABLE other_heap (id int) USING heap_too", "table public.other_heap: using heap_too"},
			{"ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO reader", "privilege on tables of postgres to come in schema public: SELECT to reader by postgres"},
			{"ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC", "default privileges on functions of postgres to come"},
			{"GRANT SELECT ON t TO reader", "privilege on table public.t: SELECT to reader by postgres"},
			{"GRANT UPDATE (b) ON t TO reader", "privilege on column public.t.b: UPDATE to reader"},
			{"GRANT USAGE ON SEQUENCE t_id_seq TO reader WITH GRANT OPTION", "privilege on sequence public.t_id_seq: USAGE with grant option to reader"},
			{"GRANT EXECUTE ON FUNCTION f TO reader", "privilege on function public.f(): EXECUTE to reader"},
			{"GRANT CREATE ON SCHEMA public TO reader", "privilege on schema public: CREATE to reader"},
		} {
			before, mark := shape(t, conn)
			_, err := conn.Exec(t.Context(), change.sql)
			must(t, change.sql, err)
			after, changed := shape(t, conn)
			if change.seen != "" && !slices.ContainsFunc(after.Without(before), func(line string) bool { return strings.Contains(line, change.seen) }) {
				t.Errorf("%d, %s: seen is %q, want %q", major, change.sql, after.Without(before), change.seen)
			}
			if mark == changed {
				t.Errorf("%d, %s: the mark is the same", major, change.sql)
			}
		}
		before, mark := shape(t, conn)
		for _, sql := range []string{
			"INSERT INTO u VALUES (1), (2)", "SELECT nextval('t_id_seq')", "INSERT INTO t (id, a) VALUES (2, 2)", "VACUUM ANALYZE",
			"CREATE TEMP TABLE scratch (id int PRIMARY KEY, a int)", "CREATE STATISTICS pg_temp.related ON id, a FROM scratch", "DROP TABLE scratch",
			"CREATE PUBLICATION pgleap_forward FOR TABLE t", "SELECT lo_create(4711)",
		} {
			_, err := conn.Exec(t.Context(), sql)
			must(t, sql, err)
			after, now := shape(t, conn)
			if seen := append(after.Without(before), before.Without(after)...); len(seen) > 0 || mark != now {
				t.Errorf("%d, %s: it changed the shape (%q) or its mark", major, sql, seen)
			}
		}
	}
}

// TestShapeOfVersions: definitions that pg_dump has brought to a newer version, as pg_upgrade does, have
// the same shape there.
func TestShapeOfVersions(t *testing.T) {
	t.Parallel()
	const roles, definitions = `CREATE ROLE owner; CREATE ROLE reader; CREATE ROLE "Odd, role"; SELECT lo_create(4711)`, `
		CREATE TYPE mood AS ENUM ('sad', 'happy');
		CREATE FUNCTION twice(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 2 * $1';
		CREATE TABLE t (
			id bigserial PRIMARY KEY, always int GENERATED ALWAYS AS IDENTITY, at timestamptz DEFAULT now(),
			day date DEFAULT CURRENT_DATE + 7, who text DEFAULT current_user, mood mood DEFAULT 'happy'::mood,
			price numeric(10,2) DEFAULT 1.5, tags text[] DEFAULT '{}', doc jsonb DEFAULT '{"a": 1}', span interval DEFAULT '1 day',
			uid uuid DEFAULT gen_random_uuid(), soon timestamptz DEFAULT (now() AT TIME ZONE 'utc' + interval '1 hour'),
			sum int GENERATED ALWAYS AS (1 + 2) STORED, f int DEFAULT twice(21), c text DEFAULT upper(substring('abc' FROM 2)),
			x text DEFAULT coalesce(nullif('a', 'b'), concat('x', 1)), n int DEFAULT extract(year FROM now()), b bit(3) DEFAULT B'101');
		CREATE TABLE parted (id int, at date) PARTITION BY RANGE (at);
		CREATE TABLE part PARTITION OF parted FOR VALUES FROM ('2020-01-01') TO ('2021-01-01');
		CREATE VIEW v AS SELECT id, mood FROM t; CREATE MATERIALIZED VIEW m AS SELECT 1 AS one;
		CREATE TABLE cast_twice (json text, state varchar(10) DEFAULT 'a' CHECK (state IN ('a', 'b')), at timestamptz, n int);
		CREATE INDEX listed_states ON cast_twice (lower(state), (n + 1)) WHERE state IN ('a', 'b');
		CREATE VIEW listed AS SELECT c.json, extract(year FROM at) AS year FROM cast_twice c WHERE state IN ('a', 'b') AND EXISTS (SELECT FROM t WHERE id = c.n);
		CREATE RULE listing AS ON DELETE TO cast_twice WHERE old.state IN ('a', 'b') DO ALSO INSERT INTO cast_twice (n) VALUES (old.n);
		ALTER TABLE cast_twice ENABLE ROW LEVEL SECURITY;
		CREATE POLICY listed ON cast_twice USING (state IN ('a', 'b')) WITH CHECK (state NOT IN ('a', 'b'));
		CREATE DOMAIN state AS varchar(10) DEFAULT 'a' CHECK (VALUE IN ('a', 'b')) CHECK (length(VALUE) > 0);
		CREATE FUNCTION fires() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
		CREATE TRIGGER listed BEFORE UPDATE OF state ON cast_twice FOR EACH ROW WHEN (old.state IN ('a', 'b')) EXECUTE FUNCTION fires();
		CREATE TRIGGER of_all AFTER INSERT ON parted FOR EACH ROW EXECUTE FUNCTION fires();
		CREATE FUNCTION given(state varchar DEFAULT 'a', l text[] DEFAULT ARRAY['a'::varchar]) RETURNS int LANGUAGE sql SET search_path = public, pg_temp AS 'SELECT 1';
		CREATE TABLE referred (id int PRIMARY KEY) PARTITION BY HASH (id);
		CREATE TABLE referred_0 PARTITION OF referred FOR VALUES WITH (MODULUS 2, REMAINDER 0);
		CREATE TABLE referred_1 PARTITION OF referred FOR VALUES WITH (MODULUS 2, REMAINDER 1);
		CREATE TABLE joins (id int, CONSTRAINT of_its_own FOREIGN KEY (id) REFERENCES referred) PARTITION BY LIST ((id % 2));
		CREATE TABLE joined (id int, CONSTRAINT other_name FOREIGN KEY (id) REFERENCES referred);
		ALTER TABLE joins ATTACH PARTITION joined FOR VALUES IN (0);
		CREATE SEQUENCE free; CREATE SCHEMA s AUTHORIZATION owner;
		CREATE PROCEDURE work() LANGUAGE sql AS 'SELECT 1';
		ALTER TABLE t ENABLE ROW LEVEL SECURITY; ALTER TABLE t FORCE ROW LEVEL SECURITY;
		CREATE POLICY p ON t TO reader, "Odd, role" USING (who = CURRENT_USER AND id IN (SELECT one FROM m)) WITH CHECK (price > 0);
		CREATE POLICY q ON t AS RESTRICTIVE FOR INSERT WITH CHECK (pg_has_role(who, 'member') OR mood <> ALL ('{sad}'));
		GRANT ALL ON t TO reader; GRANT SELECT (id), UPDATE (doc) ON t TO "Odd, role" WITH GRANT OPTION;
		GRANT SELECT ON ALL TABLES IN SCHEMA public TO PUBLIC; REVOKE ALL ON v FROM postgres;
		GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO reader; REVOKE EXECUTE ON FUNCTION twice FROM PUBLIC;
		GRANT ALL ON SCHEMA s TO reader; ALTER TABLE part OWNER TO owner`
	versions := pgtest.Versions(t)
	old := pgtest.Start(t, versions[0])
	old.Exec(t, "postgres", roles, definitions, `ALTER TYPE mood ADD VALUE 'so so' BEFORE 'happy'`)
	want, _ := shape(t, session(t, old))
	for _, major := range versions {
		c := pgtest.Start(t, major)
		c.Exec(t, "postgres", roles)
		carry(t, pgtest.Bindir(t, major), old, c)
		conn := session(t, c)
		got, _ := shape(t, conn)
		want := maps.Clone(want)
		var reconciler postgres.Reconciler
		must(t, "reconcile", reconciler.Reconcile(t.Context(), want, got, conn))
		if only, missing := got.Without(want), want.Without(got); len(only)+len(missing) > 0 {
			t.Errorf("only in %d: %q, only in %d: %q", major, only, versions[0], missing)
		}
	}
}

// session opens a session with the settings of ours, by which expressions are shown.
func session(t *testing.T, c *pgtest.Cluster) *pgx.Conn {
	t.Helper()
	conn, err := postgres.Connect(t.Context(), postgres.Login{
		Address: upgrade.Address{Host: "127.0.0.1", Port: c.Port}, User: "postgres", Database: "postgres",
	})
	must(t, "connect", err)
	t.Cleanup(func() { conn.Close(context.WithoutCancel(t.Context())) })
	return conn
}

// carry brings the definitions of one cluster to another.
func carry(t *testing.T, bindir string, from, to *pgtest.Cluster) {
	t.Helper()
	at := func(c *pgtest.Cluster) []string {
		return []string{"-X", "-h", "127.0.0.1", "-U", "postgres", "-p", strconv.Itoa(c.Port), "postgres"}
	}
	dump := exec.CommandContext(t.Context(), filepath.Join(bindir, "pg_dump"), append([]string{"-s"}, at(from)[1:]...)...)
	script, err := dump.Output()
	must(t, "dump", err)
	load := exec.CommandContext(t.Context(), filepath.Join(bindir, "psql"), append([]string{"-qv", "ON_ERROR_STOP=1"}, at(to)...)...)
	load.Stdin = bytes.NewReader(script)
	said, err := load.CombinedOutput()
	must(t, "load: "+string(said), err)
}

// TestDefaultPrivileges: a privilege that is said is the same as one that goes without saying.
func TestDefaultPrivileges(t *testing.T) {
	t.Parallel()
	c := pgtest.Start(t, pgtest.Versions(t)[0])
	c.Exec(t, "postgres", `CREATE TABLE t (id int)`, `CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'`)
	conn := c.Connect(t, "postgres")
	before, _ := shape(t, conn)
	c.Exec(t, "postgres", `GRANT ALL ON t TO postgres`, `GRANT EXECUTE ON FUNCTION f TO PUBLIC`)
	after, _ := shape(t, conn)
	if len(before.Without(after)) > 0 || len(after.Without(before)) > 0 {
		t.Errorf("only before: %q, only after: %q", before.Without(after), after.Without(before))
	}
}

func shape(t *testing.T, conn *pgx.Conn) (postgres.Shape, string) {
	t.Helper()
	s, err := postgres.ReadShape(t.Context(), conn)
	must(t, "read shape", err)
	mark, err := postgres.ReadShapeMark(t.Context(), conn)
	must(t, "read mark", err)
	return s, mark
}

// shapesOf reads the shapes of two sides without the definitions that only their versions word differently.
func shapesOf(t *testing.T, source, target *pgtest.Cluster) (want, got postgres.Shape) {
	t.Helper()
	from, to := session(t, source), session(t, target)
	want, _ = shape(t, from)
	got, _ = shape(t, to)
	must(t, "reconcile", new(postgres.Reconciler).Reconcile(t.Context(), want, got, to, from))
	return want, got
}

// TestGlobals: changes of roles, their settings and databases are seen by both; whether a role may log
// in is left out of the mark.
func TestGlobals(t *testing.T) {
	t.Parallel()
	for _, major := range pgtest.Versions(t) {
		c := pgtest.Start(t, major)
		c.Exec(t, "postgres", "CREATE ROLE a LOGIN", "CREATE ROLE b")
		conn := c.Connect(t, "postgres")
		for _, change := range []struct {
			sql    string
			marked bool
		}{
			{"CREATE ROLE late", true},
			{"ALTER ROLE a PASSWORD 'x'", true},
			{"ALTER ROLE a CONNECTION LIMIT 5", true},
			{"GRANT b TO a", true},
			{"ALTER ROLE a SET work_mem = '8MB'", true},
			{"ALTER DATABASE postgres SET work_mem = '8MB'", true},
			{"ALTER DATABASE postgres CONNECTION LIMIT 77", true},
			{"ALTER ROLE b NOINHERIT", true},
			{"GRANT b TO a WITH ADMIN OPTION", true},
			{"ALTER TABLESPACE pg_default SET (random_page_cost = 2)", true},
			{"GRANT CREATE ON TABLESPACE pg_default TO a", true},
			{"CREATE DATABASE late", true},
			{"DROP ROLE late", true},
			{"ALTER ROLE a NOLOGIN", false},
		} {
			before, mark := globals(t, conn)
			_, err := conn.Exec(t.Context(), change.sql)
			must(t, change.sql, err)
			after, now := globals(t, conn)
			if len(after.Without(before))+len(before.Without(after)) == 0 {
				t.Errorf("%d, %s: not seen", major, change.sql)
			}
			if (mark != now) != change.marked {
				t.Errorf("%d, %s: the mark changed: %v, want %v", major, change.sql, mark != now, change.marked)
			}
		}
	}
}

func globals(t *testing.T, conn *pgx.Conn) (postgres.Shape, string) {
	t.Helper()
	s, err := postgres.ReadGlobals(t.Context(), conn, nil)
	must(t, "read globals", err)
	mark, err := postgres.ReadGlobalsMark(t.Context(), conn)
	must(t, "read mark", err)
	return s, mark
}
