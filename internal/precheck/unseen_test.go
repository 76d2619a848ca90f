package precheck

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/pgleap/pgleap/internal/pgtest"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// Names that have to be quoted: with spaces and quotes, in another script, and as long as can be.
const (
	oddSchema = `"Schöne ""neue"" Welt"`
	oddName   = `"a 'b' ""c"""`
	longName  = `"Länge von genau dreiundsechzig Bytes, das ist die Grenze hier."`
)

// unseenViolations are of what pg_upgrade --check does not see.
func unseenViolations() []violation {
	return slices.Concat(removedColumnViolations(), removedFunctionViolations(), definitionViolations(), extensionViolations(), plantedViolations())
}

func removedColumnViolations() []violation {
	return []violation{
		{
			name: "views on removed columns", check: removedColumns, source: -15, target: 17,
			violate: []string{
				`CREATE SCHEMA ` + oddSchema,
				`CREATE VIEW ` + oddSchema + `.` + longName + ` AS SELECT buffers_backend, checkpoints_req FROM pg_stat_bgwriter`,
				`CREATE VIEW fine AS SELECT buffers_alloc FROM pg_stat_bgwriter`,
				`CREATE VIEW whole_row AS SELECT count(*) AS n FROM pg_stat_bgwriter`,
				`CREATE MATERIALIZED VIEW kept AS SELECT a.stats_reset FROM pg_stat_archiver a JOIN pg_stat_bgwriter b ON b.buffers_backend_fsync > 1`,
			},
			want: []string{
				`{db}.` + oddSchema + `.` + longName + ` (view with pg_stat_bgwriter.buffers_backend, pg_stat_bgwriter.checkpoints_req)`,
				`{db}.public.kept (materialized view with pg_stat_bgwriter.buffers_backend_fsync)`,
			},
		},
		{
			name: "other objects on removed columns", check: removedColumns, source: -15, target: 17,
			violate: []string{
				`CREATE TABLE ` + oddName + ` (id bigint)`,
				`CREATE RULE ` + oddName + ` AS ON UPDATE TO ` + oddName + ` DO ALSO INSERT INTO ` + oddName + ` SELECT checkpoints_timed FROM pg_stat_bgwriter`,
				`CREATE POLICY ` + longName + ` ON ` + oddName + ` USING (id < (SELECT buffers_backend FROM pg_stat_bgwriter))`,
				`CREATE POLICY fine ON ` + oddName + ` USING (id < (SELECT buffers_alloc FROM pg_stat_bgwriter))`,
			},
			want: []string{
				`{db}.public.` + oddName + `.` + longName + ` (policy with pg_stat_bgwriter.buffers_backend)`,
				`{db}.public.` + oddName + `.` + oddName + ` (rule with pg_stat_bgwriter.checkpoints_timed)`,
			},
		},
		{
			name: "columns of catalogs, which are pinned", check: removedColumns, source: 15, upTo: 16, target: 17,
			violate: []string{
				`CREATE VIEW used AS SELECT c.collname, n.nspname, c.colliculocale FROM pg_collation c JOIN pg_namespace n ON n.oid = c.collnamespace`,
				`CREATE VIEW fine AS SELECT c.* FROM (SELECT collname, collctype FROM pg_collation) AS c`,
				`CREATE FUNCTION ` + oddName + `(text) RETURNS text BEGIN ATOMIC SELECT daticulocale FROM pg_database WHERE datname = $1; END`,
			},
			want: []string{
				`{db}.public.` + oddName + `(text) (routine with pg_database.daticulocale)`,
				`{db}.public.used (view with pg_collation.colliculocale)`,
			},
		},
		{
			name: "catalogs of 13", check: removedColumns, source: -13, target: 15,
			violate: []string{`CREATE VIEW used AS SELECT d.datname, d.datlastsysoid, s.compression FROM pg_database d CROSS JOIN pg_stat_ssl s`},
			want:    []string{`{db}.public.used (view with pg_database.datlastsysoid, pg_stat_ssl.compression)`},
		},
		{
			name: "columns that 18 removes", check: removedColumns, source: 15, upTo: 17, target: 18,
			violate: []string{
				`CREATE VIEW used AS SELECT wal_write FROM pg_stat_wal`,
				`CREATE VIEW cached AS SELECT attname, attcacheoff FROM pg_attribute`,
			},
			want: []string{
				`{db}.public.cached (view with pg_attribute.attcacheoff)`,
				`{db}.public.used (view with pg_stat_wal.wal_write)`,
			},
		},
		{
			name: "columns that 19 removes", check: removedColumns, source: 15, upTo: 18, target: 19,
			violate: []string{`CREATE VIEW used AS SELECT sync_error_count FROM pg_stat_subscription_stats`},
			want:    []string{`{db}.public.used (view with pg_stat_subscription_stats.sync_error_count)`},
		},
	}
}

