package precheck

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgleap/pgleap/internal/pgtest"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// everything is a name with all that can be in a name.
const everything = "A \"b\" 'c' \\d; -- é日\n$$ %I %s :e {f} \t"

// awkwardNames are the names of things in SQL that is to be pasted.
func awkwardNames() []string {
	return []string{
		`with space`, `dou"b""le`, `sin'gle'`, `back\slash\`, `Größe 日本語`, `UPPER`, `select`, `x; DROP TABLE y; --`, "new\nline\r", `%I %s $1 $$`,
		`Länge von genau dreiundsechzig Bytes, das ist die Grenze hier.`, `"` + strings.Repeat(`é'`, 20) + `"`, everything,
	}
}

// named is a kind of object whose remedy SQL has its name. In its SQL {n} stands for a name, {s} for a schema and {d}
// for the database as they are quoted, {l} for the name as a string, {q} for both names as a string, {i} for a number.
type named struct {
	kind    string
	check   Check
	source  int // the last major version that has it, 0: all; negative: the first
	target  int // the first target that minds
	mode    upgrade.Mode
	create  []string
	cleanup []string // for each name
	once    bool     // only with the name that has everything
	runs    bool     // what is printed is for the target: it runs, and mends nothing here
}

func namedObjects() []named {
	const unlogged = `CREATE UNLOGGED TABLE {s}.{n} (id int PRIMARY KEY)`
	return append([]named{
		{kind: "table", check: replicaIdentity, create: []string{`CREATE TABLE {s}.{n} ({n} int)`}},
		{kind: "index", check: replicaIdentity, create: []string{`CREATE TABLE {s}.t{i} ({n} int NOT NULL, doc json)`, `CREATE UNIQUE INDEX {n} ON {s}.t{i} ({n})`}},
		{kind: "unlogged table", check: unloggedTables(0), mode: upgrade.BlueGreen, create: []string{unlogged, `CREATE UNLOGGED TABLE {s}.a{i} (id int REFERENCES {s}.{n})`}},
		{kind: "unlogged sequence", check: unloggedTables(0), source: -15, mode: upgrade.BlueGreen, create: []string{`CREATE UNLOGGED SEQUENCE {s}.{n}`}},
		{
			kind: "trigger", check: triggers,
			create: []string{
				`CREATE TABLE {s}.{n} (id int PRIMARY KEY)`, `CREATE FUNCTION {s}.{n}() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'`,
				`CREATE TRIGGER {n} BEFORE INSERT ON {s}.{n} FOR EACH ROW EXECUTE FUNCTION {s}.{n}()`, `ALTER TABLE {s}.{n} ENABLE ALWAYS TRIGGER {n}`,
			},
		},
		{
			kind: "event trigger", check: eventTriggers,
			create: []string{
				`CREATE FUNCTION {s}.{n}() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END'`,
				`CREATE EVENT TRIGGER {n} ON sql_drop EXECUTE FUNCTION {s}.{n}()`, `ALTER EVENT TRIGGER {n} ENABLE ALWAYS`,
			},
		},
		{
			kind: "event trigger of a name of ours", check: reservedObjects,
			create: []string{
				`CREATE FUNCTION {s}.{n}() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END'`,
				`CREATE EVENT TRIGGER {ours} ON sql_drop EXECUTE FUNCTION {s}.{n}()`,
			},
		},
		{
			kind: "in pg_catalog", check: systemCatalogObjects,
			create:  []string{`CREATE TABLE pg_catalog.{n} (id int)`, `CREATE FUNCTION pg_catalog.{n}(pg_catalog.{n}) RETURNS int LANGUAGE sql AS 'SELECT 1'`},
			cleanup: []string{`DROP TABLE public.{n} CASCADE`},
		},
		{kind: "type in pg_catalog", check: systemCatalogObjects, create: []string{`CREATE TYPE pg_catalog.{n} AS ENUM ('x')`}, cleanup: []string{`DROP TYPE public.{n}`}},
		{
			kind: "invalid index", check: invalidIndexes,
			create: []string{`CREATE TABLE {s}.t{i} (id int)`, `CREATE INDEX {n} ON {s}.t{i} (id)`, `UPDATE pg_index SET indisvalid = false WHERE indexrelid = {q}::regclass`},
		},
		{kind: "column of reg*", check: regTypes, create: []string{`CREATE TABLE {s}.{n} ({n} regproc)`}},
		{kind: "column of a row type", check: systemCompositeTypes, create: []string{`CREATE TABLE {s}.{n} ({n} pg_class)`}},
		{kind: "column of aclitem", check: aclitemTypes, source: 15, target: 16, create: []string{`CREATE TABLE {s}.{n} ({n} aclitem)`}},
		{
			kind: "child", check: inheritedNotNull, source: 17,
			create: []string{
				`CREATE TABLE {s}.p{i} ({n} int)`, `CREATE TABLE {s}.{n} () INHERITS ({s}.p{i})`,
				`UPDATE pg_attribute SET attnotnull = true FROM pg_inherits WHERE inhrelid = {q}::regclass AND attrelid = inhparent AND attname = {l}`,
			},
		},
		{
			kind: "options", check: storageOptions,
			create: []string{
				`CREATE TABLE {s}.{n} ({n} int)`, `UPDATE pg_class SET reloptions = '{"\"New er\"=on"}' WHERE oid = {q}::regclass`,
				`UPDATE pg_attribute SET attoptions = '{newer=on}' WHERE attrelid = {q}::regclass AND attname = {l}`,
			},
		},
		{kind: "prepared transaction", check: preparedTransactions, create: []string{`BEGIN; SELECT txid_current(); PREPARE TRANSACTION {l}`}},
		{
			kind: "collation", check: staleCollations,
			create: []string{
				`CREATE COLLATION {s}.{n} (provider = icu, locale = 'und')`, `UPDATE pg_collation SET collversion = '1' WHERE oid = {q}::regcollation`,
				`CREATE TABLE {s}.t{i} (x text COLLATE {s}.{n})`, `CREATE INDEX {n} ON {s}.t{i} (x)`,
			},
		},
		{
			kind: "foreign key to itself", check: partitionForeignKeys,
			create: []string{
				`CREATE TABLE {s}.{n} ({n} int PRIMARY KEY, up int, CONSTRAINT {n} FOREIGN KEY (up) REFERENCES {s}.{n}) PARTITION BY LIST ({n})`,
				`CREATE TABLE {s}.p{i} PARTITION OF {s}.{n} FOR VALUES IN (1)`, forgetParts(`conrelid = {q}::regclass`),
			},
		},
		{kind: "number of rows", check: indexesToRebuild, create: []string{`CREATE TABLE {s}.{n} (id int)`, `UPDATE pg_class SET reltuples = 'NaN' WHERE oid = {q}::regclass`}},
		{kind: "closed database", check: databases, once: true, create: []string{`CREATE DATABASE {x} ALLOW_CONNECTIONS false`}, cleanup: []string{`DROP DATABASE {x}`}},
		{kind: "grant in a database", check: publicSchema, once: true, create: []string{`GRANT CREATE ON SCHEMA public TO PUBLIC`}},
		{
			kind: "setting of the install role", check: installRoleSettings, once: true,
			create: []string{`ALTER ROLE postgres IN DATABASE {d} SET role = 'postgres'`},
		},
		{kind: "old database", check: xidAge(1, 2), once: true, runs: true, create: []string{`SELECT 1`}},
	}, namedOfVersions()...)
}

