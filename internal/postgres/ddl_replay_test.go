package postgres_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/pgleap/pgleap/internal/pgtest"
	"github.com/pgleap/pgleap/internal/postgres"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// ddlPair is a guarded source and a target that follows it.
type ddlPair struct {
	source, target *pgtest.Cluster
	from, to       *pgx.Conn // ours
	app            *pgx.Conn // a client on the source
}

func followDDL(t *testing.T, oldVersion, newVersion int) *ddlPair {
	t.Helper()
	p := &ddlPair{}
	// So little memory that the larger transactions are streamed before they are committed; workers that
	// failed start over soon.
	p.source, p.target = pgtest.Pair(t, oldVersion, newVersion, pgtest.Config(map[string]string{
		"logical_decoding_work_mem": "64kB", "wal_retrieve_retry_interval": "100ms",
	}))
	prepareDDL(t, p.source, postgres.DDLGuard{Task: 12, Instance: "orders", Allow: true})
	must(t, "make role", postgres.EnsureRole(t.Context(), p.target.Connect(t, "postgres"), verifier(t, "secret")))
	p.target.Exec(t, "postgres", roles)
	carry(t, p.target.Bindir, p.source, p.target)
	p.from, p.to = quiet(t, p.source), quiet(t, p.target)
	number, err := postgres.AdvanceMarker(t.Context(), p.from) // the one row of the marker does not come by pg_dump -s
	must(t, "advance marker", err)
	send(t, p.to, fmt.Sprintf("INSERT INTO pgleap.marker VALUES (1, %d, now())", number))
	p.follow(t, p.from, p.to, p.source, upgrade.Subscription, "pgleap_5")
	p.app = client(t, p.source)
	return p
}

// follow lets one side follow the other from now on.
func (p *ddlPair) follow(t *testing.T, publisher, subscriber *pgx.Conn, at *pgtest.Cluster, name, slot string) {
	t.Helper()
	lsn, err := postgres.EnsureLogicalSlot(t.Context(), publisher, slot)
	must(t, "make slot", err)
	must(t, "subscribe", postgres.Subscribe(t.Context(), subscriber, postgres.NewSubscription{
		Name: name, Publication: upgrade.Publication, Publisher: login(at), Slot: slot, Version: upgrade.Major(at.Major), From: lsn,
	}))
}

// client opens a session of the ordinary user of the application.
func client(t *testing.T, c *pgtest.Cluster) *pgx.Conn {
	t.Helper()
	conn := c.Connect(t, "postgres")
	send(t, conn, "SET SESSION AUTHORIZATION app", "SET search_path = app", "SET client_min_messages = error")
	return conn
}

// applied waits until the follower has all that was done.
func applied(t *testing.T, from, to *pgx.Conn) {
	t.Helper()
	number, err := postgres.AdvanceMarker(t.Context(), from)
	must(t, "advance marker", err)
	awaitMarker(t, to, number)
}

// alike wants the definitions of both sides, and the rows of tables, to be the same.
func (p *ddlPair) alike(t *testing.T, tables ...string) {
	t.Helper()
	want, got := shapesOf(t, p.source, p.target)
	if only, missing := got.Without(want), want.Without(got); len(only)+len(missing) > 0 {
		t.Errorf("only on the target: %q, only on the source: %q", only, missing)
	}
	for _, table := range tables {
		if diff := cmp.Diff(content(t, p.from, table), content(t, p.to, table)); diff != "" {
			t.Errorf("%s (-source +target):\n%s", table, diff)
		}
	}
}

func content(t *testing.T, conn *pgx.Conn, table string) []string {
	t.Helper()
	rows, err := conn.Query(t.Context(), "SELECT r::text FROM "+table+" AS r ORDER BY 1")
	must(t, "read "+table, err)
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	must(t, "read "+table, err)
	return lines
}

func unreplayed(t *testing.T, conn *pgx.Conn) []postgres.DDL {
	t.Helper()
	commands, err := postgres.UnreplayedDDL(t.Context(), conn)
	must(t, "list what was not replayed", err)
	return commands
}