func removedFunctionViolations() []violation {
	const removed = `pg_stat_get_buf_written_backend()`
	return []violation{
		{
			name: "functions in every kind of expression", check: removedFunctions, source: -15, target: 17,
			violate: []string{
				`CREATE SCHEMA ` + oddSchema,
				`CREATE VIEW ` + oddSchema + `.` + longName + ` AS SELECT ` + removed + ` AS n`,
				`CREATE TABLE ` + oddName + ` (` + longName + ` bigint DEFAULT ` + removed + `, t text CONSTRAINT ` + oddName + ` CHECK (t <> ` + removed + `::text))`,
				`CREATE DOMAIN d AS bigint DEFAULT ` + removed + ` CONSTRAINT ` + oddName + ` CHECK (VALUE < ` + removed + `)`,
				`CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'`,
				`CREATE TRIGGER ` + oddName + ` BEFORE INSERT ON ` + oddName + ` FOR EACH ROW WHEN (NEW.t = ` + removed + `::text) EXECUTE FUNCTION f()`,
				`CREATE FUNCTION ` + longName + `(a bigint DEFAULT ` + removed + `) RETURNS bigint LANGUAGE sql AS 'SELECT a'`,
				`CREATE POLICY p ON ` + oddName + ` USING (` + removed + ` > 0)`,
			},
			want: []string{
				`{db}.` + oddSchema + `.` + longName + ` (view with function ` + removed + `)`,
				`{db}.public.` + longName + `(a bigint) (routine with function ` + removed + `)`,
				`{db}.public.` + oddName + `.` + longName + ` (default with function ` + removed + `)`,
				`{db}.public.` + oddName + `.` + oddName + ` (constraint with function ` + removed + `)`,
				`{db}.public.` + oddName + `.` + oddName + ` (trigger with function ` + removed + `)`,
				`{db}.public.` + oddName + `.p (policy with function ` + removed + `)`,
				`{db}.public.d (default of a domain with function ` + removed + `)`,
				`{db}.public.d.` + oddName + ` (constraint with function ` + removed + `)`,
			},
		},
		{
			name: "operators of 13, in indexes too", check: removedFunctions, source: -13, target: 15,
			violate: []string{
				`CREATE TABLE t (id int, b box, c circle)`,
				`CREATE INDEX ` + longName + ` ON t ((b ~ box '(1,1),(0,0)'))`,
				`CREATE INDEX partly ON t (id) WHERE c @ circle '<(0,0),1>'`,
				`ALTER TABLE t ADD CONSTRAINT ` + oddName + ` EXCLUDE USING btree ((id !) WITH =)`,
				`CREATE VIEW factorials AS SELECT id ! AS a, !! 3 AS b FROM t`,
				`CREATE VIEW fine AS SELECT array_append('{1}'::int[], 1), '{1}'::int[] || 2, id FROM t`,
			},
			want: []string{
				`{db}.public.` + longName + ` (index with operator ~(box,box))`,
				`{db}.public.` + oddName + ` (index with operator !(bigint,-))`,
				`{db}.public.factorials (view with operator !!(-,bigint), operator !(bigint,-))`,
				`{db}.public.partly (index with operator @(circle,circle))`,
			},
		},
		{
			name: "what is made of removed functions", check: removedFunctions, source: -15, target: 17,
			violate: []string{
				`CREATE AGGREGATE ` + oddName + ` (interval) (SFUNC = interval_accum, STYPE = interval[], FINALFUNC = interval_avg, INITCOND = '{0 second,0 second}')`,
			},
			want: []string{`{db}.public.` + oddName + `(interval) (routine with function interval_accum(interval[],interval), function interval_avg(interval[]))`},
		},
		{
			name: "conversion of removed functions", check: removedFunctions, source: 15, target: 19,
			violate: []string{`CREATE CONVERSION ` + oddName + ` FOR 'LATIN1' TO 'MULE_INTERNAL' FROM latin1_to_mic`},
			want:    []string{`{db}.public.` + oddName + ` (conversion with function latin1_to_mic(integer,integer,cstring,internal,integer,boolean))`},
		},
	}
}