// namedOfVersions are those that only some versions have, or mind.
func namedOfVersions() []named {
	const removed = `pg_stat_get_buf_written_backend()`
	const type1 = `CREATE TYPE {s}.{n} AS (a int)`
	return []named{
		{kind: "conversion", check: encodingConversions, source: 13, create: []string{`CREATE CONVERSION {s}.{n} FOR 'LATIN1' TO 'UTF8' FROM iso8859_1_to_utf8`}},
		{
			kind: "postfix operator", check: postfixOperators, source: 13,
			create: []string{type1, `CREATE FUNCTION {s}.{n}({s}.{n}) RETURNS int LANGUAGE sql AS 'SELECT 1'`, `CREATE OPERATOR {s}.!!! (LEFTARG = {s}.{n}, PROCEDURE = {s}.{n})`},
		},
		{
			kind: "polymorphic aggregate", check: polymorphicFunctions, source: 13,
			create: []string{`CREATE AGGREGATE {s}.{n} (anyelement) (SFUNC = array_append, STYPE = anyarray, INITCOND = '{}')`},
		},
		{
			kind: "GiST index", check: gistInetIndexes, target: 19,
			create: []string{
				`CREATE EXTENSION IF NOT EXISTS btree_gist SCHEMA public`, `CREATE TABLE {s}.t{i} ({n} inet)`, `CREATE INDEX {n} ON {s}.t{i} USING gist ({n})`,
				`CREATE TABLE {s}.u{i} ({n} inet, CONSTRAINT {x} EXCLUDE USING gist ({n} WITH =))`,
			},
		},
		{
			kind: "function", check: functionSettings, source: 15, target: 16,
			create: []string{type1, `CREATE FUNCTION {s}.{n}({n} {s}.{n}) RETURNS int LANGUAGE sql SET force_parallel_mode = on AS 'SELECT 1'`},
		},
		{
			kind: "role", check: roleSettings, source: 15, target: 16,
			create: []string{
				`CREATE ROLE {n}`, `ALTER ROLE {n} SET force_parallel_mode = on`, `ALTER ROLE {n} IN DATABASE {d} SET force_parallel_mode = on`,
				`ALTER DATABASE {d} SET force_parallel_mode = on`,
			},
			cleanup: []string{`DROP ROLE {n}`},
		},
		{kind: "view", check: removedColumns, source: 16, target: 17, create: []string{`CREATE VIEW {s}.{n} AS SELECT buffers_backend AS {n} FROM pg_stat_bgwriter`}},
		{kind: "materialized view", check: removedColumns, source: 16, target: 17, create: []string{`CREATE MATERIALIZED VIEW {s}.{n} AS SELECT buffers_backend AS {n} FROM pg_stat_bgwriter`}},
		{
			kind: "rule and policy", check: removedColumns, source: 16, target: 17,
			create: []string{
				`CREATE TABLE {s}.{n} (id bigint)`, `CREATE RULE {n} AS ON UPDATE TO {s}.{n} DO ALSO INSERT INTO {s}.{n} SELECT checkpoints_timed FROM pg_stat_bgwriter`,
				`CREATE POLICY {n} ON {s}.{n} USING (id < (SELECT buffers_backend FROM pg_stat_bgwriter))`,
			},
		},
		{
			kind: "default and constraint", check: removedFunctions, source: 16, target: 17,
			create: []string{`CREATE TABLE {s}.{n} ({n} bigint DEFAULT ` + removed + `, CONSTRAINT {n} CHECK ({n} < ` + removed + `))`},
		},
		{
			kind: "domain", check: removedFunctions, source: 16, target: 17,
			create: []string{`CREATE DOMAIN {s}.{n} AS bigint DEFAULT ` + removed + ` CONSTRAINT {n} CHECK (VALUE < ` + removed + `)`},
		},
		{
			kind: "trigger with a condition", check: removedFunctions, source: 16, target: 17,
			create: []string{
				`CREATE TABLE {s}.{n} (id int)`, `CREATE FUNCTION {s}.{n}() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'`,
				`CREATE TRIGGER {n} BEFORE INSERT ON {s}.{n} FOR EACH ROW WHEN (NEW.id = ` + removed + `) EXECUTE FUNCTION {s}.{n}()`,
			},
		},
		{
			kind: "function with a default", check: removedFunctions, source: 16, target: 17,
			create: []string{type1, `CREATE FUNCTION {s}.{n}({n} {s}.{n}, b bigint DEFAULT ` + removed + `) RETURNS bigint LANGUAGE sql AS 'SELECT b'`},
		},
		{
			kind: "aggregate", check: removedFunctions, source: 16, target: 17,
			create: []string{
				`CREATE AGGREGATE {s}.{n} (interval) (SFUNC = interval_accum, STYPE = interval[], FINALFUNC = interval_avg, INITCOND = '{0 second,0 second}')`,
				`CREATE AGGREGATE {s}.o{i} (ORDER BY {n} interval) (SFUNC = interval_accum, STYPE = interval[], FINALFUNC = interval_avg, INITCOND = '{0 second,0 second}')`,
			},
		},
		{
			kind: "foreign key", check: foreignKeyCollations, source: 17, target: 18,
			create: []string{
				`CREATE COLLATION {s}.{n} (provider = icu, locale = 'und', deterministic = false)`, `CREATE COLLATION {s}.o{i} (provider = icu, locale = 'de', deterministic = false)`,
				`CREATE TABLE {s}.{n} ({n} text COLLATE {s}.{n} PRIMARY KEY)`,
				`CREATE TABLE {s}.r{i} ({n} text COLLATE {s}.o{i}, CONSTRAINT {n} FOREIGN KEY ({n}) REFERENCES {s}.{n})`,
			},
		},
		{
			kind: "generated column", check: generatedChildren, source: 15, target: 16,
			create: []string{`CREATE TABLE {s}.p{i} (id int, {n} int)`, `CREATE TABLE {s}.{n} ({n} int GENERATED ALWAYS AS (id * 2) STORED) INHERITS ({s}.p{i})`},
		},
		{
			kind: "trigram index", check: charSignedness, source: 17, target: 18, runs: true,
			create: []string{
				`CREATE EXTENSION IF NOT EXISTS pg_trgm SCHEMA public`, `CREATE TABLE {s}.t{i} ({n} text)`,
				`CREATE INDEX {n} ON {s}.t{i} USING gin ({n} public.gin_trgm_ops)`,
			},
		},
	}
}