// TestDDLReplay: definitions take their place among the changes of rows, one after the other.
func TestDDLReplay(t *testing.T) {
	t.Parallel()
	pairs := [][2]int{{13, 15}, {15, 17}, {17, 19}}
	if pgtest.IsSlow() {
		pairs = append(pairs, [2]int{13, 19}, [2]int{17, 18}, [2]int{15, 18})
	}
	for _, versions := range pairs {
		t.Run(fmt.Sprint(versions), func(t *testing.T) {
			t.Parallel()
			p := followDDL(t, versions[0], versions[1])
			send(t, p.app,
				"INSERT INTO t (a) VALUES (1)",
				"ALTER TABLE t ADD COLUMN c text DEFAULT 'x'",
				"INSERT INTO t (a, c) VALUES (2, 'two')",
				"ALTER TABLE t RENAME COLUMN c TO d",
				"UPDATE t SET d = 'one' WHERE a = 1",
				"CREATE TABLE late (id int PRIMARY KEY, what text, at timestamptz DEFAULT now());",
				"INSERT INTO late VALUES (1, 'one'), (2, 'two')",
				"BEGIN", "CREATE TABLE same (id int PRIMARY KEY)", "INSERT INTO same VALUES (1)", "ALTER TABLE same ADD more int", "INSERT INTO same VALUES (2, 3)", "COMMIT",
				"BEGIN", "CREATE TABLE long (id int PRIMARY KEY)", "INSERT INTO long SELECT generate_series(1, 5000)", "ALTER TABLE long ADD more text",
				"UPDATE long SET more = id", "COMMIT",
				"BEGIN", "CREATE TABLE never (id int)", "INSERT INTO never VALUES (1)", "ROLLBACK",
				"CREATE TABLE part2 PARTITION OF parted FOR VALUES IN (2)",
				"INSERT INTO parted VALUES (1, 'a'), (2, 'b')",
				"CREATE TABLE part3 (LIKE parted INCLUDING ALL)", "INSERT INTO part3 VALUES (3, 'c')",
				"ALTER TABLE parted ATTACH PARTITION part3 FOR VALUES IN (3)", "UPDATE parted SET what = 'C' WHERE id = 3",
				"CREATE INDEX CONCURRENTLY by_what ON late (what)", "DROP INDEX CONCURRENTLY t_a_idx", "DELETE FROM late WHERE id = 1",
				"ALTER TABLE late RENAME TO later", "INSERT INTO later VALUES (3, 'three')",
				"ALTER TABLE t ALTER b TYPE bigint", "UPDATE t SET b = 9999999999 WHERE a = 2",
				"CREATE FUNCTION g() RETURNS int LANGUAGE plpgsql AS $$ BEGIN /* ; */ RETURN 1; END; $$ ; -- two ; semicolons",
				"COMMENT ON FUNCTION g() IS 'it''s; ours'", "GRANT SELECT ON later TO reader", "ALTER TYPE mood ADD VALUE 'so so' BEFORE 'happy'",
				"CREATE TABLE moods (id serial PRIMARY KEY, mood mood, big bigint GENERATED ALWAYS AS (1 + 1) STORED)", "INSERT INTO moods (mood) VALUES ('so so')",
				"ALTER TABLE moods ADD COLUMN twice int GENERATED ALWAYS AS (id * 2) STORED",
				"DROP TABLE same", "CREATE TABLE IF NOT EXISTS t (id int)",
				"ALTER TABLE later SET (fillfactor = 50)", "CREATE TEMP TABLE mine (id int)", "DROP TABLE mine",
				"ALTER TABLE t ADD COLUMN e int DEFAULT 5", "ALTER TABLE t ALTER e SET DEFAULT random() * 5", "ALTER TABLE t ADD COLUMN h timestamptz", "ALTER TABLE t ALTER h SET DEFAULT now()",
				"CREATE MATERIALIZED VIEW count AS SELECT count(*) FROM t", "TRUNCATE part1")
			super := p.source.Connect(t, "postgres")
			send(t, super, "SET ROLE app", `CREATE TABLE app."by Role" (id int PRIMARY KEY)`, "RESET ROLE",
				"CREATE SCHEMA more CREATE TABLE one (id int PRIMARY KEY)", "INSERT INTO more.one VALUES (1)", "SET search_path = more",
				"CREATE TABLE two (id int PRIMARY KEY)", "INSERT INTO two VALUES (2)", "DROP SCHEMA more CASCADE")
			applied(t, p.from, p.to)
			if got := unreplayed(t, p.to); len(got) > 0 {
				t.Errorf("not replayed: %s", postgres.DescribeDDL(got))
			}
			p.alike(t, "app.t", "app.later", "app.parted", "app.part2", "app.moods", "app.long")
			published := content(t, p.from, "(SELECT schemaname, tablename FROM pg_publication_tables WHERE pubname = 'pgleap_forward')")
			subscribed := content(t, p.to, `(SELECT n.nspname, c.relname FROM pg_subscription_rel r
				JOIN pg_class c ON c.oid = r.srrelid JOIN pg_namespace n ON n.oid = c.relnamespace)`)
			if diff := cmp.Diff(published, subscribed); diff != "" {
				t.Errorf("tables (-published +subscribed):\n%s", diff)
			}
			owner := content(t, p.to, "(SELECT pg_get_userbyid(relowner) FROM pg_class WHERE relname IN ('later', 'by Role'))")
			if diff := cmp.Diff([]string{"(app)", "(app)"}, owner); diff != "" {
				t.Errorf("owners:\n%s", diff)
			}
			replayed, err := postgres.ReplayedDDL(t.Context(), p.to, time.Time{})
			if must(t, "list what was replayed", err); len(replayed) < 25 || replayed[0].Tag != "ALTER TABLE" || replayed[0].Role != "app" || replayed[0].Objects != "table app.t" {
				t.Errorf("replayed: %v", replayed)
			}
			if err := p.source.Connect(t, "postgres").QueryRow(t.Context(), "SELECT FROM pgleap.ddl WHERE outcome IS NOT NULL").Scan(); err == nil {
				t.Error("a command is replayed where it was captured")
			}
		})
	}
}

