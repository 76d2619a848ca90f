package precheck

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/pgleap/pgleap/internal/pgtest"
	"github.com/pgleap/pgleap/internal/upgrade"
)

func TestFingerprint(t *testing.T) {
	versions := pgtest.Versions(t)
	s := stage{source: pgtest.Start(t, versions[0])}
	s.target = s.source
	s.source.CreateDatabase(t, "shop")
	s.source.Exec(t, "shop", shop)
	login := s.subject(t, upgrade.Options{}).Source
	take := func(target string) upgrade.Fingerprint {
		t.Helper()
		taken, err := Fingerprint(t.Context(), login, upgrade.Part{Kind: upgrade.PartTarget, Value: target})
		if err != nil {
			t.Fatal(err)
		}
		return taken
	}
	before := take("17.11")
	if again := take("17.11"); again.Sum != before.Sum {
		t.Errorf("taken twice: %s, then %s", before.Sum, again.Sum)
	}
	if changes := upgrade.Changes(before, take("17.12")); len(changes) != 1 || changes[0] != "target version changed from 17.11 to 17.12" {
		t.Errorf("the target's programs changed: got %q", changes)
	}
	for _, load := range []string{
		`UPDATE accounts SET balance = balance + 1`,
		`INSERT INTO history SELECT 1, 1 FROM generate_series(1, 1000)`,
		`VACUUM FULL accounts`, `ANALYZE`, `TRUNCATE history`, `SELECT nextval('ledger_id_seq')`,
		`REFRESH MATERIALIZED VIEW moods`, `CHECKPOINT`, `SELECT pg_stat_reset()`,
		`CREATE TEMP TABLE mine (id int PRIMARY KEY, name text)`,
		`CREATE ROLE pgleap SUPERUSER`, `ALTER ROLE pgleap SET work_mem = '8MB'`, `CREATE SCHEMA pgleap`, `CREATE TABLE pgleap.marker (id int)`,
	} {
		s.source.Exec(t, "shop", load)
		if changes := upgrade.Changes(before, take("17.11")); len(changes) > 0 {
			t.Errorf("%s changed the fingerprint: %q", load, changes)
		}
	}
	s.source.Exec(t, "shop", `CREATE TABLE kept (day date PRIMARY KEY, n int DEFAULT 1 CHECK (n > 0)) PARTITION BY RANGE (day)`, `CREATE INDEX ON kept (n)`)
	before = take("17.11")
	s.source.Exec(t, "shop", `CREATE TABLE today PARTITION OF kept FOR VALUES FROM ('2026-01-01') TO ('2026-01-02')`)
	if changes := upgrade.Changes(before, take("17.11")); len(changes) > 0 {
		t.Errorf("a partition like its parent changed the fingerprint: %q", changes)
	}
	s.source.Exec(t, "shop", `CREATE UNIQUE INDEX ON today (n)`)
	if changes := upgrade.Changes(before, take("17.11")); len(changes) != 1 {
		t.Errorf("an index that a partition has by itself: got %q", changes)
	}
	t.Run("changes", func(t *testing.T) { testChangesAreTold(t, s, take) })
}

