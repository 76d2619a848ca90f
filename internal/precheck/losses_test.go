package precheck

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/pgleap/pgleap/internal/pgtest"
	"github.com/pgleap/pgleap/internal/postgres"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// lossViolations are of what gets lost or changes without a word.
func lossViolations() []violation {
	return slices.Concat(bodyViolations(), consumerViolations(), sortingViolations(), smallLossViolations())
}

func bodyViolations() []violation {
	return []violation{
		{
			name: "bodies that name what is gone", check: removedInBodies, source: -15, target: 17,
			violate: []string{
				`CREATE FUNCTION ` + oddName + `(a text) RETURNS bigint LANGUAGE plpgsql AS 'BEGIN RETURN PG_STAT_GET_buf_written_backend (); END'`,
				`CREATE FUNCTION ` + longName + `() RETURNS bigint LANGUAGE plpgsql AS 'BEGIN RETURN (SELECT b.buffers_backend FROM pg_stat_bgwriter b); END'`,
				`CREATE FUNCTION fine() RETURNS bigint LANGUAGE plpgsql AS 'BEGIN RETURN my_pg_stat_get_buf_written_backend(); END'`,
				`CREATE FUNCTION interval_combine(int) RETURNS int LANGUAGE sql AS 'SELECT 1'`,
				`CREATE FUNCTION also_fine() RETURNS int LANGUAGE sql AS 'SELECT interval_combine(1)'`,
			},
			want: []string{`{db}.public.` + longName + `()`, `{db}.public.` + oddName + `(a text)`},
			mend: []string{
				`CREATE OR REPLACE FUNCTION ` + oddName + `(a text) RETURNS bigint LANGUAGE plpgsql AS 'BEGIN RETURN 0; END'`,
				`DROP FUNCTION ` + longName,
			},
		},
		{
			name: "bodies that make backups", check: removedInBodies, source: -14, target: 15,
			violate: []string{`CREATE PROCEDURE backup() LANGUAGE plpgsql AS 'BEGIN PERFORM pg_start_backup(''x'', true); END'`},
			want:    []string{`{db}.public.backup()`},
			mend:    []string{`DROP PROCEDURE backup`},
		},
		{
			name: "words that 16 reserves", check: reservedWords, source: -15, target: 16,
			violate: []string{
				`CREATE TABLE ` + oddName + ` (system_user text, "System_User" text)`,
				`CREATE TABLE system_user (id int)`,
				`CREATE FUNCTION ` + longName + `() RETURNS text LANGUAGE plpgsql AS 'DECLARE system_user text; BEGIN RETURN system_user; END'`,
				`CREATE FUNCTION fine() RETURNS text LANGUAGE plpgsql AS 'BEGIN RETURN "system_user" FROM my_system_user; END'`,
			},
			want: []string{
				`{db}.public.` + longName + `()`, `{db}.public.` + oddName + `.system_user`, `{db}.public.system_user`,
			},
			mend: []string{
				`ALTER TABLE ` + oddName + ` RENAME system_user TO the_user`, `ALTER TABLE system_user RENAME TO users`, `DROP FUNCTION ` + longName,
			},
		},
		{
			name: "words that 17 reserves for functions", check: reservedWords, source: -15, target: 17,
			violate: []string{
				`CREATE TABLE fine (json_value text, merge_action text)`,
				`CREATE FUNCTION json_value(jsonb, text) RETURNS text LANGUAGE sql AS 'SELECT $1 ->> $2'`,
			},
			want: []string{`{db}.public.json_value(jsonb, text)`},
			mend: []string{`ALTER FUNCTION json_value RENAME TO my_json_value`},
		},
	}
}