// TestDDLRefusedWhereReplicationWouldEnd: what the other side could not go on after is refused, and the message
// says how to do it otherwise.
func TestDDLRefusedWhereReplicationWouldEnd(t *testing.T) {
	t.Parallel()
	for _, major := range ddlVersions(t) {
		t.Run(fmt.Sprint(major), func(t *testing.T) {
			t.Parallel()
			c := pgtest.Start(t, major)
			prepareDDL(t, c, postgres.DDLGuard{Task: 12, Instance: "orders", Allow: true})
			c.Exec(t, "postgres", `
				SET session_replication_role = replica;
				CREATE DOMAIN app.dice AS float DEFAULT random();
				CREATE FUNCTION app.makes() RETURNS void LANGUAGE sql AS 'CREATE TABLE app.late (id int)';
				CREATE UNLOGGED TABLE app.scratch (id int); ALTER TABLE app.scratch OWNER TO app;
				INSERT INTO app.t (a) VALUES (1); INSERT INTO app.parted VALUES (1, 'a')`)
			conn := client(t, c)
			for _, command := range []string{
				"CREATE TABLE late AS SELECT 1 AS one",
				"SELECT 1 AS one INTO late",
				"DO $$ BEGIN CREATE TABLE late (id int); END $$",
				"SELECT makes()",
				"CREATE TABLE late (id int); INSERT INTO late VALUES (1)",
				"BEGIN; ALTER TABLE t ADD COLUMN c int; COMMIT",
				"DO $$ BEGIN DROP INDEX t_a_idx; END $$",
				"ALTER TABLE t ADD COLUMN c float DEFAULT random()",
				"ALTER TABLE t ADD COLUMN c timestamptz DEFAULT now()",
				"ALTER TABLE t ADD COLUMN c timestamptz DEFAULT CURRENT_TIMESTAMP",
				"ALTER TABLE t ADD COLUMN c text DEFAULT current_user",
				"ALTER TABLE parted ADD COLUMN c timestamptz DEFAULT now()",
				"ALTER TABLE parted ADD COLUMN c uuid DEFAULT gen_random_uuid()",
				"ALTER TABLE t ADD COLUMN c dice",
				"ALTER TABLE t ADD COLUMN c serial",
				"ALTER TABLE t ADD COLUMN c int GENERATED ALWAYS AS IDENTITY",
				"ALTER TABLE t ALTER b TYPE bigint USING random()::bigint",
				"ALTER TABLE t SET UNLOGGED",
				"ALTER TABLE scratch SET LOGGED",
				"ALTER TABLE parted DETACH PARTITION part1 CONCURRENTLY",
				"CREATE /* so */ INDEX CONCURRENTLY ON t (a)",
			} {
				_ = sendOne(t, conn, "ROLLBACK")
				refusedAs(t, conn, command, "app")
			}
			_ = sendOne(t, conn, "ROLLBACK")
			super := c.Connect(t, "postgres")
			for _, command := range []string{
				"DROP TABLE pgleap.ddl", "ALTER TABLE pgleap.marker ADD COLUMN c int", "DROP PUBLICATION pgleap_forward",
			} {
				refusedAs(t, super, command, "postgres")
			}
			for _, command := range permitted {
				if err := sendOne(t, conn, command); err != nil {
					t.Errorf("%s: %v", command, err)
				}
			}
			var captured int
			must(t, "count", super.QueryRow(t.Context(), "SELECT count(*) FROM pgleap.ddl").Scan(&captured))
			if captured > 0 {
				t.Errorf("%d commands are captured of those that were refused or change nothing", captured)
			}
		})
	}
}