func definitionViolations() []violation {
	return []violation{
		{
			name: "foreign key of two nondeterministic collations", check: foreignKeyCollations, source: -17, target: 18,
			violate: []string{
				`CREATE COLLATION ` + oddName + ` (provider = icu, locale = 'und', deterministic = false)`,
				`CREATE COLLATION other (provider = icu, locale = 'de', deterministic = false)`,
				`CREATE TABLE ` + longName + ` (name varchar(10) COLLATE ` + oddName + ` PRIMARY KEY)`,
				`CREATE TABLE ` + oddName + ` (` + longName + ` varchar(20) COLLATE other CONSTRAINT ` + oddName + ` REFERENCES ` + longName + `)`,
				`INSERT INTO ` + longName + ` VALUES ('x')`, `INSERT INTO ` + oddName + ` VALUES ('x')`,
				`CREATE TABLE fine (name text COLLATE ` + oddName + ` REFERENCES ` + longName + `)`,
				`CREATE TABLE also_fine (name text COLLATE "C" PRIMARY KEY)`,
				`CREATE TABLE also_fine_2 (name text COLLATE "POSIX" REFERENCES also_fine)`,
			},
			want: []string{`{db}.public.` + oddName + `.` + oddName + ` (column ` + longName + `: public.other against public.` + oddName + `)`},
		},
		{
			name: "child that generates what its parent does not", check: generatedChildren, source: -15, target: 16,
			violate: []string{
				`CREATE TABLE parent (id int, ` + oddName + ` int)`,
				`CREATE TABLE ` + longName + ` (` + oddName + ` int GENERATED ALWAYS AS (id * 2) STORED) INHERITS (parent)`,
				`CREATE TABLE p (id int, twice int GENERATED ALWAYS AS (id * 2) STORED)`,
				`CREATE TABLE fine () INHERITS (p)`,
				`CREATE TABLE ` + oddName + ` (id int, name text, twice int) PARTITION BY LIST (name)`,
				`CREATE TABLE part (id int, name text, twice int GENERATED ALWAYS AS (id * 2) STORED)`,
				`ALTER TABLE ` + oddName + ` ATTACH PARTITION part FOR VALUES IN ('it''s', NULL)`,
			},
			want: []string{
				`{db}.public.` + longName + `.` + oddName + ` (not generated in public.parent)`,
				`{db}.public.part.twice (not generated in public.` + oddName + `)`,
			},
		},
		{
			name: "constraints of the name that NOT NULL gets", check: notNullNames, source: -17, target: 18,
			violate: []string{
				`CREATE TABLE t (id int NOT NULL, n int NOT NULL, fine int)`,
				`ALTER TABLE t ADD CONSTRAINT t_id_not_null CHECK (id IS NOT NULL) NOT VALID, ADD CONSTRAINT t_n_not_null UNIQUE (n), ADD CONSTRAINT t_fine_not_null CHECK (fine IS NOT NULL) NOT VALID`,
				`CREATE TABLE "T 2" ("a ""b""" int NOT NULL CONSTRAINT "T 2_a ""b""_not_null" CHECK ("a ""b""" > 0))`, // valid ones are made with the table
				`CREATE TABLE ` + longName + ` ("a ""b""" int NOT NULL)`,
				`ALTER TABLE ` + longName + ` ADD CONSTRAINT "Länge von genau dreiundsechzig Bytes, das ist d_a ""b""_not_null" CHECK ("a ""b""" > 0) NOT VALID`,
				`CREATE TABLE p (id int NOT NULL) PARTITION BY LIST (id)`, `CREATE TABLE p1 PARTITION OF p FOR VALUES IN (1)`,
				`ALTER TABLE p ADD CONSTRAINT p_id_not_null CHECK (id > 0) NOT VALID`,
			},
			want: []string{
				`{db}.public.` + longName + `."Länge von genau dreiundsechzig Bytes, das ist d_a ""b""_not_null" (a "b" is NOT NULL)`,
				`{db}.public.p.p_id_not_null (id is NOT NULL)`, `{db}.public.t.t_id_not_null (id is NOT NULL)`, `{db}.public.t.t_n_not_null (n is NOT NULL)`,
			},
		},
		{
			name: "constraints of the name that NOT NULL of a domain gets", check: notNullNames, source: -16, target: 17,
			violate: []string{
				`CREATE DOMAIN ` + oddName + ` AS int NOT NULL CONSTRAINT "a 'b' ""c""_not_null" CHECK (VALUE > 0)`,
				`CREATE DOMAIN fine AS int CONSTRAINT fine_not_null CHECK (VALUE IS NOT NULL)`,
			},
			want: []string{`{db}.public.` + oddName + `."a 'b' ""c""_not_null" (the domain is NOT NULL)`},
		},
		{
			name: "unlogged partitioned table", check: unloggedPartitioned, source: -17, target: 18,
			violate: []string{`CREATE UNLOGGED TABLE p (id int) PARTITION BY LIST (id)`, `CREATE TABLE fine (id int) PARTITION BY LIST (id)`},
			want:    []string{`{db}.public.p`},
			mend:    []string{`DROP TABLE p`},
		},
		{
			name: "settings of the install role", check: installRoleSettings,
			violate: []string{
				`CREATE ROLE ` + longName + ` SUPERUSER`,
				`ALTER ROLE postgres SET role = ` + longName,
				`ALTER ROLE postgres SET statement_timeout = '1s'`,
			},
			want:    []string{`role postgres (role=Länge von genau dreiundsechzig Bytes, das ist die Grenze hier.)`},
			cleanup: []string{`ALTER ROLE postgres RESET ALL`, `DROP ROLE ` + longName},
		},
		{
			name: "limits of the install role", check: installRoleSettings, source: 14, severity: upgrade.Warning,
			violate: []string{
				`CREATE ROLE ` + longName + ` SUPERUSER`,
				`ALTER ROLE postgres IN DATABASE {db} SET idle_session_timeout = '1h'`,
				`ALTER DATABASE {db} SET idle_session_timeout = '0s'`,
				`ALTER ROLE ` + longName + ` SET idle_session_timeout = '1s'`,
			},
			want:    []string{`role postgres, database {db} (idle_session_timeout=1h)`},
			cleanup: []string{`ALTER ROLE postgres RESET ALL`, `DROP ROLE ` + longName},
		},
		{
			name: "language of Python 2", check: python2,
			violate: []string{
				`CREATE LANGUAGE plpython2u HANDLER plpgsql_call_handler`,
			},
			want: []string{`{db}.plpython2u (language that no function uses)`},
		},
		{
			name: "function of Python 2", check: python2,
			violate: []string{
				`CREATE LANGUAGE plpython2u HANDLER plpgsql_call_handler`,
				`CREATE FUNCTION ` + oddName + `(int) RETURNS int LANGUAGE plpython2u AS 'print 1'`,
			},
			want: []string{`{db}.public.` + oddName + `(integer) (language plpython2u)`},
			mend: []string{`DROP LANGUAGE plpython2u CASCADE`},
		},
	}
}