func consumerViolations() []violation {
	// That a slot, a publication or an origin is not needed any more is not for pgleap to say: there is no SQL.
	slot := `SELECT pg_create_logical_replication_slot('cdc', 'test_decoding')`
	drop := []string{`SELECT pg_drop_replication_slot('cdc')`}
	return []violation{
		{
			name: "logical slot that gets lost", check: foreignConsumers, source: -16, mode: upgrade.InPlace,
			violate: []string{slot}, want: []string{`logical slot cdc`}, severity: upgrade.Blocker, mend: drop,
		},
		{
			name: "logical slot that is carried over", check: foreignConsumers, source: 17, mode: upgrade.InPlace,
			violate: []string{slot}, want: []string{`logical slot cdc`}, mend: drop,
		},
		{name: "logical slot that is made again", check: foreignConsumers, violate: []string{slot}, want: []string{`logical slot cdc`}, mend: drop},
		{
			name: "logical slot that stays", check: foreignConsumers, mode: upgrade.Logical,
			violate: []string{slot}, want: []string{`logical slot cdc`}, severity: upgrade.Warning, mend: drop,
		},
		{
			name: "physical slot of a tool", check: foreignConsumers,
			violate: []string{`SELECT pg_create_physical_replication_slot('barman_1')`},
			want:    []string{`physical slot barman_1`},
			mend:    []string{`SELECT pg_drop_replication_slot('barman_1')`},
		},
		{
			name: "subscription that loses its position", check: foreignConsumers, source: -16, mode: upgrade.InPlace,
			violate: []string{`CREATE SUBSCRIPTION ` + oddName + ` CONNECTION 'dbname=none' PUBLICATION p WITH (connect = false)`},
			want:    []string{`subscription {db}.` + oddName}, severity: upgrade.Blocker,
			mend: []string{`ALTER SUBSCRIPTION ` + oddName + ` SET (slot_name = NONE)`, `DROP SUBSCRIPTION ` + oddName},
		},
		{
			name: "publications", check: publications,
			violate: []string{
				`CREATE TABLE t (id int PRIMARY KEY)`, `CREATE PUBLICATION ` + longName + ` FOR TABLE t`, `CREATE PUBLICATION ` + oddName + ` FOR ALL TABLES`,
			},
			want: []string{`{db}.` + longName + ` (1 tables)`, `{db}.` + oddName + ` (all tables)`},
			mend: []string{`DROP PUBLICATION ` + longName, `DROP PUBLICATION ` + oddName},
		},
		{
			name: "foreign servers", check: foreignTables,
			violate: []string{
				`CREATE EXTENSION postgres_fdw`, `CREATE SERVER ` + oddName + ` FOREIGN DATA WRAPPER postgres_fdw`,
				`CREATE TABLE p (id int) PARTITION BY LIST (id)`, `CREATE FOREIGN TABLE p1 PARTITION OF p FOR VALUES IN (1) SERVER ` + oddName,
				`CREATE FOREIGN TABLE other (id int) SERVER ` + oddName,
			},
			want: []string{`{db}.server ` + oddName + ` (postgres_fdw, 2 tables, 1 of them partitions)`},
			mend: []string{`DROP SERVER ` + oddName + ` CASCADE`},
		},
		{
			name: "foreign server that is the source itself", check: foreignTables, severity: upgrade.Warning,
			violate: []string{
				`CREATE EXTENSION postgres_fdw`,
				`DO $$ BEGIN EXECUTE format('CREATE SERVER itself FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host ''127.0.0.1'', port %L)', current_setting('port')); END $$`,
			},
			want: []string{`{db}.server itself (postgres_fdw, 0 tables, 0 of them partitions, leads to the source itself)`},
			mend: []string{`DROP SERVER itself`},
		},
		{
			name: "foreign server on another host, of the same port", check: foreignTables,
			violate: []string{
				`CREATE EXTENSION postgres_fdw`,
				`DO $$ BEGIN EXECUTE format('CREATE SERVER away FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host ''192.0.2.7'', port %L)', current_setting('port')); END $$`,
			},
			want: []string{`{db}.server away (postgres_fdw, 0 tables, 0 of them partitions)`},
			mend: []string{`DROP SERVER away`},
		},
		{
			name: "jobs of pg_cron", check: scheduledJobs,
			violate: []string{
				`CREATE SCHEMA cron`, // as pg_cron makes it
				`CREATE TABLE cron.job (jobid bigserial PRIMARY KEY, schedule text NOT NULL, command text NOT NULL, active boolean NOT NULL DEFAULT true, jobname name)`,
				`INSERT INTO cron.job (schedule, command, active) VALUES ('0 3 * * *', 'CALL partman.run_maintenance_proc()', true), ('* * * * *', 'SELECT 1', false)`,
			},
			want: []string{`{db}.job 1`},
		},
		{
			name: "replication origin", check: replicationOrigins,
			violate: []string{`SELECT pg_replication_origin_create('it''s mine')`},
			want:    []string{`'it''s mine'`},
			mend:    []string{`SELECT pg_replication_origin_drop('it''s mine')`},
		},
	}
}