// TestDDLLeftOut: what cannot be replayed and stands in no row's way is done and recorded, and all else goes
// on. A person does the same on the other side, and says so.
func TestDDLLeftOut(t *testing.T) {
	t.Parallel()
	p := followDDL(t, 15, 17)
	super := p.source.Connect(t, "postgres")
	for _, left := range []struct{ command, obstacle string }{
		{"DO $$ BEGIN CREATE FUNCTION app.late() RETURNS int LANGUAGE sql AS 'SELECT 1'; END $$", "a function, a DO block or a trigger ran it"},
		{"CREATE VIEW app.one AS SELECT 1 AS one; GRANT SELECT ON app.one TO reader", "sent together with other commands"},
		{"CREATE EXTENSION pg_trgm", "an extension may differ"},
		{"CREATE FUNCTION app.who() RETURNS text LANGUAGE sql AS 'SELECT session_user::text'", "SESSION_USER"},
	} {
		send(t, super, left.command)
		applied(t, p.from, p.to)
		if got := unreplayed(t, p.to); len(got) == 0 || !strings.Contains(postgres.DescribeDDL(got), left.obstacle) {
			t.Errorf("%s: %s", left.command, postgres.DescribeDDL(got))
		} else {
			send(t, p.to, "SET ROLE postgres", left.command, "RESET ROLE", "UPDATE pgleap.ddl SET outcome = 'settled' WHERE outcome = 'left out'")
		}
	}
	send(t, p.app, "INSERT INTO t (a) VALUES (1)", "CREATE TABLE late (id int PRIMARY KEY)", "INSERT INTO late VALUES (1)")
	applied(t, p.from, p.to)
	if got := unreplayed(t, p.to); len(got) > 0 {
		t.Errorf("not settled: %s", postgres.DescribeDDL(got))
	}
	p.alike(t, "app.t", "app.late")
}

// TestDDLExtensionWithTables: the rows of such an extension's tables would be replicated to a side that lacks it.
func TestDDLExtensionWithTables(t *testing.T) {
	t.Parallel()
	c := pgtest.Start(t, 18) // from 18 on extensions may lie anywhere
	prepareDDL(t, c, postgres.DDLGuard{Task: 12, Instance: "orders", Allow: true})
	conn, dir := c.Connect(t, "postgres"), c.Pgdata+"/own"
	for file, content := range map[string]string{
		"tabled.control": "default_version = '1'", "tabled--1.sql": "CREATE TABLE tabled (id int); INSERT INTO tabled VALUES (1);",
		"plain.control": "default_version = '1'", "plain--1.sql": "CREATE FUNCTION plain() RETURNS int LANGUAGE sql AS 'SELECT 1';",
	} {
		send(t, conn, fmt.Sprintf(`COPY (SELECT $$%s$$) TO PROGRAM 'mkdir -p %s/extension && cat > %s/extension/%s'`, content, dir, dir, file))
	}
	send(t, conn, "SET extension_control_path = '"+dir+"'", "CREATE EXTENSION plain")
	refusedAs(t, conn, "CREATE EXTENSION tabled", "postgres")
	if got := content(t, conn, "(SELECT tag, objects, obstacle FROM pgleap.ddl)"); len(got) != 1 || !strings.Contains(got[0], "extension plain") {
		t.Errorf("captured: %q", got)
	}
}