func extensionViolations() []violation {
	return []violation{
		{
			name: "library of the source's version", check: requiredLibraries,
			violate: []string{
				`DO $$ BEGIN
					EXECUTE format('CREATE FUNCTION levenshtein(text, text) RETURNS int LANGUAGE c AS %L, ''levenshtein''',
						(SELECT setting FROM pg_config WHERE name = 'PKGLIBDIR') || '/fuzzystrmatch.so');
				END $$`,
			},
			want: []string{
				`{db}.{libdir}/fuzzystrmatch.so (incompatible library "{libdir}/fuzzystrmatch.so": version mismatch; used by public.levenshtein(text, text))`,
			},
			mend: []string{`DROP FUNCTION levenshtein(text, text)`},
		},
		{
			name: "views that keep an extension from being updated", check: extensionViews, source: -16, target: 17,
			violate: []string{
				`CREATE SCHEMA "my ext"`, `CREATE EXTENSION pg_stat_statements SCHEMA "my ext"`,
				`CREATE VIEW ` + oddName + ` AS SELECT query, 'it''s' AS "so"  FROM "my ext".pg_stat_statements`,
				`CREATE VIEW upon_it AS SELECT query FROM ` + oddName,
				`CREATE MATERIALIZED VIEW ` + longName + ` AS SELECT count(*) FROM "my ext".pg_stat_statements(false) WITH NO DATA`,
				`CREATE EXTENSION hstore VERSION '1.6'`, // its update replaces nothing that a view is made of
				`CREATE VIEW fine AS SELECT * FROM each(hstore('a', 'b'))`, `CREATE VIEW fine_too AS SELECT 1 AS one`,
			},
			want: []string{`{db}.public.` + longName, `{db}.public.` + oddName},
			mend: []string{`DROP VIEW ` + oddName + ` CASCADE`, `DROP MATERIALIZED VIEW ` + longName},
		},
		{
			name: "extension with a rule, to be dropped", check: extensionRules,
			violate: []string{`CREATE EXTENSION intagg`, `UPDATE pg_extension SET extname = 'pg_repack' WHERE extname = 'intagg'`},
			want:    []string{`{db}.pg_repack`},
		},
		{
			name: "extension with a rule", check: extensionRules,
			violate: []string{`CREATE EXTENSION intagg`, `UPDATE pg_extension SET extname = 'citus' WHERE extname = 'intagg'`},
			want:    []string{`{db}.citus`},
			mend:    []string{`DROP EXTENSION citus`},
		},
	}
}