// What a finding prints does what it says, whatever the names are, and nothing else.
func TestRemediesOfAwkwardNames(t *testing.T) {
	pgtest.Slow(t)
	versions := pgtest.Versions(t)
	target := pgtest.Start(t, versions[len(versions)-1])
	for _, major := range versions[:len(versions)-1] {
		s := stage{pgtest.Start(t, major, pgtest.Config(map[string]string{"max_prepared_transactions": "20", "autovacuum": "off"})), target}
		s.source.CreateDatabase(t, everything)
		t.Run(fmt.Sprintf("%d to %d", major, target.Major), func(t *testing.T) {
			for i, kind := range namedObjects() {
				if kind.source > 0 && major > kind.source || kind.source < 0 && major < -kind.source || target.Major < kind.target {
					continue
				}
				t.Run(kind.kind, func(t *testing.T) { s.mendsWhateverTheName(t, kind, i) })
			}
		})
	}
}

func (s stage) mendsWhateverTheName(t *testing.T, kind named, number int) {
	conn := connect(t, s.source, everything)
	defer func() { conn.Close(context.WithoutCancel(t.Context())) }()
	schema := pgx.Identifier{fmt.Sprintf("%d S \"x\" 'y' \\ z\n", number)}.Sanitize()
	execute(t, conn, "CREATE SCHEMA "+schema)
	names := awkwardNames()
	if kind.once {
		names = []string{everything}
	}
	words := make([]*strings.Replacer, len(names))
	for i, name := range names {
		ident := quoted(name)
		words[i] = strings.NewReplacer("{n}", ident, "{s}", schema, "{d}", quoted(everything), "{l}", literal(name), "{q}", literal(schema+"."+ident),
			"{i}", fmt.Sprint(i), "{ours}", quoted("pgleap_ddl_"+name), "{x}", quoted("x"+name))
		for _, sql := range kind.create {
			execute(t, conn, words[i].Replace(sql))
		}
	}
	subject := s.subject(t, upgrade.Options{})
	if kind.mode != "" {
		subject.Plan.Mode = kind.mode
	}
	remedies, scripts := 0, map[string]string{} // by database
	look := func() (objects []string) {
		t.Helper()
		report, err := run(t.Context(), []Check{kind.check}, subject, time.Now())
		if err != nil || len(report.NotChecked) > 0 {
			t.Fatal(err, report.NotChecked)
		}
		for _, f := range report.Findings {
			objects = append(objects, f.Objects...)
			for _, remedy := range f.RemedySQL {
				if strings.ContainsAny(remedy.SQL, "\n\r\t") {
					t.Errorf("it takes more than a line: %q", remedy.SQL)
				}
				remedies++
				scripts[remedy.Database] += remedy.SQL + ";\n"
			}
		}
		return objects
	}
	if found := look(); len(found) < len(names) || remedies < len(names) {
		t.Errorf("%d objects and %d remedies of %d names: %q", len(found), remedies, len(names), found)
	}
	for database, script := range scripts {
		s.paste(t, database, script)
	}
	if left := look(); len(left) > 0 && !kind.runs {
		t.Errorf("still found %q", left)
	}
	execute(t, conn, "SET client_min_messages = error; DROP SCHEMA "+schema+" CASCADE")
	for _, w := range words {
		for _, sql := range kind.cleanup {
			execute(t, conn, w.Replace(sql))
		}
	}
}

// paste gives a script to psql as somebody would who has copied it from a report.
func (s stage) paste(t *testing.T, database, script string) {
	t.Helper()
	psql := exec.CommandContext(t.Context(), filepath.Join(s.source.Bindir, "psql"), "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", s.source.DSN(database))
	psql.Env = append(os.Environ(), "PGCLIENTENCODING=UTF8")
	psql.Stdin = strings.NewReader(script)
	if output, err := psql.CombinedOutput(); err != nil {
		t.Errorf("psql: %v\n%s\n%s", err, output, script)
	}
}