// TestDDLFails: a replay that fails is recorded where it failed and does not stop the others. What needs rows of
// it waits for a person, who does it by hand and settles it in one transaction.
func TestDDLFails(t *testing.T) {
	t.Parallel()
	p := followDDL(t, 15, 17)
	p.target.Exec(t, "postgres", "SET session_replication_role = replica; CREATE TABLE app.late (id int); CREATE VIEW app.w AS SELECT 1",
		"CREATE VIEW app.by_hand AS SELECT 1") // captured there, under a number that the source gives too
	p.source.Exec(t, "postgres", "SET session_replication_role = replica; CREATE VIEW app.by_hand AS SELECT 1")
	send(t, p.app, "CREATE VIEW w AS SELECT 2", "CREATE TABLE late (id int PRIMARY KEY, a int)", "CREATE TABLE next (id int PRIMARY KEY)", "INSERT INTO next VALUES (1)")
	applied(t, p.from, p.to)
	got := unreplayed(t, p.to)
	if len(got) != 2 || got[0].Outcome != postgres.DDLFailed || !strings.Contains(got[1].String(), `relation "late" already exists`) {
		t.Fatalf("failed: %s", postgres.DescribeDDL(got))
	}
	if here := unreplayed(t, p.from); len(here) > 0 {
		t.Errorf("on the side where it was done: %s", postgres.DescribeDDL(here))
	}
	settle := fmt.Sprintf("SELECT pgleap.settle_ddl(%d)", got[1].Number)
	send(t, p.to, "SET search_path = app",
		"BEGIN", "DROP TABLE late", "CREATE TABLE late (id int PRIMARY KEY, a int)", "ALTER TABLE late OWNER TO app", settle, "COMMIT",
		"BEGIN", "CREATE OR REPLACE VIEW w AS SELECT 2", "ALTER VIEW w OWNER TO app", fmt.Sprintf("SELECT pgleap.settle_ddl(%d)", got[0].Number), "COMMIT")
	send(t, p.app, "INSERT INTO late VALUES (1, 2)")
	applied(t, p.from, p.to)
	if got := unreplayed(t, p.to); len(got) > 0 {
		t.Errorf("not settled: %s", postgres.DescribeDDL(got))
	}
	p.alike(t, "app.late", "app.next")
}

// TestDDLUndone: what could not be done on the other side is no obstacle when it is undone, or done differently. What
// only resembles it changes nothing.
func TestDDLUndone(t *testing.T) {
	t.Parallel()
	p := followDDL(t, 15, 17)
	must(t, "end the way there", postgres.DropSubscription(t.Context(), p.to, upgrade.Subscription))
	p.follow(t, p.to, p.from, p.target, upgrade.BackSubscription, "pgleap_back_5")
	app, super := client(t, p.target), p.target.Connect(t, "postgres")
	send(t, app,
		"CREATE VIEW modern AS SELECT any_value(a) FROM t", "COMMENT ON VIEW modern IS 'x'", "CREATE VIEW again AS SELECT any_value(a) FROM t",
		"CREATE TABLE made (id int PRIMARY KEY, a jsonb CHECK (a IS JSON))", "CREATE FUNCTION named(int) RETURNS int LANGUAGE sql AS 'SELECT 1'")
	send(t, super, "DO $$ BEGIN CREATE FUNCTION app.named() RETURNS int LANGUAGE sql AS 'SELECT 1'; END $$", "SET search_path = app")
	applied(t, p.to, p.from)
	wantUnreplayed := func(what string, want ...string) {
		t.Helper()
		var got []string
		for _, command := range unreplayed(t, p.from) {
			got = append(got, command.Tag+" "+command.Objects)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("not replayed %s (-want +got):\n%s", what, diff)
		}
	}
	table := "CREATE TABLE table app.made, index app.made_pkey"
	wantUnreplayed("at first", "CREATE VIEW view app.modern", "COMMENT view app.modern", "CREATE VIEW view app.again", table, "CREATE FUNCTION function app.named()")

	send(t, app, "DROP FUNCTION named(int)", "DROP VIEW modern", "CREATE OR REPLACE VIEW again AS SELECT max(a) AS any_value FROM t")
	applied(t, p.to, p.from)
	wantUnreplayed("when views are undone", table, "CREATE FUNCTION function app.named()")
	send(t, app, "DROP TABLE made")
	send(t, super, "DROP FUNCTION named()")
	applied(t, p.to, p.from)
	wantUnreplayed("when all is")
	p.alike(t, "app.t")
}