// Each kind of part, changed by somebody, and what is told of it.
func testChangesAreTold(t *testing.T, s stage, take func(string) upgrade.Fingerprint) {
	reload := `SELECT pg_reload_conf()`
	before := take("17.11")
	for _, test := range []struct{ change, want string }{
		{`CREATE TABLE t (id int)`, `table public.t was added in database shop`},
		{`ALTER TABLE t ADD name text`, `table public.t was changed in database shop`},
		{`ALTER TABLE t ALTER id SET NOT NULL`, `table public.t was changed in database shop`},
		{`ALTER TABLE t ADD UNIQUE (id)`, `table public.t was changed in database shop`},
		{`ALTER TABLE t REPLICA IDENTITY USING INDEX t_id_key`, `table public.t was changed in database shop`},
		{`ALTER TABLE t RENAME name TO title`, `table public.t was changed in database shop`},
		{`ALTER TABLE t SET UNLOGGED`, `table public.t was changed in database shop`},
		{`CREATE VIEW v AS SELECT id FROM t`, `view public.v was added in database shop`},
		{`CREATE OR REPLACE VIEW v AS SELECT id + 0 AS id FROM t`, `view public.v was changed in database shop`},
		{`ALTER TABLE t ADD CONSTRAINT positive CHECK (id > 0)`, `table public.t was changed in database shop`},
		{`ALTER TABLE t ALTER title SET DEFAULT 'one'`, `table public.t was changed in database shop`},
		{`ALTER TABLE t ALTER title SET DEFAULT 'two'`, `table public.t was changed in database shop`},
		{`ALTER TABLE t SET (fillfactor = 70)`, `table public.t was changed in database shop`},
		{`ALTER TABLE t ALTER id SET (n_distinct = 5)`, `table public.t was changed in database shop`},
		{`CREATE POLICY p ON t USING (id > 0)`, `table public.t was changed in database shop`},
		{`ALTER POLICY p ON t USING (id > 1)`, `table public.t was changed in database shop`},
		{`CREATE RULE r AS ON DELETE TO t DO INSTEAD NOTHING`, `table public.t was changed in database shop`},
		{`CREATE PUBLICATION p`, `publication p was added in database shop`},
		{`ALTER PUBLICATION p SET (publish = 'insert')`, `publication p was changed in database shop`},
		{`CREATE DOMAIN d AS int`, `domain public.d was added in database shop`},
		{`ALTER DOMAIN d ADD CONSTRAINT positive CHECK (VALUE > 0)`, `domain public.d was changed in database shop`},
		{`CREATE CAST (bigint AS xid) WITH INOUT`, `cast from bigint to xid was added in database shop`},
		{`CREATE OPERATOR public.=== (FUNCTION = int4eq, LEFTARG = int, RIGHTARG = int)`, `operator public.===(integer,integer) was added in database shop`},
		{`CREATE LANGUAGE mine HANDLER plpgsql_call_handler`, `language mine was added in database shop`},
		{`CREATE TABLE days (day date PRIMARY KEY, n int DEFAULT 1 CHECK (n > 0)) PARTITION BY RANGE (day)`, `table public.days was added in database shop`},
		{`CREATE TABLE odd PARTITION OF days (n DEFAULT 2) FOR VALUES FROM ('2026-01-01') TO ('2026-01-02')`, `table public.odd was added in database shop`},
		{`COPY (SELECT 'host all guest 192.0.2.0/24 trust') TO PROGRAM 'cat >> pg_hba.conf'`, `access by pg_hba.conf was changed`},
		{`CREATE SEQUENCE "Sequence no. 1"`, `sequence public."Sequence no. 1" was added in database shop`},
		{`CREATE EXTENSION hstore VERSION '1.4'`, `extension hstore 1.4 was added in database shop; casts were added in database shop: `},
		{`ALTER EXTENSION hstore UPDATE TO '1.5'`, `extension hstore changed from 1.4 to 1.5 in database shop`},
		{`CREATE ROLE "The clerk"`, `role "The clerk" was created`},
		{`ALTER ROLE "The clerk" LOGIN`, `role "The clerk" was changed`},
		{`ALTER ROLE "The clerk" SET my.secret = 'hidden'`, `configuration of role "The clerk" was created`},
		{`ALTER ROLE "The clerk" IN DATABASE shop SET work_mem = '8MB'`, `configuration of role "The clerk" in database shop was created`},
		{`ALTER DATABASE shop SET work_mem = '8MB'`, `configuration of database shop was created`},
		{`ALTER ROLE "The clerk" SET my.secret = 'hidden too'`, `configuration of role "The clerk" was changed`},
		{`ALTER ROLE "The clerk" CREATEROLE`, `role "The clerk" was changed`},
		{`GRANT SET ON PARAMETER work_mem TO "The clerk"`, `privilege on parameter work_mem was created`},
		{`GRANT ALTER SYSTEM ON PARAMETER work_mem TO "The clerk"`, `privilege on parameter work_mem was changed`},
		{`CREATE AGGREGATE total(int) (SFUNC = int4pl, STYPE = int)`, `function public.total(integer) was added in database shop`},
		{`CREATE OR REPLACE AGGREGATE total(int) (SFUNC = int4pl, STYPE = int, INITCOND = '7')`, `function public.total(integer) was changed in database shop`},
		{`CREATE OR REPLACE AGGREGATE total(int) (SFUNC = int4mi, STYPE = int, INITCOND = '7')`, `function public.total(integer) was changed in database shop`},
		{`CREATE CONVERSION "My own" FOR 'LATIN1' TO 'UTF8' FROM iso8859_1_to_utf8`, `conversion public."My own" was added in database shop`},
		{`CREATE TEXT SEARCH DICTIONARY words (TEMPLATE = simple)`, `text search dictionary public.words was added in database shop`},
		{`ALTER TEXT SEARCH DICTIONARY words (STOPWORDS = english)`, `text search dictionary public.words was changed in database shop`},
		{`CREATE TEXT SEARCH CONFIGURATION mine (PARSER = "default")`, `text search configuration public.mine was added in database shop`},
		{`ALTER TEXT SEARCH CONFIGURATION mine ADD MAPPING FOR word WITH words`, `text search configuration public.mine was changed in database shop`},
		{`CREATE DATABASE other`, `database other was created`},
		{`CREATE FUNCTION f(int) RETURNS int LANGUAGE sql AS 'SELECT 1'`, `function public.f(integer) was added in database shop`},
		{`CREATE OR REPLACE FUNCTION f(int) RETURNS int LANGUAGE sql AS 'SELECT 2'`, `function public.f(integer) was changed in database shop`},
		{`CREATE OR REPLACE FUNCTION f(int DEFAULT 1) RETURNS int LANGUAGE sql AS 'SELECT 2'`, `function public.f(integer) was changed in database shop`},
		{`CREATE OPERATOR CLASS mine FOR TYPE int USING hash AS OPERATOR 1 =, FUNCTION 1 hashint4(int)`, `operator class public.mine was added in database shop`},
		{`CREATE STATISTICS of_two ON id, title FROM t`, `statistics public.of_two was added in database shop`},
		{`SELECT pg_create_logical_replication_slot('cdc', 'pgoutput')`, `logical slot cdc was created`},
		{`SELECT pg_drop_replication_slot('cdc')`, `logical slot cdc was dropped`},
		{`CREATE FOREIGN DATA WRAPPER afar`, `foreign-data wrapper afar was added in database shop`},
		{`CREATE SERVER there FOREIGN DATA WRAPPER afar OPTIONS (host 'a')`, `foreign server there was added in database shop`},
		{`ALTER SERVER there OPTIONS (SET host 'b')`, `foreign server there was changed in database shop`},
		{`ALTER FUNCTION f SET work_mem = '8MB'`, `function public.f(integer) was changed in database shop`},
		{`CREATE FUNCTION ef() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END'`, `function public.ef() was added in database shop`},
		{`CREATE EVENT TRIGGER et ON ddl_command_end EXECUTE FUNCTION ef()`, `event trigger et was added in database shop`},
		{`ALTER EVENT TRIGGER et DISABLE`, `event trigger et was changed in database shop`},
		{`CREATE COLLATION german (provider = icu, locale = 'de')`, `collation public.german was added in database shop`},
		{`ALTER SYSTEM SET max_slot_wal_keep_size = '1GB'; ` + reload, `setting max_slot_wal_keep_size changed from -1 to 1GB; file setting max_slot_wal_keep_size in `},
		{`ALTER SYSTEM RESET max_slot_wal_keep_size; ` + reload, `setting max_slot_wal_keep_size changed from 1GB to -1; file setting max_slot_wal_keep_size in `},
		{`CREATE SUBSCRIPTION inbound CONNECTION 'dbname=none password=hidden' PUBLICATION p WITH (connect = false)`, `subscription inbound was created`},
		{`ALTER SUBSCRIPTION inbound SET (slot_name = NONE); DROP SUBSCRIPTION inbound`, `subscription inbound was dropped`},
		{`DROP VIEW v; DROP TABLE t`, `statistics public.of_two was dropped in database shop; table public.t was dropped in database shop; view public.v was dropped in database shop`},
		{`DROP EXTENSION hstore`, `extension hstore 1.5 was dropped in database shop; casts were dropped in database shop: `},
	} {
		t.Run(test.change, func(t *testing.T) {
			if strings.Contains(test.change, "ON PARAMETER") && s.source.Major < 15 {
				t.Skip("privileges on parameters came with 15")
			}
			for statement := range strings.SplitSeq(test.change, "; ") {
				s.source.Exec(t, "shop", statement)
			}
			after := take("17.11")
			for deadline := time.Now().Add(time.Minute); after.Sum == before.Sum && time.Now().Before(deadline); { // a reload takes a moment
				after = take("17.11")
			}
			told := strings.Join(upgrade.Changes(before, after), "; ")
			if told != test.want && !(strings.HasSuffix(test.want, " ") && strings.HasPrefix(told, test.want)) {
				t.Errorf("got  %s\nwant %s", told, test.want)
			}
			if parts, err := after.Parts.Unpack(); err != nil || strings.Contains(fmt.Sprint(parts), "hidden") {
				t.Errorf("unpacked: %v, and the parts hold a secret: %t", err, err == nil)
			}
			before = after
		})
	}
}