func sortingViolations() []violation {
	return []violation{
		{
			name: "collation made with other rules", check: staleCollations,
			violate: []string{
				`CREATE EXTENSION btree_gist`,
				`CREATE COLLATION ` + oddName + ` (provider = icu, locale = 'und')`,
				`UPDATE pg_collation SET collversion = '1' WHERE collname = 'a ''b'' "c"'`,
				`CREATE TABLE ` + longName + ` (id int, name text COLLATE ` + oddName + `, plain text COLLATE "C")`,
				`CREATE INDEX ` + oddName + ` ON ` + longName + ` (name)`,
				`CREATE INDEX by_expression ON ` + longName + ` (upper(plain COLLATE ` + oddName + `) COLLATE "C")`,
				`CREATE INDEX by_predicate ON ` + longName + ` (id) WHERE name > 'm'`,
				`CREATE INDEX fine ON ` + longName + ` (plain)`,
				`CREATE INDEX fine_too ON ` + longName + ` USING hash (name)`,
				`ALTER TABLE ` + longName + ` ADD CONSTRAINT excluded EXCLUDE USING gist (name WITH =)`,
			},
			want: []string{
				`{db}.public.` + oddName + ` (index of public.` + longName + `)`,
				`{db}.public.by_expression (index of public.` + longName + `)`,
				`{db}.public.by_predicate (index of public.` + longName + `)`,
				`{db}.public.excluded (index of public.` + longName + `)`,
				`{db}.public.` + oddName + ` (recorded 1, actual {icu})`,
			},
		},
		{
			name: "hashes and ranges made with other rules", check: staleCollations,
			violate: []string{
				`CREATE COLLATION c (provider = icu, locale = 'und-u-ks-level2', deterministic = false)`,
				`CREATE TYPE span AS RANGE (subtype = text, collation = c)`,
				`CREATE TABLE t (name text COLLATE c, plain text COLLATE "C", during span)`,
				`CREATE INDEX by_hash ON t USING hash (name)`, `CREATE INDEX by_range ON t USING gist (during)`, `CREATE INDEX fine ON t USING hash (plain)`,
				`CREATE TABLE p (name text COLLATE c) PARTITION BY HASH (name)`, `CREATE TABLE fine_too (name text COLLATE "C") PARTITION BY HASH (name)`,
				`UPDATE pg_collation SET collversion = '1' WHERE collname = 'c'`,
			},
			want: []string{
				`{db}.public.by_hash (index of public.t)`, `{db}.public.by_range (index of public.t)`,
				`{db}.public.p (rows may belong into other partitions)`, `{db}.public.c (recorded 1, actual {icu})`,
			},
		},
		{
			name: "many indexes made with other rules", check: staleCollations,
			violate: []string{
				`CREATE EXTENSION btree_gist`, `CREATE COLLATION c (provider = icu, locale = 'und')`, `CREATE TABLE t (name text COLLATE c)`,
				`DO $$ BEGIN FOR i IN 1..60 LOOP EXECUTE 'CREATE INDEX ON t (name)'; END LOOP; END $$`,
				`ALTER TABLE t ADD CONSTRAINT excluded EXCLUDE USING gist (name WITH =)`, `UPDATE pg_collation SET collversion = '1' WHERE collname = 'c'`,
			},
			want: []string{`{db} (60 indexes)`, `{db}.public.excluded (index of public.t)`, `{db}.public.c (recorded 1, actual {icu})`},
		},
		{
			name: "database made with other rules", check: staleCollations, source: 15,
			violate: []string{
				`CREATE DATABASE ` + oddName + ` TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'und' LOCALE 'C.UTF-8'`,
				`UPDATE pg_database SET datcollversion = '1' WHERE datname = 'a ''b'' "c"'`,
			},
			want:    []string{oddName + ` (recorded 1, actual {icu})`},
			cleanup: []string{`DROP DATABASE ` + oddName},
		},
		{
			name: "partitions by ranges of text", check: staleCollations,
			violate: []string{
				`CREATE COLLATION c (provider = icu, locale = 'und')`,
				`CREATE TABLE p (name text COLLATE c) PARTITION BY RANGE (name)`,
				`UPDATE pg_collation SET collversion = '1' WHERE collname = 'c'`,
			},
			want: []string{`{db}.public.p (rows may belong into other partitions)`, `{db}.public.c (recorded 1, actual {icu})`},
		},
		{
			name: "indexes that the target would sort otherwise", check: collationIndexes, source: -17, target: 17,
			violate: []string{
				`CREATE TABLE ` + longName + ` (name text COLLATE "en-x-icu", plain text)`,
				`CREATE INDEX ` + oddName + ` ON ` + longName + ` (name)`,
				`CREATE INDEX fine ON ` + longName + ` (plain)`,
			},
			want: []string{`{db}.public.` + oddName + ` (index of public.` + longName + `)`},
			runs: true, mend: []string{`DROP INDEX ` + oddName},
		},
		{
			name: "search in a database of ICU", check: textSearchProvider, source: 15, upTo: 17, target: 18,
			violate: []string{
				`CREATE DATABASE icu TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'und' LOCALE 'C.UTF-8'`,
				`CREATE EXTENSION dblink`,
				`SELECT dblink_exec('dbname=icu port=' || current_setting('port') || ' user=postgres host=127.0.0.1', $$
					CREATE EXTENSION pg_trgm;
					CREATE TABLE docs (name text, found tsvector);
					CREATE INDEX ` + longName + ` ON docs USING gin (found);
					CREATE INDEX ` + oddName + ` ON docs USING gist (name gist_trgm_ops);
					CREATE INDEX fine ON docs (name)
				$$)`,
			},
			want: []string{`icu.public.` + longName + ` (index of public.docs)`, `icu.public.` + oddName + ` (index of public.docs)`},
			runs: true, mend: []string{`DROP DATABASE icu`},
		},
	}
}