// TestDDLRowsWait: rows of a table whose definition failed wait for a person, and are applied when it is settled.
func TestDDLRowsWait(t *testing.T) {
	t.Parallel()
	p := followDDL(t, 15, 17)
	p.source.Exec(t, "postgres", "SET session_replication_role = replica; CREATE TYPE app.colour AS ENUM ('a')")
	send(t, p.app, "CREATE TABLE late (id int PRIMARY KEY, u colour)", "INSERT INTO late VALUES (1, 'a')", "INSERT INTO t (a) VALUES (1)")
	number, err := postgres.AdvanceMarker(t.Context(), p.from)
	must(t, "advance marker", err)
	p.awaitFailure(t)
	failed := unreplayed(t, p.to)
	if len(failed) != 1 || !strings.Contains(failed[0].Error, `type "colour" does not exist`) {
		t.Fatalf("failed: %s", postgres.DescribeDDL(failed))
	}
	send(t, p.to, "BEGIN", "CREATE TYPE app.colour AS ENUM ('a')", "ALTER TYPE app.colour OWNER TO postgres", "SET LOCAL ROLE app", "CREATE TABLE app.late (id int PRIMARY KEY, u app.colour)",
		"RESET ROLE", fmt.Sprintf("SELECT pgleap.settle_ddl(%d)", failed[0].Number), "COMMIT")
	awaitMarker(t, p.to, number)
	p.alike(t, "app.late", "app.t")
}

// awaitFailure waits until the target's worker has failed.
func (p *ddlPair) awaitFailure(t *testing.T) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for tick, failures := time.NewTicker(5*time.Millisecond), 0; failures == 0; <-tick.C {
		must(t, "count failures", p.to.QueryRow(t.Context(), "SELECT apply_error_count FROM pg_stat_subscription_stats").Scan(&failures))
		if time.Now().After(deadline) {
			t.Fatal("the worker does not fail")
		}
	}
}

// TestDDLReplayBack: the way back is the same: the source follows the target, by what it has from before.
func TestDDLReplayBack(t *testing.T) {
	t.Parallel()
	for _, versions := range [][2]int{{13, 17}, {15, 17}, {17, 19}} {
		p := followDDL(t, versions[0], versions[1])
		send(t, p.app, "CREATE TABLE there (id int PRIMARY KEY)", "INSERT INTO there VALUES (1)")
		applied(t, p.from, p.to)
		must(t, "end the way there", postgres.DropSubscription(t.Context(), p.to, upgrade.Subscription))
		p.follow(t, p.to, p.from, p.target, upgrade.BackSubscription, "pgleap_back_5")
		send(t, client(t, p.target), "CREATE TABLE back (id int PRIMARY KEY)", "INSERT INTO back VALUES (1)", "ALTER TABLE there ADD COLUMN a int", "INSERT INTO there VALUES (2, 2)",
			"CREATE INDEX CONCURRENTLY by_a ON there (a)", "DROP INDEX CONCURRENTLY t_a_idx", "ALTER TABLE parted DETACH PARTITION part1",
			"INSERT INTO part1 VALUES (1, 'a')",
			"INSERT INTO t (id, a) VALUES (77, 1)")
		applied(t, p.to, p.from)
		if got := unreplayed(t, p.from); len(got) > 0 {
			t.Errorf("not replayed: %s", postgres.DescribeDDL(got))
		}
		replayed, err := postgres.ReplayedDDL(t.Context(), p.from, time.Time{})
		if must(t, "list what was replayed", err); len(replayed) != 5 {
			t.Errorf("replayed: %v", replayed)
		}
		p.alike(t, "app.there", "app.back", "app.t", "app.part1")
	}
}

