package precheck

import (
	"context"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/pgleap/pgleap/internal/pgconf"
	"github.com/pgleap/pgleap/internal/pgtest"
	"github.com/pgleap/pgleap/internal/postgres"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// violation is a case of a check: the SQL that brings about what it looks for, what it finds,
// and what makes it find nothing.
type violation struct {
	name    string
	check   Check
	source  int      // the first major version that can be violated so; negative: the last
	upTo    int      // the last one, where source is the first
	target  int      // the first target for which it is a violation; negative: the last
	violate []string // in a database named app; {db} becomes its real name, {dir} a directory of the cluster's user
	want    []string // objects
	options upgrade.Options
	mode    upgrade.Mode // zero-downtime, if it is empty
	mend    []string     // what the remedy says, where the finding prints no SQL for it
	cleanup []string     // what the mending leaves in the cluster
	runs    bool         // the remedy SQL is for the target; it runs here too, and mends nothing
	// severity when it is not the check's own.
	severity upgrade.Severity
	// connection runs the violation in a session that stays until the mending.
	session bool
}

func violations() []violation {
	return slices.Concat(
		instanceViolations(), settingViolations(), activityViolations(),
		identityViolations(), contentViolations(), targetViolations(), pgUpgradeViolations(),
	)
}

func instanceViolations() []violation {
	return []violation{
		{
			name: "database without connections", check: databases,
			violate: []string{`CREATE DATABASE "Closed" ALLOW_CONNECTIONS false`},
			want:    []string{`"Closed" (does not allow connections)`},
			cleanup: []string{`DROP DATABASE "Closed"`},
		},
		{
			name: "template0 with connections", check: databases,
			violate: []string{`ALTER DATABASE template0 ALLOW_CONNECTIONS true`},
			want:    []string{`template0 (allows connections)`},
		},
		{
			name: "invalid database", check: databases,
			violate: []string{
				`CREATE DATABASE half_dropped`,
				`UPDATE pg_database SET datconnlimit = -2 WHERE datname = 'half_dropped'`,
			},
			want: []string{`half_dropped (invalid)`},
		},
		{
			name: "role pgleap of somebody else", check: reservedRole,
			violate: []string{`CREATE ROLE pgleap`},
			want:    []string{`pgleap`},
		},
		{
			name: "slot of pgleap's name", check: reservedSlots,
			violate: []string{`SELECT pg_create_logical_replication_slot('pgleap_1', 'pgoutput')`},
			want:    []string{`pgleap_1 (logical, plugin pgoutput, database {db})`},
			mend:    []string{`SELECT pg_drop_replication_slot('pgleap_1')`},
		},
		{
			name: "base backup slot that is logical", check: reservedSlots,
			violate: []string{`SELECT pg_create_logical_replication_slot('pgleap_base_backup', 'test_decoding')`},
			want:    []string{`pgleap_base_backup (logical, plugin test_decoding, database {db})`},
			mend:    []string{`SELECT pg_drop_replication_slot('pgleap_base_backup')`},
		},
		{
			name: "schema and publication of pgleap's names", check: reservedObjects,
			violate: []string{`CREATE SCHEMA pgleap`, `CREATE PUBLICATION pgleap_forward`},
			want:    []string{`{db}.pgleap (schema)`, `{db}.pgleap_forward (publication)`},
		},
		{
			name: "schema that only says that it is pgleap's", check: reservedObjects,
			violate: []string{`CREATE SCHEMA pgleap`, `COMMENT ON SCHEMA pgleap IS 'pgleap: for the running upgrade, removed when it has finished'`},
			want:    []string{`{db}.pgleap (schema)`},
		},
		{
			name: "subscription", check: subscriptions,
			violate: []string{`CREATE SUBSCRIPTION inbound CONNECTION 'dbname=none' PUBLICATION p WITH (connect = false)`},
			want:    []string{`{db}.inbound (disabled)`},
			mend:    []string{`ALTER SUBSCRIPTION inbound SET (slot_name = NONE)`, `DROP SUBSCRIPTION inbound`},
		},
	}
}

func settingViolations() []violation {
	reload := `SELECT pg_reload_conf()`
	return []violation{
		{
			name: "too little WAL kept", check: slotRetention,
			violate: []string{`ALTER SYSTEM SET max_slot_wal_keep_size = '1GB'`, reload},
			want:    []string{`max_slot_wal_keep_size = 1024 (1.0 GB, less than maxRetainedWAL: 16.0 GB)`},
			options: upgrade.Options{MaxRetainedWAL: 16 << 30},
		},
		{
			name: "slots given up when idle", check: slotRetention, source: 18,
			violate: []string{`ALTER SYSTEM SET idle_replication_slot_timeout = '1h'`, reload},
			want:    []string{`idle_replication_slot_timeout = 3600`},
		},
		{
			name: "every standby is synchronous", check: synchronousStandbys,
			violate: []string{`ALTER SYSTEM SET synchronous_standby_names = 'ANY 1 (*)'`, reload},
			want:    []string{`synchronous_standby_names = ANY 1 (*)`},
			mend:    []string{`ALTER SYSTEM SET synchronous_standby_names = 'FIRST 1 (s1, s2)'`, reload},
			cleanup: []string{`ALTER SYSTEM RESET synchronous_standby_names`, reload},
		},
	}
}

func activityViolations() []violation {
	return []violation{
		{
			name: "long transaction", check: longTransactions(0),
			violate: []string{`BEGIN`, `SELECT pg_current_xact_id()`},
			session: true,
			want:    []string{`process {pid} (role postgres, database {db}, idle in transaction, for 00:00:00)`},
			mend:    []string{`ROLLBACK`},
		},
		{
			name: "old transaction ids", check: xidAge(1, 2_000_000_000),
			want: []string{`{db} (age {age})`},
		},
		{
			name: "very old transaction ids", check: xidAge(1, 1),
			want:     []string{`{db} (age {age})`},
			severity: upgrade.Blocker,
		},
		{
			name: "physical slot", check: standbys,
			violate: []string{`SELECT pg_create_physical_replication_slot('standby1')`},
			want:    []string{`slot standby1`},
			mend:    []string{`SELECT pg_drop_replication_slot('standby1')`},
		},
		{
			name: "logical slot", check: logicalSlots,
			violate: []string{`SELECT pg_create_logical_replication_slot('cdc', 'test_decoding')`},
			want:    []string{`cdc`},
			mend:    []string{`SELECT pg_drop_replication_slot('cdc')`},
		},
		{
			name: "logical slot of two phases", check: logicalSlots, source: 14, target: -17,
			violate:  []string{`SELECT pg_create_logical_replication_slot('cdc', 'test_decoding', false, true)`},
			want:     []string{`cdc`},
			mend:     []string{`SELECT pg_drop_replication_slot('cdc')`},
			severity: upgrade.Blocker,
		},
	}
}

func identityViolations() []violation {
	const digits = `(SELECT string_agg(md5(i::text), '') FROM generate_series(1, 22000) AS i)` // 704000 of them
	return []violation{
		{
			name: "rows that are too long as text", check: largeValues(1 << 20),
			violate: []string{
				`CREATE SCHEMA ` + oddSchema,
				`CREATE DOMAIN photo AS bytea`,
				`CREATE TABLE ` + oddSchema + `.` + longName + ` (id int PRIMARY KEY, ` + oddName + ` bytea)`,
				`CREATE TABLE "of a domain" (id int PRIMARY KEY, p photo)`,
				`CREATE TABLE together (id int PRIMARY KEY, a text, b varchar, c jsonb)`,
				`CREATE TABLE fine (id int PRIMARY KEY, a text, dropped bytea)`,
				`INSERT INTO ` + oddSchema + `.` + longName + ` SELECT 1, convert_to(` + digits + `, 'UTF8')`,
				`INSERT INTO "of a domain" SELECT 1, convert_to(` + digits + `, 'UTF8')`,
				`INSERT INTO together SELECT 1, left(` + digits + `, 400000), left(` + digits + `, 400000), to_jsonb(` + digits + `)`,
				`INSERT INTO fine SELECT 1, ` + digits + `, convert_to(` + digits + `, 'UTF8')`,
				`ALTER TABLE fine DROP dropped`,
				`VACUUM ` + oddSchema + `.` + longName, `VACUUM together`, `VACUUM fine`, // the other has never been
			},
			want: []string{`{db}.` + oddSchema + `.` + longName, `{db}.public."of a domain"`, `{db}.public.together`},
			mend: []string{
				`DELETE FROM ` + oddSchema + `.` + longName, `DELETE FROM "of a domain"`,
				`UPDATE together SET c = NULL`,
			},
		},
		{
			name: "foreign partitions", check: foreignPartitions,
			violate: []string{
				`CREATE FOREIGN DATA WRAPPER nowhere`, `CREATE SERVER "else" FOREIGN DATA WRAPPER nowhere`,
				`CREATE TABLE ` + oddName + ` (id int) PARTITION BY RANGE (id)`,
				`CREATE TABLE middle PARTITION OF ` + oddName + ` FOR VALUES FROM (0) TO (9) PARTITION BY RANGE (id)`,
				`CREATE FOREIGN TABLE ` + longName + ` PARTITION OF middle FOR VALUES FROM (0) TO (5) SERVER "else"`,
				`CREATE FOREIGN TABLE fine (id int) SERVER "else"`,
			},
			want: []string{`{db}.public.` + longName + ` (of public.` + oddName + `, on server "else")`},
			mend: []string{
				`ALTER TABLE middle DETACH PARTITION ` + longName,
				`CREATE TABLE here PARTITION OF middle FOR VALUES FROM (0) TO (5)`,
			},
		},
		{
			name: "no key at all", check: replicaIdentity,
			violate: []string{`CREATE TABLE t (id int)`},
			want:    []string{`{db}.public.t (no primary key)`},
		},
		{
			name: "names that are not UTF-8 in the database", check: replicaIdentity,
			violate: []string{
				`CREATE DATABASE latin TEMPLATE template0 ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'`,
				`CREATE EXTENSION dblink`,
				`SELECT dblink_exec('dbname=latin port=' || current_setting('port') || ' user=postgres host=127.0.0.1', 'CREATE TABLE "Größe" (id int)')`,
			},
			want:    []string{`latin.public."Größe" (no primary key)`},
			cleanup: []string{`DROP DATABASE latin`},
		},
		{
			name: "names that have to be quoted", check: replicaIdentity,
			violate: []string{`CREATE SCHEMA "S x"`, `CREATE TABLE "S x"."T""y" (id int)`},
			want:    []string{`{db}."S x"."T""y" (no primary key)`},
		},
		{
			name: "unique index instead of a key", check: replicaIdentity,
			violate: []string{`CREATE TABLE t (id int NOT NULL UNIQUE, doc json)`},
			want:    []string{`{db}.public.t (no primary key)`},
		},
		{
			name: "unique index on a column that can be NULL", check: replicaIdentity,
			violate: []string{`CREATE TABLE t (id int UNIQUE, doc json)`},
			want:    []string{`{db}.public.t (no primary key; no equality for doc json)`},
			mend:    []string{`ALTER TABLE t ALTER id SET NOT NULL`, `ALTER TABLE t ADD PRIMARY KEY (id)`},
		},
		{
			name: "deferrable primary key", check: replicaIdentity,
			violate: []string{`CREATE TABLE t (id int PRIMARY KEY DEFERRABLE)`},
			want:    []string{`{db}.public.t (its primary key is deferrable)`},
		},
		{
			name: "identity nothing", check: replicaIdentity,
			violate: []string{`CREATE TABLE t (id int PRIMARY KEY)`, `ALTER TABLE t REPLICA IDENTITY NOTHING`},
			want:    []string{`{db}.public.t (REPLICA IDENTITY NOTHING)`},
		},
		{
			name: "identity index dropped", check: replicaIdentity,
			violate: []string{
				`CREATE TABLE t (id int PRIMARY KEY, code int NOT NULL)`, `CREATE UNIQUE INDEX t_code ON t (code)`,
				`ALTER TABLE t REPLICA IDENTITY USING INDEX t_code`, `DROP INDEX t_code`,
			},
			want: []string{`{db}.public.t (the index that was its identity is gone or invalid)`},
		},
		{
			name: "partitions, not their parent", check: replicaIdentity,
			violate: []string{
				`CREATE TABLE p (id int) PARTITION BY LIST (id)`,
				`CREATE TABLE p1 PARTITION OF p FOR VALUES IN (1)`,
				`CREATE UNLOGGED TABLE cache (id int)`,
				`CREATE TABLE good (id int PRIMARY KEY)`,
			},
			want: []string{`{db}.public.p1 (no primary key)`},
		},
		{
			name: "FULL on request", check: replicaIdentity,
			violate: []string{
				`CREATE TABLE t (id int)`, `CREATE TABLE u (id int NOT NULL UNIQUE)`,
				`ALTER TABLE u REPLICA IDENTITY NOTHING`,
			},
			want: []string{
				`{db}.public.t (no primary key; gets FULL for the time of the upgrade)`,
				`{db}.public.u (REPLICA IDENTITY NOTHING; gets FULL for the time of the upgrade)`,
			},
			options:  upgrade.Options{FullIdentity: true},
			severity: upgrade.Warning,
		},
		{
			name: "key with a generated column", check: replicaIdentity,
			violate: []string{
				`CREATE TABLE t (a int UNIQUE NOT NULL, b int GENERATED ALWAYS AS (a * 2) STORED PRIMARY KEY)`,
				`CREATE TABLE u (a int UNIQUE NOT NULL, b int GENERATED ALWAYS AS (a * 2) STORED UNIQUE NOT NULL)`,
				`ALTER TABLE u REPLICA IDENTITY USING INDEX u_b_key`,
				`CREATE TABLE fine (a int PRIMARY KEY, b int GENERATED ALWAYS AS (a * 2) STORED)`,
			},
			want: []string{`{db}.public.t (its key has a generated column)`, `{db}.public.u (its key has a generated column)`},
		},
		{
			name: "primary key of a generated column, which FULL does not make up for", check: replicaIdentity,
			violate: []string{
				`CREATE TABLE t (a int, b int GENERATED ALWAYS AS (a * 2) STORED PRIMARY KEY)`,
				`CREATE TABLE u (a int, b int GENERATED ALWAYS AS (a * 2) STORED PRIMARY KEY)`, `ALTER TABLE u REPLICA IDENTITY FULL`,
			},
			want: []string{
				`{db}.public.t (its key has a generated column; no FULL, with generated columns: b)`,
				`{db}.public.u (FULL, with generated columns: b)`,
			},
			options: upgrade.Options{FullIdentity: true},
			mend: []string{
				`ALTER TABLE t ADD UNIQUE (a), ALTER a SET NOT NULL`, `ALTER TABLE t REPLICA IDENTITY USING INDEX t_a_key`,
				`ALTER TABLE u ADD UNIQUE (a), ALTER a SET NOT NULL`, `ALTER TABLE u REPLICA IDENTITY USING INDEX u_a_key`,
			},
		},
		{
			name: "generated columns where FULL cannot have them", check: replicaIdentity, target: 18,
			violate: []string{
				`CREATE TABLE t (a int, b int GENERATED ALWAYS AS (a * 2) STORED)`,
				`CREATE TABLE u (a int, "B" int GENERATED ALWAYS AS (a * 2) STORED)`, `ALTER TABLE u REPLICA IDENTITY FULL`,
			},
			want: []string{
				`{db}.public.t (no primary key; no FULL, with generated columns: b)`,
				`{db}.public.u (FULL, with generated columns: "B")`,
			},
			options: upgrade.Options{FullIdentity: true},
			mend:    []string{`ALTER TABLE t ADD PRIMARY KEY (a)`, `ALTER TABLE u ADD PRIMARY KEY (a)`, `ALTER TABLE u REPLICA IDENTITY DEFAULT`},
		},
		{
			name: "FULL on request where it cannot be", check: replicaIdentity,
			violate: []string{`CREATE TABLE t (id int, doc json)`},
			want:    []string{`{db}.public.t (no primary key; no equality for doc json)`},
			options: upgrade.Options{FullIdentity: true},
			mend:    []string{`ALTER TABLE t ADD PRIMARY KEY (id)`},
		},
		{
			name: "types that cannot be compared", check: fullIdentityTypes,
			violate: []string{
				`CREATE DOMAIN doc AS json`, `CREATE TYPE pair AS (name text, docs doc[])`,
				`CREATE TABLE t (id int NOT NULL UNIQUE, a json[], b pair, c point, d jsonb, e pair[])`,
				`ALTER TABLE t REPLICA IDENTITY FULL`,
				`CREATE TABLE fine (id int, a jsonb, b int4range, c varchar(3)[], d cidr, e inet, f uuid, g money, h bit(3), i name, j oid)`,
				`ALTER TABLE fine REPLICA IDENTITY FULL`,
			},
			want: []string{`{db}.public.t (a json[], b public.pair, c point, e public.pair[])`},
		},
		{
			name: "keys that keep a TRUNCATE from being replicated", check: truncateForeignKeys,
			violate: []string{
				`CREATE TABLE orders (id int PRIMARY KEY)`,
				`CREATE TABLE "Items" (id int CONSTRAINT "Key" REFERENCES orders) PARTITION BY LIST (id)`,
				`CREATE TABLE items_1 PARTITION OF "Items" FOR VALUES IN (1)`,
				`CREATE UNLOGGED TABLE cache (id int REFERENCES orders)`,
				`CREATE UNLOGGED TABLE scratch (id int PRIMARY KEY, up int REFERENCES scratch)`,
				`CREATE TABLE notes (id int REFERENCES orders)`,
			},
			want: []string{
				`{db}.public."Items"."Key"`,
				`{db}.public.cache.cache_id_fkey`,
			},
			mend: []string{`ALTER TABLE "Items" DROP CONSTRAINT "Key"`, `DROP TABLE cache`},
		},
		{
			name: "whole rows of a large table", check: fullIdentitySize,
			violate: []string{
				`CREATE TABLE t (id int NOT NULL UNIQUE, filler text)`,
				`ALTER TABLE t ALTER filler SET STORAGE PLAIN, REPLICA IDENTITY FULL`,
				`ALTER TABLE t DROP CONSTRAINT t_id_key`,
				`INSERT INTO t SELECT i, repeat('x', 6000) FROM generate_series(1, 2100) AS i`,
			},
			want: []string{`{db}.public.t (16 MB, 0 rows updated or deleted so far)`},
			mend: []string{`CREATE INDEX ON t (id)`},
		},
		{
			name: "whole rows of a large table on request", check: fullIdentitySize,
			violate: []string{
				`CREATE TABLE t (id int, filler text)`, `ALTER TABLE t ALTER filler SET STORAGE PLAIN`,
				`INSERT INTO t SELECT i, repeat('x', 6000) FROM generate_series(1, 2100) AS i`,
			},
			want:    []string{`{db}.public.t (16 MB, 0 rows updated or deleted so far)`},
			options: upgrade.Options{FullIdentity: true},
			mend:    []string{`CREATE INDEX ON t (id)`},
		},
	}
}

func contentViolations() []violation {
	return []violation{
		{
			name: "unlogged table", check: unloggedTables(0), mode: upgrade.BlueGreen,
			violate: []string{`CREATE UNLOGGED TABLE cache (id int PRIMARY KEY)`, `CREATE TABLE kept (id int PRIMARY KEY)`},
			want:    []string{`{db}.public.cache`},
		},
		{
			name: "unlogged table that is copied", check: unloggedTables(1 << 20), severity: upgrade.Info,
			violate: []string{`CREATE UNLOGGED TABLE cache (id serial PRIMARY KEY)`},
			want:    []string{`{db}.public.cache`},
		},
		{
			name: "large unlogged table that is copied", check: unloggedTables(0), severity: upgrade.Warning,
			violate: []string{`CREATE UNLOGGED TABLE cache (id int PRIMARY KEY)`},
			want:    []string{`{db}.public.cache`},
		},
		{
			name: "unlogged sequences", check: unloggedTables(0), source: 15, mode: upgrade.BlueGreen,
			violate: []string{`CREATE UNLOGGED SEQUENCE free`, `CREATE UNLOGGED TABLE cache (id serial)`},
			want:    []string{`{db}.public.cache`, `{db}.public.cache_id_seq`, `{db}.public.free`},
		},
		{
			name: "large objects", check: largeObjects(1 << 30), severity: upgrade.Info,
			violate: []string{`SELECT lo_from_bytea(42, 'x')`},
			want:    []string{`{db}`},
			mend:    []string{`SELECT lo_unlink(42)`},
		},
		{
			name: "many large objects", check: largeObjects(1), severity: upgrade.Warning,
			violate: []string{`SELECT lo_from_bytea(42, 'x')`},
			want:    []string{`{db}`},
			mend:    []string{`SELECT lo_unlink(42)`},
		},
		{
			name: "trigger that fires for replicated changes", check: triggers,
			violate: []string{
				`CREATE TABLE t (id int PRIMARY KEY)`,
				`CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'`,
				`CREATE TRIGGER usual BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION f()`,
				`CREATE TRIGGER always BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION f()`,
				`CREATE TRIGGER "Replica" BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION f()`,
				`ALTER TABLE t ENABLE ALWAYS TRIGGER always, ENABLE REPLICA TRIGGER "Replica"`,
			},
			want: []string{`{db}.public.t."Replica"`, `{db}.public.t.always`},
		},
		{
			name: "event trigger", check: eventTriggers,
			violate: []string{
				`CREATE FUNCTION f() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END'`,
				`CREATE EVENT TRIGGER usual ON ddl_command_end EXECUTE FUNCTION f()`,
				`CREATE EVENT TRIGGER watch ON ddl_command_end EXECUTE FUNCTION f()`,
				`ALTER EVENT TRIGGER watch ENABLE ALWAYS`,
			},
			want: []string{`{db}.watch (ddl_command_end)`},
		},
		{
			name: "language upon an extension's handler", check: languages,
			violate: []string{`CREATE LANGUAGE mine HANDLER plpgsql_call_handler`},
			want:    []string{`{db}.mine (handler plpgsql_call_handler)`},
			mend:    []string{`DROP LANGUAGE mine`},
		},
		{
			name: "objects in pg_catalog", check: systemCatalogObjects,
			violate: []string{
				`SET allow_system_table_mods = on`,
				`CREATE TABLE pg_catalog.mine (id serial PRIMARY KEY)`,
				`CREATE VIEW information_schema.ours AS SELECT 1 AS one`,
				`CREATE TYPE pg_catalog.mood AS ENUM ('sad')`,
				`CREATE FUNCTION pg_catalog.mine(int) RETURNS int LANGUAGE sql AS 'SELECT 1'`,
			},
			session: true,
			want: []string{
				`{db}.information_schema.ours (relation)`, `{db}.pg_catalog.mine (relation)`,
				`{db}.pg_catalog.mine(integer) (routine)`, `{db}.pg_catalog.mood (type)`,
			},
		},
		{
			name: "operators, collations and text search in pg_catalog", check: systemCatalogObjects,
			violate: []string{
				`CREATE OPERATOR pg_catalog.=== (FUNCTION = int4eq, LEFTARG = int, RIGHTARG = int)`,
				`CREATE OPERATOR pg_catalog.!!! (FUNCTION = int4um, RIGHTARG = int)`,
				`CREATE OPERATOR CLASS pg_catalog."My class" FOR TYPE int USING hash AS OPERATOR 1 =, FUNCTION 1 hashint4(int)`,
				`CREATE COLLATION pg_catalog."My rules" (provider = icu, locale = 'de')`,
				`CREATE COLLATION pg_catalog.imported (provider = libc, locale = 'C')`, `UPDATE pg_collation SET collname = 'ucs_basic', collencoding = 7 WHERE collname = 'imported'`,
				`UPDATE pg_collation SET collname = 'another-x-icu' WHERE collname = 'de-x-icu'`, `CREATE COLLATION pg_catalog."de-x-icu" (provider = icu, locale = 'de')`,
				`CREATE CONVERSION pg_catalog."My own" FOR 'LATIN1' TO 'UTF8' FROM iso8859_1_to_utf8`,
				`CREATE TEXT SEARCH DICTIONARY pg_catalog.words (TEMPLATE = simple)`,
				`CREATE TEXT SEARCH CONFIGURATION pg_catalog.mine (PARSER = "default")`,
				`CREATE TEXT SEARCH TEMPLATE pg_catalog.plain (LEXIZE = dsimple_lexize)`,
				`CREATE TEXT SEARCH PARSER pg_catalog.words (START = prsd_start, GETTOKEN = prsd_nexttoken, END = prsd_end, LEXTYPES = prsd_lextype)`,
				`CREATE EXTENSION hstore SCHEMA pg_catalog`,
			},
			want: []string{
				`{db}.pg_catalog.!!! (NONE, integer) (operator)`,
				`{db}.pg_catalog."My class" (operator class)`, `{db}.pg_catalog."My class" (operator family)`, `{db}.pg_catalog."My own" (conversion)`,
				`{db}.pg_catalog.=== (integer, integer) (operator)`,
				`{db}.pg_catalog.mine (text search configuration)`, `{db}.pg_catalog.plain (text search template)`,
				`{db}.pg_catalog.words (text search dictionary)`, `{db}.pg_catalog.words (text search parser)`, `{db}.pg_catalog."My rules" (collation)`,
			},
		},
		{
			name: "objects in pg_catalog of a database without public", check: systemCatalogObjects,
			violate: []string{
				`DROP SCHEMA public`, `CREATE SCHEMA app`, `CREATE TABLE app.t (a int, b int)`, `CREATE STATISTICS pg_catalog.of_both ON a, b FROM app.t`,
				`CREATE COLLATION pg_catalog."My rules" (provider = icu, locale = 'de')`, `CREATE TYPE pg_catalog.mood AS ENUM ('sad')`,
				`CREATE FUNCTION pg_catalog.mine(int) RETURNS int LANGUAGE sql AS 'SELECT 1'`, `CREATE OPERATOR pg_catalog.!!! (FUNCTION = int4um, RIGHTARG = int)`,
			},
			want: []string{
				`{db}.pg_catalog.!!! (NONE, integer) (operator)`, `{db}.pg_catalog.mine(integer) (routine)`, `{db}.pg_catalog.mood (type)`,
				`{db}.pg_catalog.of_both (statistics)`, `{db}.pg_catalog."My rules" (collation)`,
			},
			mend: []string{
				`ALTER STATISTICS pg_catalog.of_both SET SCHEMA app`, `ALTER COLLATION pg_catalog."My rules" SET SCHEMA app`, `ALTER TYPE pg_catalog.mood SET SCHEMA app`,
				`ALTER FUNCTION pg_catalog.mine SET SCHEMA app`, `ALTER OPERATOR pg_catalog.!!! (NONE, int) SET SCHEMA app`,
			},
		},
		{
			name: "table in pg_catalog", check: systemCatalogObjects,
			violate: []string{`SET allow_system_table_mods = on`, `CREATE TABLE pg_catalog.mine (id serial PRIMARY KEY)`},
			session: true,
			want:    []string{`{db}.pg_catalog.mine (relation)`},
		},
		{
			name: "function in pg_catalog", check: systemCatalogObjects,
			violate: []string{`CREATE FUNCTION pg_catalog.mine(int) RETURNS int LANGUAGE sql AS 'SELECT 1'`},
			want:    []string{`{db}.pg_catalog.mine(integer) (routine)`},
		},
		{
			name: "invalid index", check: invalidIndexes,
			violate: []string{
				`CREATE TABLE t (id int)`, `CREATE INDEX t_id ON t (id)`,
				`UPDATE pg_index SET indisvalid = false WHERE indexrelid = 't_id'::regclass`,
			},
			want: []string{`{db}.public.t_id`},
		},
		{
			name: "what REINDEX CONCURRENTLY left over", check: invalidIndexes,
			violate: []string{
				`CREATE TABLE t (id int, CONSTRAINT t_ccold UNIQUE (id))`,
				`CREATE INDEX t_id_ccnew ON t (id)`, `CREATE INDEX t_id_ccold12 ON t (id)`, `CREATE INDEX t_ccnewer ON t (id)`,
				`UPDATE pg_index SET indisvalid = false WHERE indrelid = 't'::regclass`,
			},
			want: []string{
				`{db}.public.t_ccnewer`, `{db}.public.t_ccold`,
				`{db}.public.t_id_ccnew (left over by REINDEX CONCURRENTLY)`, `{db}.public.t_id_ccold12 (left over by REINDEX CONCURRENTLY)`,
			},
		},
		{
			name: "tablespace in the data directory", check: tablespaces, source: 15,
			violate: []string{`SET allow_in_place_tablespaces = on`, `CREATE TABLESPACE near LOCATION ''`},
			session: true, severity: upgrade.Blocker,
			want: []string{`near (in place)`},
			mend: []string{`DROP TABLESPACE near`},
		},
	}
}

func targetViolations() []violation {
	return []violation{
		{
			name: "extension that the target lacks", check: extensions,
			violate: []string{
				`CREATE EXTENSION hstore`, `CREATE EXTENSION intagg`,
				`UPDATE pg_extension SET extname = 'local_thing' WHERE extname = 'intagg'`,
			},
			want: []string{`{db}.local_thing (version 1.1)`},
			mend: []string{`DROP EXTENSION local_thing`},
		},
		{
			name: "extension version without a way", check: extensions,
			violate:  []string{`CREATE EXTENSION hstore`, `UPDATE pg_extension SET extversion = '0.9' WHERE extname = 'hstore'`},
			want:     []string{`{db}.hstore (no way from version 0.9 to the target's 1.8)`},
			mend:     []string{`DROP EXTENSION hstore`},
			severity: upgrade.Warning,
		},
		{
			name: "preloaded library that the target lacks", check: preloadedLibraries,
			violate: []string{
				`CREATE ROLE guest`,
				`ALTER ROLE guest SET session_preload_libraries = auto_explain, no_such_library`,
			},
			want: []string{`no_such_library (session_preload_libraries)`},
			mend: []string{`ALTER ROLE guest SET session_preload_libraries = auto_explain`}, cleanup: []string{`DROP ROLE guest`},
		},
		{
			name: "storage options that the target lacks", check: storageOptions,
			violate: []string{
				`CREATE TABLE "Odd ""table" (id int, "the \ column" int) WITH (fillfactor = 70, autovacuum_enabled = off, toast.autovacuum_enabled = off)`,
				`ALTER TABLE "Odd ""table" ALTER id SET (n_distinct = 100)`,
				`UPDATE pg_attribute SET attoptions = '{n_distinct=5,pg_attver=22161960}' WHERE attrelid = '"Odd ""table"'::regclass AND attnum = 2`,
				`UPDATE pg_class SET reloptions = reloptions || '{newer=on}' WHERE oid = '"Odd ""table"'::regclass`,
			},
			want: []string{
				`{db}.public."Odd ""table" (unrecognized parameter "newer")`,
				`{db}.public."Odd ""table"."the \ column" (unrecognized parameter "pg_attver")`,
			},
		},
		{
			name: "removed parameter of roles and databases", check: roleSettings,
			violate: []string{
				`CREATE ROLE "Rôle"`,
				`ALTER ROLE "Rôle" SET force_parallel_mode = on`,
				`ALTER ROLE "Rôle" IN DATABASE {db} SET force_parallel_mode = on`,
				`ALTER DATABASE {db} SET force_parallel_mode = on`,
				`ALTER ROLE ALL SET force_parallel_mode = on`,
				`ALTER DATABASE {db} SET search_path = "$user", public, nowhere`,
				`ALTER DATABASE {db} SET my.own = 'x'`,
			},
			want: []string{
				`all roles (force_parallel_mode: unrecognized configuration parameter "force_parallel_mode")`,
				`database {db} (force_parallel_mode: unrecognized configuration parameter "force_parallel_mode")`,
				`role "Rôle" (force_parallel_mode: unrecognized configuration parameter "force_parallel_mode")`,
				`role "Rôle", database {db} (force_parallel_mode: unrecognized configuration parameter "force_parallel_mode")`,
			},
			source: -15, target: 16,
		},
		{
			name: "privileges on a removed parameter", check: parameterPrivileges,
			violate: []string{
				`CREATE ROLE "Dürfen"`, `CREATE ROLE licensed`,
				`GRANT SET, ALTER SYSTEM ON PARAMETER force_parallel_mode TO "Dürfen" WITH GRANT OPTION`,
				`SET ROLE "Dürfen"`, `GRANT SET ON PARAMETER force_parallel_mode TO licensed`, `RESET ROLE`,
				`GRANT SET ON PARAMETER db_user_namespace TO PUBLIC`,
				`GRANT SET ON PARAMETER vacuum_defer_cleanup_age TO PUBLIC`, `REVOKE ALL ON PARAMETER vacuum_defer_cleanup_age FROM CURRENT_USER, PUBLIC`,
				`GRANT SET ON PARAMETER work_mem TO licensed`, `GRANT SET ON PARAMETER my.own TO licensed`,
			},
			session: true, // for the role
			want: []string{
				`db_user_namespace (granted to PUBLIC; unrecognized configuration parameter "db_user_namespace")`,
				`force_parallel_mode (granted to "Dürfen", licensed; unrecognized configuration parameter "force_parallel_mode")`,
				`vacuum_defer_cleanup_age (unrecognized configuration parameter "vacuum_defer_cleanup_age")`,
			},
			cleanup: []string{`REVOKE ALL ON PARAMETER work_mem, my.own FROM licensed`, `DROP ROLE "Dürfen"`, `DROP ROLE licensed`},
			source:  15, upTo: 15, target: 17,
		},
		{
			name: "removed parameter of a function", check: functionSettings,
			violate: []string{
				`CREATE FUNCTION f(int) RETURNS int LANGUAGE sql SET force_parallel_mode = on SET work_mem = '8MB' AS 'SELECT 1'`,
				`CREATE PROCEDURE "P x"() LANGUAGE sql SET force_parallel_mode = on AS 'SELECT 1'`,
			},
			want: []string{
				`{db}.public."P x"() (force_parallel_mode: unrecognized configuration parameter "force_parallel_mode")`,
				`{db}.public.f(integer) (force_parallel_mode: unrecognized configuration parameter "force_parallel_mode")`,
			},
			source: -15, target: 16,
		},
		{
			name: "strings that 19 does not take", check: roleSettings, target: 19,
			violate: []string{
				`CREATE ROLE old_style`,
				`ALTER ROLE old_style SET standard_conforming_strings = off`,
				`ALTER DATABASE {db} SET escape_string_warning = off`,
			},
			want: []string{
				`database {db} (escape_string_warning: unrecognized configuration parameter "escape_string_warning")`,
				`role old_style (standard_conforming_strings: non-standard string literals are not supported)`,
			},
		},
		{
			name: "encoding that 19 lacks", check: encodings, target: 19,
			violate: []string{`CREATE DATABASE mule TEMPLATE template0 ENCODING 'MULE_INTERNAL' LC_COLLATE 'C' LC_CTYPE 'C'`},
			want:    []string{`mule (MULE_INTERNAL)`},
			mend:    []string{`DROP DATABASE mule`},
		},
		{
			name: "collation of an unknown locale", check: locales,
			violate: []string{
				`CREATE COLLATION klingon (provider = libc, locale = 'C')`,
				`CREATE COLLATION pg_catalog.imported (provider = libc, locale = 'C')`, // as pg_import_system_collations() does
				`UPDATE pg_collation SET collcollate = 'tlh_AA.UTF-8', collctype = 'tlh_AA.UTF-8' WHERE collname IN ('klingon', 'imported')`,
			},
			want: []string{`{db}.public.klingon (could not create locale "tlh_AA.UTF-8": No such file or directory)`},
			mend: []string{`DROP COLLATION klingon`},
		},
		{
			name: "table in template1", check: templateContents,
			violate: []string{`CREATE TABLE standard (id int PRIMARY KEY)`},
			want:    []string{`template1.public.standard`},
			mend:    []string{`DROP TABLE standard`},
		},
	}
}

// stage is a source and a target that all cases share.
type stage struct {
	source, target *pgtest.Cluster
}

// stages pairs each major version under test but the last with the last.
func stages(t *testing.T) []stage {
	t.Helper()
	versions := pgtest.Versions(t)
	target := pgtest.Start(t, versions[len(versions)-1])
	var all []stage
	for _, major := range versions[:len(versions)-1] {
		all = append(all, stage{pgtest.Start(t, major), target})
	}
	return all
}

func (s stage) subject(t *testing.T, options upgrade.Options) Subject {
	t.Helper()
	var version int
	conn := s.target.Connect(t, "postgres")
	if err := conn.QueryRow(t.Context(), `SELECT current_setting('server_version_num')::int`).Scan(&version); err != nil {
		t.Fatal(err)
	}
	login := func(c *pgtest.Cluster) postgres.Login {
		return postgres.Login{Address: upgrade.Address{Host: "127.0.0.1", Port: c.Port}, Database: "postgres", User: c.Superuser}
	}
	return Subject{
		Number: 7, ID: "00000000-0000-0000-0000-000000000007",
		Plan: upgrade.Plan{
			Instance: "shop", Mode: upgrade.ZeroDowntime, Options: options.WithDefaults(),
			Target:   upgrade.Cluster{Version: upgrade.VersionNum(version)},
			Endpoint: upgrade.Endpoint{Driver: upgrade.PgBouncer},
		},
		Source: login(s.source), Target: Known(login(s.target), nil),
		Host: Host{
			TargetSpace: Known(Space{Bytes: 1 << 40, Inodes: 1 << 30}, nil), SourceSpace: Known(Space{Bytes: 1 << 40}, nil),
			MemoryAvailable: Known(int64(1)<<40, nil), PgUpgrade: Known(PgUpgrade{Compatible: true}, nil),
			Configuration: Known(s.configuration(t), nil),
		},
	}
}

// configuration reads the source's files. The target's settings stand for what its postgres would take.
func (s stage) configuration(t *testing.T) Configuration {
	t.Helper()
	tree, err := pgconf.LoadTree(filepath.Join(s.source.Pgdata, "postgresql.conf"), s.source.Pgdata)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := s.target.Connect(t, "postgres").Query(t.Context(), `SELECT name FROM pg_settings`)
	if err != nil {
		t.Fatal(err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return Configuration{Tree: tree, Known: pgconf.Known(names)}
}

func TestChecksFindWhatIsThereAndNothingWhenItIsMended(t *testing.T) {
	for _, s := range stages(t) {
		t.Run(fmt.Sprintf("%d to %d", s.source.Major, s.target.Major), func(t *testing.T) {
			for i, v := range violations() {
				v, database := v, fmt.Sprintf("app%d", i)
				if !v.possible(s) {
					continue
				}
				t.Run(v.name, func(t *testing.T) { s.carryOut(t, v, database) })
			}
		})
	}
}

// possible tells whether the versions are among those of the case.
func (v violation) possible(s stage) bool {
	return s.source.Major >= v.source && (v.upTo == 0 || s.source.Major <= v.upTo) && (v.source >= 0 || s.source.Major <= -v.source) &&
		s.target.Major >= v.target && (v.target >= 0 || s.target.Major <= -v.target)
}

func (s stage) carryOut(t *testing.T, v violation, database string) {
	if v.check.ID == templateContents.ID {
		database = "template1"
	} else {
		s.source.CreateDatabase(t, database)
		defer s.source.Exec(t, "postgres", "DROP DATABASE "+database)
	}
	conn := connect(t, s.source, database)
	defer func() { conn.Close(context.WithoutCancel(t.Context())) }()
	words := strings.NewReplacer("{db}", database, "{pid}", fmt.Sprint(conn.PgConn().PID()), "{leftover}", s.tablespaceDir(t), "{pgdata}", s.source.Pgdata, "{dir}", s.source.SocketDir)
	defer s.source.Exec(t, "postgres", v.cleanup...)
	for _, sql := range v.violate {
		execute(t, conn, words.Replace(sql))
	}
	if !v.session {
		conn.Close(t.Context())
		conn = connect(t, s.source, database)
	}
	subject := s.subject(t, v.options)
	if v.mode != "" {
		subject.Plan.Mode = v.mode
	}
	v.want = s.words(t, v)
	found := s.findings(t, v, subject, database, len(v.want))
	want := upgrade.Finding{
		Check: v.check.ID, Title: v.check.Title, Severity: v.check.Severity, Total: len(v.want),
		Remedy: v.check.Remedy, Acceptable: v.check.Acceptable,
	}
	if v.severity != "" {
		want.Severity = v.severity
	}
	for _, object := range v.want {
		want.Objects = append(want.Objects, words.Replace(object))
	}
	got := found
	got.Why, got.Notes, got.RemedySQL = "", nil, nil
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("finding (-want +got):\n%s", diff)
	}
	if len(v.violate) == 0 {
		return
	}
	s.mend(t, v, found, conn, words)
	if after := s.findings(t, v, subject, database, 0); after.Total != 0 {
		t.Errorf("after the remedy %v: still found %v", found.RemedySQL, after.Objects)
	}
}

// tablespaceDir is the directory that a cluster of the target's version makes in a tablespace.
func (s stage) tablespaceDir(t *testing.T) string {
	t.Helper()
	var catalog int64
	if err := s.target.Connect(t, "postgres").QueryRow(t.Context(), `SELECT catalog_version_no FROM pg_control_system()`).Scan(&catalog); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("PG_%d_%d", s.target.Major, catalog)
}

// words puts in what only the server knows.
func (s stage) words(t *testing.T, v violation) []string {
	t.Helper()
	if !regexp.MustCompile(`\{(icu|lines|libdir|sharedir)\}`).MatchString(strings.Join(v.want, "")) {
		return v.want
	}
	var icu, libdir string
	var lines int
	err := s.source.Connect(t, "postgres").QueryRow(t.Context(), `
		SELECT pg_collation_actual_version(oid), array_length(string_to_array(pg_read_file('pg_hba.conf'), E'\n'), 1) - 1,
			(SELECT setting FROM pg_config WHERE name = 'PKGLIBDIR')
		FROM pg_collation WHERE collname = 'und-x-icu'`).Scan(&icu, &lines, &libdir)
	if err != nil {
		t.Fatal(err)
	}
	var sharedir string // of the target
	if err := s.target.Connect(t, "postgres").QueryRow(t.Context(), `SELECT setting FROM pg_config WHERE name = 'SHAREDIR'`).Scan(&sharedir); err != nil {
		t.Fatal(err)
	}
	known := strings.NewReplacer("{icu}", icu, "{lines}", fmt.Sprint(lines), "{libdir}", libdir, "{sharedir}", sharedir)
	var want []string
	for _, object := range v.want {
		want = append(want, known.Replace(object))
	}
	return want
}

// mend does what the finding says, or the case if there is no SQL for it.
func (s stage) mend(t *testing.T, v violation, found upgrade.Finding, conn *pgx.Conn, words *strings.Replacer) {
	t.Helper()
	if v.runs || len(v.mend) == 0 {
		s.apply(t, found)
	}
	for _, sql := range v.mend {
		execute(t, conn, words.Replace(sql))
	}
	if len(v.mend) > 0 && len(found.RemedySQL) > 0 && !v.runs {
		t.Errorf("mended by hand, though there is SQL: %v", found.RemedySQL)
	}
}

// apply runs a finding's SQL as printed, as a client that sends UTF-8 does.
func (s stage) apply(t *testing.T, found upgrade.Finding) {
	t.Helper()
	if len(found.RemedySQL) == 0 {
		t.Fatalf("no remedy SQL: %+v", found)
	}
	for _, remedy := range found.RemedySQL {
		conn, err := pgx.Connect(t.Context(), s.source.DSN(remedy.Database)+"&client_encoding=UTF8")
		if err != nil {
			t.Fatal(err)
		}
		execute(t, conn, remedy.SQL)
		conn.Close(t.Context())
	}
	if strings.Contains(found.RemedySQL[0].SQL, "ALTER SYSTEM") {
		s.source.Exec(t, "postgres", `SELECT pg_reload_conf()`)
	}
}

// findings runs the one check and returns its finding, without what belongs to other databases. A reload takes a moment
// to reach new sessions, so what comes of one is waited for.
func (s stage) findings(t *testing.T, v violation, subject Subject, database string, objects int) upgrade.Finding {
	t.Helper()
	reloads := slices.ContainsFunc(v.violate, func(sql string) bool { return strings.Contains(sql, "ALTER SYSTEM") })
	var finding upgrade.Finding
	for deadline := time.Now().Add(30 * time.Second); ; {
		report, err := run(t.Context(), []Check{v.check}, subject, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		if len(report.NotChecked) > 0 {
			t.Fatalf("not checked: %v", report.NotChecked)
		}
		finding = upgrade.Finding{}
		if len(report.Findings) > 0 {
			finding = report.Findings[0]
		}
		if !reloads || finding.Total == objects || time.Now().After(deadline) {
			break
		}
	}
	if v.check.ID == "xid-age" {
		keepDatabase(&finding, database)
	}
	return finding
}

// keepDatabase reduces a finding about all databases to one, and its age to a word.
func keepDatabase(f *upgrade.Finding, database string) {
	f.Objects = slices.DeleteFunc(f.Objects, func(o string) bool { return !strings.HasPrefix(o, database+" (age ") })
	f.Total = len(f.Objects)
	for i := range f.Objects {
		f.Objects[i] = database + " (age {age})"
	}
}

func connect(t *testing.T, c *pgtest.Cluster, database string) *pgx.Conn {
	t.Helper()
	config, err := pgx.ParseConfig(c.DSN(database))
	if err != nil {
		t.Fatal(err)
	}
	config.RuntimeParams["allow_system_table_mods"] = "on" // some violations need it
	config.RuntimeParams["synchronous_commit"] = "local"   // ... and some must not wait
	conn, err := pgx.ConnectConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

func execute(t *testing.T, conn *pgx.Conn, sql string) {
	t.Helper()
	if _, err := conn.Exec(t.Context(), sql, pgx.QueryExecModeSimpleProtocol); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}