func smallLossViolations() []violation {
	const md5 = `'md5ffffffffffffffffffffffffffffffff'`
	return []violation{
		{
			name: "extended statistics", check: extendedStatistics, target: -18,
			violate: []string{`CREATE TABLE t (a int, b int)`, `CREATE STATISTICS ` + oddName + ` ON a, b FROM t`},
			want:    []string{`{db}.public.` + oddName + ` (public.t)`},
			mend:    []string{`DROP STATISTICS ` + oddName},
		},
		{
			name: "everybody's schema", check: publicSchema, source: 15,
			violate: []string{`GRANT CREATE ON SCHEMA public TO PUBLIC`}, want: []string{`{db}`},
		},
		{
			name: "managers of roles", check: createRole, source: -15, target: 16,
			violate: []string{
				`CREATE ROLE clerk`, `CREATE ROLE ` + oddName, `CREATE ROLE ` + longName + ` CREATEROLE`, `GRANT clerk TO ` + longName + ` WITH ADMIN OPTION`,
				`CREATE ROLE boss SUPERUSER CREATEROLE`, `CREATE ROLE a1 CREATEROLE`,
			},
			want: []string{longName, `a1`},
			mend: []string{
				`GRANT clerk, ` + oddName + `, ` + longName + ` TO a1 WITH ADMIN OPTION`, `ALTER ROLE ` + longName + ` NOCREATEROLE`,
			},
			cleanup: []string{`DROP ROLE clerk, boss, a1, ` + oddName + `, ` + longName},
		},
		{
			name: "hashes of MD5", check: md5Passwords, target: -18,
			violate: []string{`CREATE ROLE ` + longName + ` LOGIN PASSWORD ` + md5, `CREATE ROLE group_only PASSWORD ` + md5},
			want:    []string{longName},
			mend:    []string{`SET password_encryption = 'scram-sha-256'`, `ALTER ROLE ` + longName + ` PASSWORD 'new'`},
			cleanup: []string{`DROP ROLE ` + longName, `DROP ROLE group_only`},
		},
		{
			name: "hashes of MD5, warned of at each login", check: md5Passwords, target: 19, severity: upgrade.Warning,
			violate: []string{`CREATE ROLE ` + longName + ` LOGIN PASSWORD ` + md5},
			want:    []string{longName},
			mend:    []string{`SET password_encryption = 'scram-sha-256'`, `ALTER ROLE ` + longName + ` PASSWORD 'new'`},
			cleanup: []string{`DROP ROLE ` + longName},
		},
		{
			name: "RADIUS", check: radius, target: 19,
			violate: []string{`COPY (SELECT 'host all guest 192.0.2.0/24 radius radiusservers="192.0.2.1" radiussecrets="secret"') TO PROGRAM 'cat >> pg_hba.conf'`},
			want:    []string{`pg_hba.conf, line {lines} (host all guest 192.0.2.0)`},
			mend:    []string{`COPY (SELECT WHERE false) TO PROGRAM 'sed -i /radius/d pg_hba.conf'`},
		},
	}
}