// TestDDLReplayIsNoWayUp: code of an ordinary user that a replayed command calls runs as that user, who cannot
// become what the session is.
func TestDDLReplayIsNoWayUp(t *testing.T) {
	t.Parallel()
	p := followDDL(t, 15, 17)
	send(t, p.app, "INSERT INTO t (a) VALUES (1)", `
		CREATE FUNCTION climb(int) RETURNS boolean LANGUAGE plpgsql AS $$
		BEGIN
			PERFORM set_config('role', 'none', false);
			EXECUTE 'ALTER ROLE app SUPERUSER';
			RETURN true;
		EXCEPTION WHEN OTHERS THEN
			RETURN true;
		END $$`,
		"ALTER TABLE t ADD CONSTRAINT climbs CHECK (climb(a))")
	applied(t, p.from, p.to)
	if got := unreplayed(t, p.to); len(got) > 0 {
		t.Errorf("not replayed: %s", postgres.DescribeDDL(got))
	}
	var super bool
	if must(t, "look", p.to.QueryRow(t.Context(), "SELECT rolsuper FROM pg_roles WHERE rolname = 'app'").Scan(&super)); super {
		t.Error("the user has become a superuser on the target")
	}
}

// TestDDLReplayWaits: what passes by itself, such as a lock that is not to be had in time, is no failure: the
// worker starts over, and the command takes its place.
func TestDDLReplayWaits(t *testing.T) {
	t.Parallel()
	p := followDDL(t, 15, 17)
	send(t, p.to, "ALTER ROLE pgleap SET lock_timeout = '50ms'") // holds for workers that start from now on
	must(t, "disable", postgres.DisableSubscriptions(t.Context(), p.to, upgrade.Subscription))
	reader := p.target.Connect(t, "postgres")
	send(t, reader, "BEGIN", "SELECT FROM app.t")
	send(t, p.to, "ALTER SUBSCRIPTION pgleap_forward ENABLE")
	send(t, p.app, "INSERT INTO t (a) VALUES (1)", "ALTER TABLE t ADD COLUMN c int", "INSERT INTO t (a, c) VALUES (2, 2)")
	number, err := postgres.AdvanceMarker(t.Context(), p.from)
	must(t, "advance marker", err)
	p.awaitFailure(t)
	send(t, reader, "COMMIT")
	awaitMarker(t, p.to, number)
	if got := unreplayed(t, p.to); len(got) > 0 {
		t.Errorf("not replayed: %s", postgres.DescribeDDL(got))
	}
	p.alike(t, "app.t")
}

// TestDDLReplayAfterCrash: a target that dies between two commands has replayed each once.
func TestDDLReplayAfterCrash(t *testing.T) {
	t.Parallel()
	p := followDDL(t, 15, 17)
	var tables []string
	for i := range 6 {
		table := fmt.Sprintf("app.late%d", i)
		send(t, p.app, fmt.Sprintf("CREATE TABLE %s (id int PRIMARY KEY)", table), fmt.Sprintf("INSERT INTO %s VALUES (1)", table),
			fmt.Sprintf("ALTER TABLE %s ADD COLUMN a int DEFAULT 1", table), fmt.Sprintf("INSERT INTO %s VALUES (2, 2)", table))
		if tables = append(tables, table); i%2 == 0 {
			p.target.Kill(t)
			p.target.Restart(t)
			p.to = quiet(t, p.target)
		}
	}
	applied(t, p.from, p.to)
	if got := unreplayed(t, p.to); len(got) > 0 {
		t.Errorf("not replayed: %s", postgres.DescribeDDL(got))
	}
	p.alike(t, tables...)
}