// forgetParts is SQL that takes parts of foreign keys out of the catalogs, with their triggers.
func forgetParts(where string) string {
	return `DO $forget$
		DECLARE part oid;
		BEGIN
			FOR part IN SELECT oid FROM pg_constraint WHERE contype = 'f' AND conparentid <> 0 AND ` + where + ` LOOP
				DELETE FROM pg_depend WHERE classid = 'pg_trigger'::regclass AND objid IN (SELECT oid FROM pg_trigger WHERE tgconstraint = part);
				DELETE FROM pg_trigger WHERE tgconstraint = part;
				DELETE FROM pg_depend WHERE classid = 'pg_constraint'::regclass AND objid = part OR refclassid = 'pg_constraint'::regclass AND refobjid = part;
				DELETE FROM pg_constraint WHERE oid = part;
			END LOOP;
		END $forget$`
}

// plantedViolations are of what the restore, or the first maintenance on the target, finds.
func plantedViolations() []violation {
	return []violation{
		{
			name: "dictionary whose file the target lacks", check: textSearchFiles,
			violate: []string{
				`CREATE TEXT SEARCH DICTIONARY fine (TEMPLATE = simple, STOPWORDS = english)`,
				`CREATE TEXT SEARCH DICTIONARY fine_too (TEMPLATE = thesaurus, DICTFILE = thesaurus_sample, DICTIONARY = public.fine)`,
				`CREATE TEXT SEARCH DICTIONARY ` + oddName + ` (TEMPLATE = simple, STOPWORDS = english)`,
				`UPDATE pg_ts_dict SET dictinitoption = 'stopwords = ''our_own''' WHERE dictname = 'a ''b'' "c"'`, // only the source has the file
			},
			want: []string{`{db}.public.` + oddName + ` (could not open stop-word file "{sharedir}/tsearch_data/our_own.stop": No such file or directory)`},
			mend: []string{`DROP TEXT SEARCH DICTIONARY ` + oddName},
		},
		{
			// Letters are those of the database's own encoding and locale, on the target too.
			name: "dictionary of letters that the database has not", check: textSearchFiles,
			violate: []string{
				`CREATE DATABASE latin TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'`,
				`CREATE EXTENSION dblink`,
				`SELECT dblink_exec('dbname=latin port=' || current_setting('port') || ' user=postgres host=127.0.0.1', $$
					CREATE TEXT SEARCH DICTIONARY ` + oddName + ` (TEMPLATE = simple, STOPWORDS = english);
					UPDATE pg_ts_dict SET dictinitoption = 'stopwords = ''russian''' WHERE dictname = 'a ''b'' "c"';
				$$)`,
				`CREATE TEXT SEARCH DICTIONARY fine (TEMPLATE = simple, STOPWORDS = russian)`,
			},
			want: []string{`latin.public.` + oddName + ` (character with byte sequence 0xd0 0xb8 in encoding "UTF8" has no equivalent in encoding "LATIN1")`},
			mend: []string{`DROP DATABASE latin`},
		},
		{
			// What a DETACH PARTITION of an older minor release has left, made by hand.
			name: "foreign key of a partition that was detached", check: partitionForeignKeys,
			violate: []string{
				`CREATE TABLE ` + longName + ` (id int PRIMARY KEY) PARTITION BY RANGE (id)`,
				`CREATE TABLE p1 PARTITION OF ` + longName + ` FOR VALUES FROM (0) TO (5)`,
				`CREATE TABLE p2 PARTITION OF ` + longName + ` FOR VALUES FROM (5) TO (10)`,
				`CREATE TABLE ` + oddName + ` (id int, ref int CONSTRAINT ` + oddName + ` REFERENCES ` + longName + `)`,
				`CREATE TABLE fine (id int REFERENCES ` + longName + `)`, `CREATE TABLE "heir of fine" () INHERITS (fine)`,
				`CREATE TABLE plain (id int PRIMARY KEY)`, `CREATE TABLE "heir of plain" () INHERITS (plain)`,
				`CREATE TABLE "to plain" (id int REFERENCES plain) PARTITION BY LIST (id)`,
				`CREATE TABLE parted (id int REFERENCES ` + longName + `) PARTITION BY LIST (id)`, `CREATE TABLE parted1 PARTITION OF parted FOR VALUES IN (1)`,
				forgetParts(`conrelid = ` + literal(oddName) + `::regclass`),
			},
			want: []string{`{db}.public.` + oddName + `.` + oddName},
		},
		{
			name: "foreign key of a table to itself", check: partitionForeignKeys,
			violate: []string{
				`CREATE TABLE ` + longName + ` (id int PRIMARY KEY, up int CONSTRAINT ` + oddName + ` REFERENCES ` + longName + `) PARTITION BY RANGE (id)`,
				`CREATE TABLE p1 PARTITION OF ` + longName + ` FOR VALUES FROM (0) TO (5)`,
				forgetParts(`confrelid = 'p1'::regclass`),
			},
			want: []string{`{db}.public.` + longName + `.` + oddName},
		},
		{
			name: "functions without a search_path", check: maintenanceSearchPath, source: -16, target: 17,
			violate: []string{
				`CREATE TABLE t (name text)`,
				`CREATE FUNCTION helper(text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT upper($1)'`,
				`CREATE FUNCTION ` + oddName + `(a text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN helper($1); END'`,
				`CREATE FUNCTION fine(text) RETURNS text LANGUAGE plpgsql IMMUTABLE SET search_path = public AS 'BEGIN RETURN helper($1); END'`,
				`CREATE FUNCTION in_a_view(text) RETURNS text LANGUAGE sql AS 'SELECT helper($1)'`,
				`CREATE INDEX ` + longName + ` ON t (` + oddName + `(name))`, `CREATE INDEX also_fine ON t (fine(name), lower(name))`,
				`CREATE MATERIALIZED VIEW m AS SELECT in_a_view(name) FROM t`, `CREATE VIEW v AS SELECT helper(name) FROM t`,
			},
			want: []string{`{db}.public.` + oddName + `(a text)`, `{db}.public.in_a_view(text)`},
			mend: []string{
				`ALTER FUNCTION ` + oddName + ` SET search_path = pg_catalog, public`, `ALTER FUNCTION in_a_view SET search_path = pg_catalog, public`,
			},
		},
		{
			name: "functions without a search_path that name nothing", check: maintenanceSearchPath, source: -16, target: 17, severity: upgrade.Info,
			violate: []string{
				`CREATE TABLE t (name text)`,
				`CREATE FUNCTION fine(a text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN pg_catalog.lower(replace(a, ''x'', ''y'')); END'`,
				`CREATE INDEX ` + longName + ` ON t (fine(name))`,
			},
			want: []string{`{db}.public.fine(a text)`},
			mend: []string{`ALTER FUNCTION fine SET search_path = pg_catalog`},
		},
		{
			name: "functions that a worker calls for each row", check: appliedSearchPath,
			violate: []string{
				`CREATE TABLE allowed (name text PRIMARY KEY)`,
				`CREATE FUNCTION ` + oddName + `(a text) RETURNS boolean LANGUAGE plpgsql STABLE AS 'BEGIN RETURN EXISTS (SELECT FROM "allowed" WHERE name = a); END'`,
				`CREATE FUNCTION helper(text) RETURNS text LANGUAGE sql IMMUTABLE SET search_path = pg_catalog AS 'SELECT upper($1)'`,
				`CREATE FUNCTION of_domains(a text) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT Helper(a) IS NOT NULL'`,
				`CREATE FUNCTION generates(a text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN helper(a); END'`,
				`CREATE FUNCTION fine(a text) RETURNS text LANGUAGE plpgsql IMMUTABLE SET search_path = 'public' AS 'BEGIN RETURN helper(a); END'`,
				`CREATE DOMAIN word AS text CHECK (of_domains(VALUE))`,
				`CREATE TABLE ` + longName + ` (id int PRIMARY KEY, name text CHECK (` + oddName + `(name)), w word,
					g text GENERATED ALWAYS AS (generates(name)) STORED, CHECK (fine(name) <> 'x'))`,
			},
			want: []string{`{db}.public.` + oddName + `(a text)`, `{db}.public.generates(a text)`, `{db}.public.of_domains(a text)`},
			mend: []string{
				`ALTER FUNCTION ` + oddName + ` SET search_path = public`, `ALTER FUNCTION of_domains SET search_path = public`, `ALTER FUNCTION generates SET search_path = public`,
			},
		},
		{
			name: "functions that a worker calls for indexes", check: appliedSearchPath, source: 17,
			violate: []string{
				`CREATE FUNCTION helper(text) RETURNS text LANGUAGE sql IMMUTABLE SET search_path = pg_catalog AS 'SELECT upper($1)'`,
				`CREATE FUNCTION sorts(a text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN helper(a); END'`,
				`CREATE TABLE t (id int PRIMARY KEY, name text)`, `CREATE INDEX ON t (sorts(name))`,
			},
			want: []string{`{db}.public.sorts(a text)`},
			mend: []string{`ALTER FUNCTION sorts SET search_path = public`},
		},
		{
			name: "extension that 17 has not any more", check: extensions, source: -16, target: 17,
			violate: []string{`CREATE EXTENSION adminpack`}, want: []string{`{db}.adminpack (version 2.1)`}, mend: []string{`DROP EXTENSION adminpack`},
		},
		{
			name: "tablespace within the data directory", check: tablespaces, severity: upgrade.Warning,
			violate: []string{
				`COPY (SELECT WHERE false) TO PROGRAM 'mkdir -m 700 in\ side'`, `CREATE TABLESPACE "In side" LOCATION '{pgdata}/in side'`,
				`CREATE TABLE t (id int) TABLESPACE "In side"`,
			},
			want: []string{`"In side" ({pgdata}/in side)`},
			mend: []string{`ALTER TABLE t SET TABLESPACE pg_default`, `DROP TABLESPACE "In side"`},
		},
		{
			name: "tablespace within the data directory, in place", check: tablespaces, mode: upgrade.InPlace, severity: upgrade.Blocker,
			violate: []string{
				`COPY (SELECT WHERE false) TO PROGRAM 'mkdir -m 700 with\ in'`, `CREATE TABLESPACE "Within" LOCATION '{pgdata}/with in'`,
				`CREATE TABLE t (id int) TABLESPACE "Within"`,
			},
			want: []string{`"Within" ({pgdata}/with in)`},
			mend: []string{`ALTER TABLE t SET TABLESPACE pg_default`, `DROP TABLESPACE "Within"`},
		},
		{
			name: "stems of Dutch words", check: textSearchStemmers, source: -18, target: 19, runs: true,
			violate: []string{
				`CREATE TEXT SEARCH CONFIGURATION ` + oddName + ` (COPY = dutch)`, `CREATE TABLE t (body text, fine tsvector, words tsvector)`,
				`ALTER TABLE t ADD ` + longName + ` tsvector GENERATED ALWAYS AS (to_tsvector('dutch', body)) STORED`,
				`CREATE INDEX ` + oddName + ` ON t USING gin (to_tsvector('` + strings.ReplaceAll(oddName, "'", "''") + `', body))`,
				`CREATE INDEX fine ON t USING gin (to_tsvector('english', body))`,
				`CREATE TRIGGER computes BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION tsvector_update_trigger(words, 'pg_catalog.dutch', body)`,
				`CREATE TRIGGER is_fine BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION tsvector_update_trigger(fine, 'pg_catalog.english', body)`,
				`CREATE MATERIALIZED VIEW "Of words" AS SELECT to_tsvector('dutch', body) AS words FROM t`,
				`CREATE MATERIALIZED VIEW fine_words AS SELECT to_tsvector('english', body) AS words FROM t`,
				`ALTER DATABASE {db} SET default_text_search_config = 'pg_catalog.dutch'`,
			},
			want: []string{
				`{db}.default_text_search_config (is pg_catalog.dutch)`, `{db}.public."Of words" (materialized view)`,
				`{db}.public.` + oddName + ` (index of public.t)`,
				`{db}.public.t.` + longName + ` (generated column)`, `{db}.public.t.computes (trigger that computes a column)`,
			},
			mend: []string{`DROP TABLE t CASCADE`, `ALTER DATABASE {db} RESET default_text_search_config`},
		},
		{
			name: "trigram indexes", check: charSignedness, source: -17, target: 18,
			violate: []string{
				`CREATE EXTENSION pg_trgm`, `CREATE TABLE ` + longName + ` (name text)`, `CREATE INDEX fine ON ` + longName + ` (name)`,
				`CREATE INDEX ` + oddName + ` ON ` + longName + ` USING gin (name gin_trgm_ops)`,
			},
			want: []string{`{db}.public.` + oddName + ` (index of public.` + longName + `)`},
			runs: true, mend: []string{`DROP INDEX ` + oddName},
		},
	}
}

func TestWhatPgUpgradeDoesNotSee(t *testing.T) {
	pgtest.Slow(t)
	for _, s := range stages(t) {
		t.Run(fmt.Sprintf("%d to %d", s.source.Major, s.target.Major), func(t *testing.T) {
			for i, v := range unseenViolations() {
				if !v.possible(s) {
					continue
				}
				t.Run(v.name, func(t *testing.T) { s.carryOut(t, v, fmt.Sprintf("unseen%d", i)) })
			}
		})
	}
}