func TestLosses(t *testing.T) {
	pgtest.Slow(t)
	for _, s := range stages(t) {
		t.Run(fmt.Sprintf("%d to %d", s.source.Major, s.target.Major), func(t *testing.T) {
			for i, v := range lossViolations() {
				if !v.possible(s) {
					continue
				}
				t.Run(v.name, func(t *testing.T) { s.carryOut(t, v, fmt.Sprintf("loss%d", i)) })
			}
		})
	}
}

// What takes a restart of the source, or a crash, is done in a cluster of its own.
func TestServerOfSettingsOfItsOwn(t *testing.T) {
	s := pair(t, pgtest.Config(map[string]string{
		"max_locks_per_transaction": "10", "max_connections": "10", "archive_mode": "on", "archive_command": "false",
		"track_commit_timestamp": "on", "shared_preload_libraries": "pg_stat_statements", "autovacuum": "off",
	}))
	s.source.CreateDatabase(t, "shop")
	conn := s.source.Connect(t, "shop")
	execute(t, conn, `DO $$ BEGIN FOR i IN 1..150 LOOP EXECUTE 'CREATE TABLE t' || i || ' ()'; COMMIT; END LOOP; END $$`)
	s.source.CreateDatabase(t, "depot")
	execute(t, s.source.Connect(t, "depot"), `DO $$ BEGIN FOR i IN 1..110 LOOP EXECUTE 'CREATE TABLE t' || i || ' ()'; COMMIT; END LOOP; END $$`)
	execute(t, conn, `CREATE TEMP TABLE `+oddName+` (id int)`)
	s.source.Kill(t)
	s.source.Restart(t)
	s.source.Exec(t, "shop", `SELECT pg_switch_wal()`)
	live := s.source.Connect(t, "postgres")
	execute(t, live, `CREATE TEMP TABLE alive (id int)`)
	until(t, s.source, `SELECT failed_count > 0 AND now() > pg_postmaster_start_time() + interval '3 seconds' FROM pg_stat_archiver`)

	checks := []Check{lockTable, orphanedTemporary, archiver(0), lostCounters}
	look := func(mode upgrade.Mode) map[string]upgrade.Finding {
		t.Helper()
		subject := s.subject(t, upgrade.Options{})
		subject.Plan.Mode = mode
		report, err := run(t.Context(), checks, subject, time.Now())
		if err != nil || len(report.NotChecked) > 0 {
			t.Fatal(err, report.NotChecked)
		}
		found := map[string]upgrade.Finding{}
		for _, f := range report.Findings {
			found[f.Check+" "+string(f.Severity)] = f
		}
		return found
	}
	found := look(upgrade.InPlace)
	objects := map[string][]string{}
	for key, f := range found {
		objects[key] = f.Objects
	}
	want := map[string][]string{
		"lock-table warning":      {"depot (110 tables and sequences, room for 100 locks)", "shop (150 tables and sequences, room for 100 locks)"},
		"orphaned-temporary info": objects["orphaned-temporary info"],
		"archiver blocker":        {"archiver"},
		"archiver warning":        {"files to be archived"},
		"lost-counters warning":   {"track_commit_timestamp = on"},
		"lost-counters info":      {"pg_stat_statements"},
	}
	if diff := cmp.Diff(want, objects); diff != "" {
		t.Errorf("objects (-want +got):\n%s", diff)
	}
	if sql := found["lock-table warning"].RemedySQL; len(sql) != 1 || !strings.HasSuffix(sql[0].SQL, "= 19") {
		t.Errorf("what is enough for all databases: got %v", sql)
	}
	orphans := objects["orphaned-temporary info"]
	if len(orphans) != 1 || !strings.HasPrefix(orphans[0], "shop.pg_temp_") || !strings.HasSuffix(orphans[0], "."+oddName) {
		t.Errorf("got %v, want shop.pg_temp_N.%s", orphans, oddName)
	}
	if f := look(upgrade.BlueGreen)["archiver warning"]; f.Total != 2 {
		t.Errorf("the archiver in mode blue-green: got %+v", f)
	}

	for _, f := range found {
		for _, remedy := range f.RemedySQL {
			s.source.Exec(t, remedy.Database, remedy.SQL)
		}
	}
	s.source.Exec(t, "postgres", `ALTER SYSTEM SET archive_command = 'true'`, `ALTER SYSTEM SET track_commit_timestamp = off`,
		`ALTER SYSTEM SET shared_preload_libraries = 'auto_explain'`)
	live.Close(t.Context())
	s.source.Restart(t)
	s.source.Exec(t, "shop", `CREATE TABLE more ()`, `SELECT pg_switch_wal()`)
	until(t, s.source, `SELECT last_archived_time > last_failed_time AND NOT EXISTS (SELECT FROM pg_ls_archive_statusdir() WHERE name LIKE '%.ready') FROM pg_stat_archiver`)
	if found := look(upgrade.InPlace); len(found) > 0 {
		t.Errorf("after the remedies: still found %+v", found)
	}
	t.Run("backups", s.testBackups)
}

// testBackups: a base backup that somebody took is known as long as it is young. The clone of an earlier upgrade is none.
func (s stage) testBackups(t *testing.T) {
	look := func(mode upgrade.Mode) string {
		t.Helper()
		subject := s.subject(t, upgrade.Options{})
		subject.Plan.Mode = mode
		report, err := run(t.Context(), []Check{lastBackup}, subject, time.Now())
		if err != nil || len(report.NotChecked) > 0 {
			t.Fatal(err, report.NotChecked)
		}
		if len(report.Findings) == 0 {
			return ""
		}
		f := report.Findings[0]
		return string(f.Severity) + ": " + strings.Join(f.Described(), ", ")
	}
	const none = "info: base backup (none is known)"
	if got := look(upgrade.InPlace); got != none {
		t.Errorf("without a backup: got %q, want %q", got, none)
	}
	backUp := func(label string) {
		t.Helper()
		dir := filepath.Join(s.source.SocketDir, "backup")
		s.asOwner(t, "pg_basebackup", "-h", "127.0.0.1", "-p", strconv.Itoa(s.source.Port), "-U", s.source.Superuser, "-D", dir, "-c", "fast", "-X", "none", "-l", label)
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
	}
	backUp("pgleap upgrade 7")
	if got := look(upgrade.InPlace); got != none {
		t.Errorf("with a clone of ours: got %q, want %q", got, none)
	}
	backUp("nightly")
	if got := look(upgrade.InPlace); got != "" {
		t.Errorf("with a backup: got %q", got)
	}
	histories, err := filepath.Glob(filepath.Join(s.source.Pgdata, "pg_wal", "*.backup"))
	if err != nil || len(histories) != 1 {
		t.Fatal(err, histories)
	}
	ended := time.Now().Add(-72 * time.Hour).UTC()
	if err := os.Chtimes(histories[0], ended, ended); err != nil {
		t.Fatal(err)
	}
	old := ": base backup (the last one that is known ended at " + ended.Format("2006-01-02 15:04 UTC")
	if got := look(upgrade.BlueGreen); got != "info"+old+")" {
		t.Errorf("with an old one: got %q", got)
	}
	if got := look(upgrade.InPlace); got != "warning"+old+")" {
		t.Errorf("with an old one, in place: got %q", got)
	}
	// A place is kept for a standby.
	s.source.Exec(t, "postgres", `SELECT pg_create_physical_replication_slot('standby1')`)
	if got := look(upgrade.InPlace); got != "info"+old+"; later ones may be of a standby)" {
		t.Errorf("with an old one, and a standby: got %q", got)
	}
	s.source.Exec(t, "postgres", `SELECT pg_drop_replication_slot('standby1')`)
}

// A database that cannot be looked into is named, so that nobody takes silence for peace.
func TestClosedDatabaseIsNamed(t *testing.T) {
	s := pair(t)
	s.source.Exec(t, "postgres", `CREATE DATABASE `+oddName+` ALLOW_CONNECTIONS false`, `GRANT CREATE ON SCHEMA public TO PUBLIC`)
	s.source.Exec(t, "template1", `GRANT CREATE ON SCHEMA public TO PUBLIC`)
	report, err := run(t.Context(), []Check{publicSchema}, s.subject(t, upgrade.Options{}), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"database " + oddName + ": not looked into, since it does not allow connections"}
	if diff := cmp.Diff(want, report.NotChecked); diff != "" {
		t.Errorf("not checked (-want +got):\n%s", diff)
	}
	if got := report.Findings[0].Objects; !slices.Equal(got, []string{"postgres", "template1"}) || report.Passed() {
		t.Errorf("found %v, passed: %t", got, report.Passed())
	}
}

// until waits for a condition on a server.
func until(t *testing.T, c *pgtest.Cluster, condition string) {
	t.Helper()
	conn := c.Connect(t, "postgres")
	for deadline := time.Now().Add(time.Minute); ; {
		var met *bool
		if err := conn.QueryRow(t.Context(), condition).Scan(&met); err != nil {
			t.Fatal(err)
		}
		if met != nil && *met {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("not met: %s", condition)
		}
		if _, err := conn.Exec(t.Context(), `SELECT pg_sleep(0.05)`); err != nil {
			t.Fatal(err)
		}
	}
}

// The advisories of minor releases cannot be had with the real ones; the version is made up.
func TestIndexAdvisories(t *testing.T) {
	c := pgtest.Start(t, pgtest.Versions(t)[0])
	c.CreateDatabase(t, "shop")
	c.Exec(t, "shop", `CREATE EXTENSION ltree`, `CREATE EXTENSION btree_gist`,
		`CREATE TABLE t (id int, name text, words tsvector, spell interval, path ltree, during int4range)`,
		`CREATE INDEX `+oddName+` ON t USING brin (id)`, `CREATE INDEX `+longName+` ON t (spell)`, `CREATE INDEX words ON t USING gin (words)`,
		`CREATE INDEX paths ON t (path)`, `ALTER TABLE t ADD CONSTRAINT excluded EXCLUDE USING gist (during WITH &&)`, `CREATE INDEX fine ON t (id, name)`,
		`CREATE INDEX numbers ON t USING gist (id)`, `CREATE DATABASE odd TEMPLATE template0 LC_COLLATE 'C.UTF-8' LC_CTYPE 'C'`)
	c.Exec(t, "odd", `CREATE TABLE t (id int, name text, plain text COLLATE "C")`, `CREATE INDEX names ON t (name)`, `CREATE INDEX fine ON t (id, plain)`)
	execute(t, connect(t, c, "shop"), `UPDATE pg_class SET reltuples = 'Infinity' WHERE oid = 't'::regclass`)
	conn := c.Connect(t, "shop")
	look := func(minor int) []Found {
		t.Helper()
		facts := &Facts{Version: upgrade.VersionNum(c.Major*10000 + minor)}
		found, err := inTransaction(t.Context(), conn, func(tx pgx.Tx) ([]Found, error) {
			return indexesToRebuild.Find(context.Background(), facts, Session{Database: "shop", Ident: "shop", Tx: tx})
		})
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	found := look(0)
	var names []string
	for _, f := range found {
		names = append(names, f.Object)
		if f.SQL != "" {
			c.Exec(t, "shop", f.SQL)
		}
	}
	want := map[int][]string{
		13: {"public." + longName, "public." + oddName, "public.excluded", "public.numbers", "public.words", "public.t", "pg_toast", "indexes built CONCURRENTLY"},
		15: {"public." + longName, "public." + oddName, "public.excluded", "public.numbers", "public.paths", "public.words", "public.t"},
		17: {"public.numbers", "public.paths", "public.t"},
		18: {"public.numbers", "public.paths", "public.t"},
	}
	if diff := cmp.Diff(want[c.Major], names); diff != "" {
		t.Errorf("found (-want +got):\n%s", diff)
	}
	if found := look(99); len(found) > 0 {
		t.Errorf("the latest minor release: found %v", found)
	}
	conn = c.Connect(t, "odd")
	if found := look(0); c.Major == 17 && (len(found) != 1 || found[0].Object != "public.names") {
		t.Errorf("a database whose LC_CTYPE alone is C: found %v", found)
	}
}

// What a switchover carries is counted, but for what may be lost.
func TestWorkloadOfASwitchover(t *testing.T) {
	c := pgtest.Start(t, pgtest.Versions(t)[0])
	c.CreateDatabase(t, "shop")
	c.Exec(t, "shop", `CREATE UNLOGGED TABLE cache (t text)`, `INSERT INTO cache SELECT repeat('x', 1000) FROM generate_series(1, 100)`,
		`CREATE UNLOGGED TABLE "Spare ones" AS TABLE cache`, `SELECT lo_from_bytea(0, repeat('x', 100000)::bytea)`)
	conn := c.Connect(t, "shop")
	for _, test := range []struct {
		accepted      []string
		large, tables bool
	}{
		{nil, true, true},
		{[]string{`unlogged-tables:shop.public."Spare ones"`}, true, true},
		{[]string{"large-objects:shop", `unlogged-tables:shop.public."Spare ones"`, "unlogged-tables:shop.public.cache"}, false, false},
	} {
		f := &Facts{}
		f.Plan.Options.Accepted = test.accepted
		w, err := f.measureDatabase(t.Context(), conn)
		if err != nil || w.LargeObjectBytes > 0 != test.large || w.UnloggedBytes > 0 != test.tables {
			t.Errorf("accepted %q: got %+v, %v", test.accepted, w, err)
		}
	}
}

// Files in tablespaces are files.
func TestFilesInTablespaces(t *testing.T) {
	c := pgtest.Start(t, pgtest.Versions(t)[0])
	conn := c.Connect(t, "postgres")
	count := func() int64 {
		t.Helper()
		settings, err := postgres.ReadSettings(t.Context(), conn)
		if err != nil {
			t.Fatal(err)
		}
		w, err := measureCluster(t.Context(), conn, settings)
		if err != nil {
			t.Fatal(err)
		}
		return w.Files
	}
	place := filepath.Join(c.SocketDir, "space")
	c.Exec(t, "postgres", `COPY (SELECT WHERE false) TO PROGRAM 'mkdir -m 700 `+place+`'`, `CREATE TABLESPACE "My space" LOCATION '`+place+`'`)
	before := count()
	c.Exec(t, "postgres", `DO $$ BEGIN FOR i IN 1..70 LOOP EXECUTE 'CREATE TABLE t' || i || ' (id int) TABLESPACE "My space"'; END LOOP; END $$`)
	if after := count(); after < before+70 {
		t.Errorf("%d files before, %d after 70 tables more", before, after)
	}
}

func TestConsumerTools(t *testing.T) {
	for _, c := range []struct {
		consumer consumer
		want     string
	}{
		{consumer{Name: "debezium", Plugin: "pgoutput"}, "Debezium"},
		{consumer{Name: "inventory", Plugin: "decoderbufs"}, "Debezium"},
		{consumer{Name: "inventory", Plugin: "pgoutput", Application: "Debezium Streaming"}, "Debezium"},
		{consumer{Name: "cdc", Plugin: "wal2json"}, "wal2json consumer"},
		{consumer{Name: "airbyte_slot", Plugin: "pgoutput"}, "Airbyte"},
		{consumer{Name: "w6kz2j_00016402_2a5a7f42_ff1b", Plugin: "test_decoding"}, "AWS DMS"},
		{consumer{Name: "sub", Plugin: "pgoutput", Application: "sub"}, "subscription or other reader of pgoutput"},
		{consumer{Name: "pg_receivewal", Application: "pg_receivewal"}, "pg_receivewal"},
		{consumer{Name: "barman"}, "Barman"},
		{consumer{Name: "standby1"}, ""},
	} {
		if got := c.consumer.tool(); got != c.want {
			t.Errorf("%+v: got %q, want %q", c.consumer, got, c.want)
		}
	}
}
