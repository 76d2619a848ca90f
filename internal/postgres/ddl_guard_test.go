package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgleap/pgleap/internal/pgtest"
	"github.com/pgleap/pgleap/internal/postgres"
)

// ddlVersions are all, whose event triggers differ; the quick tests take those that every test takes.
func ddlVersions(t *testing.T) []int {
	if pgtest.IsSlow() {
		return []int{13, 15, 17, 18, 19}
	}
	return pgtest.Versions(t)
}

// TestDDLGuardBlocks: what changes a definition is refused, for everybody and in every way it can be sent; what
// changes none, or a temporary one, is not.
func TestDDLGuardBlocks(t *testing.T) {
	t.Parallel()
	for _, major := range ddlVersions(t) {
		t.Run(fmt.Sprint(major), func(t *testing.T) {
			t.Parallel()
			c := pgtest.Start(t, major)
			prepareDDL(t, c, postgres.DDLGuard{Task: 12, Instance: "orders"})
			for _, user := range []string{"postgres", "app"} {
				conn := c.Connect(t, "postgres")
				send(t, conn, "SET SESSION AUTHORIZATION "+user, "SET search_path = app", "SET client_min_messages = error")
				for _, command := range blocked {
					refusedAs(t, conn, command, user)
				}
				for _, command := range permitted {
					if err := sendOne(t, conn, command); err != nil {
						t.Errorf("%s, %s: %v", user, command, err)
					}
				}
			}
		})
	}
}

var blocked = []string{
	"CREATE TABLE late (id int)",
	"CREATE TABLE late AS SELECT 1 AS one",
	"SELECT 1 AS one INTO late",
	"CREATE TABLE part2 PARTITION OF parted FOR VALUES IN (2)",
	"ALTER TABLE parted DETACH PARTITION part1",
	"ALTER TABLE parted DETACH PARTITION part1 CONCURRENTLY",
	"ALTER TABLE t ADD COLUMN c int",
	"ALTER TABLE t DROP COLUMN b",
	"ALTER TABLE t RENAME TO u",
	"ALTER TABLE t ALTER b TYPE bigint",
	"ALTER TABLE t DISABLE TRIGGER ALL",
	"DROP TABLE parted",
	"DROP TABLE t CASCADE",
	"CREATE INDEX ON t (a)",
	"CREATE INDEX CONCURRENTLY ON t (a)",
	"CREATE /* so */ UNIQUE INDEX /* it */ CONCURRENTLY late ON t (a)",
	"DROP INDEX t_a_idx",
	"DROP INDEX CONCURRENTLY t_a_idx",
	"CREATE VIEW late AS SELECT a FROM t",
	"CREATE OR REPLACE VIEW v AS SELECT id, a, 1 AS one FROM t",
	"DROP VIEW v",
	"CREATE MATERIALIZED VIEW late AS SELECT a FROM t",
	"CREATE SEQUENCE late",
	"ALTER SEQUENCE t_id_seq INCREMENT 5",
	"CREATE TYPE late AS ENUM ('a')",
	"ALTER TYPE mood ADD VALUE 'so so'",
	"CREATE DOMAIN late AS int",
	"CREATE FUNCTION late() RETURNS int LANGUAGE sql AS 'SELECT 1'",
	"DROP FUNCTION f",
	"CREATE TRIGGER late BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()",
	"CREATE POLICY late ON t USING (true)",
	"CREATE RULE late AS ON DELETE TO t DO INSTEAD NOTHING",
	"CREATE STATISTICS late ON id, a FROM t",
	"GRANT SELECT ON t TO reader",
	"REVOKE ALL ON t FROM app",
	"ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO reader",
	"COMMENT ON TABLE t IS 'late'",
	"DROP SCHEMA app CASCADE",
	"DROP OWNED BY app",
	"DO $$ BEGIN CREATE TABLE late (id int); END $$",
	"CREATE TEMP TABLE ok (id int); CREATE TABLE late (id int)",
}

var permitted = []string{
	"CREATE TEMP TABLE temp1 (id serial PRIMARY KEY, d int DEFAULT 4 CHECK (d > 1), a text UNIQUE)",
	"CREATE INDEX ON temp1 (d)",
	"ALTER TABLE temp1 ADD COLUMN more int DEFAULT random() * 5",
	"ALTER TABLE temp1 DROP COLUMN a",
	"COMMENT ON TABLE temp1 IS 'mine'",
	"CREATE RULE r AS ON DELETE TO temp1 DO INSTEAD NOTHING",
	"DROP RULE r ON temp1",
	"CREATE TRIGGER tr BEFORE INSERT ON temp1 FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()",
	"CREATE TEMP VIEW tempv AS SELECT d FROM temp1",
	"CREATE FUNCTION pg_temp.f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
	"CREATE TEMP TABLE temp2 AS SELECT 1 AS one",
	"SELECT 1 AS one INTO TEMP temp3",
	"BEGIN; CREATE TEMP TABLE temp4 (id int) ON COMMIT DROP; COMMIT",
	"DROP TABLE temp1, temp2 CASCADE",
	"DO $$ BEGIN CREATE TEMP TABLE temp5 (id int); DROP TABLE temp5; END $$",
	"REFRESH MATERIALIZED VIEW m",
	"REFRESH MATERIALIZED VIEW CONCURRENTLY m",
	"REINDEX TABLE t",
	"REINDEX TABLE CONCURRENTLY t",
	"CLUSTER t USING t_pkey",
	"VACUUM FULL t",
	"VACUUM ANALYZE t",
	"ANALYZE t",
	"TRUNCATE t",
	"INSERT INTO t (a) VALUES (1)",
	"CREATE TABLE IF NOT EXISTS t (id int)",
	"SELECT lo_create(0)",
	"DISCARD ALL",
}

// TestDDLGuardEnds: it is made anew in another way, and what is removed, from a part too, leaves nothing. Ours is
// not bound by it.
func TestDDLGuardEnds(t *testing.T) {
	t.Parallel()
	for _, major := range ddlVersions(t) {
		t.Run(fmt.Sprint(major), func(t *testing.T) {
			t.Parallel()
			c := pgtest.Start(t, major)
			conn := c.Connect(t, "postgres")
			prepareDDL(t, c, postgres.DDLGuard{Task: 1, Instance: "a"})
			must(t, "remove", postgres.DropDDLGuard(t.Context(), conn))
			before := definitions(t, conn)
			for _, allow := range []bool{false, true} {
				guard := postgres.DDLGuard{Task: 7, Instance: "b", Allow: allow}
				twice(t, "make", func() error { return postgres.EnsureDDLGuard(t.Context(), conn, guard) })
				guard.Allow = !allow
				must(t, "make another", postgres.EnsureDDLGuard(t.Context(), conn, guard))
				send(t, quiet(t, c), "CREATE TABLE public.by_us (id int)", "DROP TABLE public.by_us")
				twice(t, "remove", func() error { return postgres.DropDDLGuard(t.Context(), quiet(t, c)) })
				if diff := cmp.Diff(before, definitions(t, conn)); diff != "" {
					t.Errorf("it left something (-before +after):\n%s", diff)
				}
			}
			must(t, "make", postgres.EnsureDDLGuard(t.Context(), conn, postgres.DDLGuard{Task: 7, Instance: "b"}))
			send(t, quiet(t, c), "DROP EVENT TRIGGER pgleap_ddl_end", "DROP TABLE pgleap.ddl",
				"DROP FUNCTION pgleap.settle_ddl", "DROP FUNCTION pgleap.refuse_ddl")
			must(t, "remove a part", postgres.DropDDLGuard(t.Context(), conn))
			if diff := cmp.Diff(before, definitions(t, conn)); diff != "" {
				t.Errorf("it left something of a part (-before +after):\n%s", diff)
			}
			must(t, "drop marker", postgres.DropMarker(t.Context(), conn))
			must(t, "remove where the schema is gone", postgres.DropDDLGuard(t.Context(), conn))
		})
	}
}

// TestDDLGuardIsWholeOrNot: whoever makes it anew, or removes it, and dies on the way, leaves it as it was.
func TestDDLGuardIsWholeOrNot(t *testing.T) {
	t.Parallel()
	c := pgtest.Start(t, pgtest.Versions(t)[0])
	prepareDDL(t, c, postgres.DDLGuard{Task: 12, Instance: "orders"})
	conn := c.Connect(t, "postgres")
	before := definitions(t, conn)
	inTheWay := c.Connect(t, "postgres")
	send(t, inTheWay, "BEGIN", "LOCK TABLE pgleap.ddl IN SHARE MODE")
	for what, do := range map[string]func(context.Context, *pgx.Conn) error{
		"remove": postgres.DropDDLGuard,
		"make anew": func(ctx context.Context, conn *pgx.Conn) error {
			return postgres.EnsureDDLGuard(ctx, conn, postgres.DDLGuard{Task: 13, Instance: "orders", Allow: true})
		},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		ended, dying := make(chan error, 1), quiet(t, c)
		go func() { ended <- do(ctx, dying) }()
		awaitWaiting(t, conn)
		cancel()
		if err := <-ended; err == nil {
			t.Fatalf("%s: it ended well", what)
		}
		refusedAs(t, conn, "CREATE TABLE late (id int)", "postgres")
		if diff := cmp.Diff(before, definitions(t, conn)); diff != "" {
			t.Errorf("%s (-before +after):\n%s", what, diff)
		}
	}
}

// awaitWaiting waits until a session waits for a lock.
func awaitWaiting(t *testing.T, conn *pgx.Conn) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for tick, waiting := time.NewTicker(2*time.Millisecond), 0; waiting == 0; <-tick.C {
		must(t, "look", conn.QueryRow(t.Context(), "SELECT count(*) FROM pg_locks WHERE NOT granted").Scan(&waiting))
		if time.Now().After(deadline) {
			t.Fatal("nobody waits")
		}
	}
}

// TestDDLGuardIsCarried: pg_upgrade brings definitions by pg_dump; on the new version the guard is what it was,
// and no difference between the sides.
func TestDDLGuardIsCarried(t *testing.T) {
	t.Parallel()
	for _, allow := range []bool{false, true} {
		old := pgtest.Start(t, 13)
		prepareDDL(t, old, postgres.DDLGuard{Task: 12, Instance: "orders", Allow: allow})
		for _, major := range ddlVersions(t)[1:] {
			c := pgtest.Start(t, major)
			must(t, "make role", postgres.EnsureRole(t.Context(), c.Connect(t, "postgres"), verifier(t, "secret")))
			c.Exec(t, "postgres", roles)
			carry(t, pgtest.Bindir(t, major), old, c)
			want, got := shapesOf(t, old, c)
			if only, missing := got.Without(want), want.Without(got); len(only)+len(missing) > 0 {
				t.Errorf("only in %d: %q, only in 13: %q", major, only, missing)
			}
			conn := c.Connect(t, "postgres")
			if allow {
				send(t, conn, "CREATE TABLE app.late (id int)")
				refusedAs(t, conn, "CREATE TABLE app.later AS SELECT 1 AS one", "postgres")
			} else {
				refusedAs(t, conn, "CREATE TABLE app.late (id int)", "postgres")
			}
		}
	}
}

// TestDDLGuardIsNoDifference: in owners, comments and privileges of both sides the guard does not appear.
func TestDDLGuardIsNoDifference(t *testing.T) {
	t.Parallel()
	c := pgtest.Start(t, pgtest.Versions(t)[0])
	prepareDDL(t, c, postgres.DDLGuard{Task: 12, Instance: "orders", Allow: true})
	for range 2 {
		for _, facts := range postgres.FactSets() {
			conn := session(t, c)
			send(t, conn, "SET quote_all_identifiers = on") // as sessions that compare have it
			read, err := facts.Read(t.Context(), conn)
			must(t, "read facts", err)
			for _, fact := range read {
				if strings.Contains(fact.Object, "pgleap") {
					t.Errorf("%+v", fact)
				}
			}
		}
		must(t, "make it another way", postgres.EnsureDDLGuard(t.Context(), c.Connect(t, "postgres"), postgres.DDLGuard{Task: 12, Instance: "orders"}))
	}
}

const roles = `CREATE ROLE app LOGIN; CREATE ROLE reader`

// prepareDDL makes what is to be guarded, by an owner who is no superuser, and the guard.
func prepareDDL(t *testing.T, c *pgtest.Cluster, guard postgres.DDLGuard) {
	t.Helper()
	must(t, "make role", postgres.EnsureRole(t.Context(), c.Connect(t, "postgres"), verifier(t, "secret")))
	c.Exec(t, "postgres", roles, `
		CREATE SCHEMA app AUTHORIZATION app; GRANT TEMP ON DATABASE postgres TO app;
		SET ROLE app; SET search_path = app;
		CREATE TABLE t (id serial PRIMARY KEY, a int, b int);
		CREATE INDEX ON t (a);
		CREATE TABLE parted (id int PRIMARY KEY, what text) PARTITION BY LIST (id);
		CREATE TABLE part1 PARTITION OF parted FOR VALUES IN (1);
		CREATE VIEW v AS SELECT id, a FROM t;
		CREATE MATERIALIZED VIEW m AS SELECT id FROM t; CREATE UNIQUE INDEX ON m (id);
		CREATE TYPE mood AS ENUM ('sad', 'happy');
		CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1';`)
	conn := c.Connect(t, "postgres")
	must(t, "make marker", postgres.EnsureMarker(t.Context(), conn))
	must(t, "make guard", postgres.EnsureDDLGuard(t.Context(), conn, guard))
	must(t, "publish", postgres.EnsurePublication(t.Context(), quiet(t, c)))
}

// refusedAs wants a command to be refused by the guard, in its words.
func refusedAs(t *testing.T, conn *pgx.Conn, command, user string) {
	t.Helper()
	err := sendOne(t, conn, command)
	refusal, ok := errors.AsType[*pgconn.PgError](err)
	if !ok && strings.Contains(command, "DETACH PARTITION part1 CONCURRENTLY") || ok && refusal.Code == pgSyntaxError {
		return // 13 does not know it
	}
	if !ok || refusal.Code != "55000" || !strings.Contains(refusal.Message, "is refused while task 12 upgrades instance orders") || refusal.Hint == "" {
		t.Errorf("%s, %s: %v", user, command, err)
	}
}

const pgSyntaxError = "42601"

// sendOne sends a string as psql -c would.
func sendOne(t *testing.T, conn *pgx.Conn, command string) error {
	t.Helper()
	_, err := conn.PgConn().Exec(t.Context(), command).ReadAll()
	return err
}

func send(t *testing.T, conn *pgx.Conn, commands ...string) {
	t.Helper()
	for _, command := range commands {
		must(t, command, sendOne(t, conn, command))
	}
}

// definitions lists what a guard may leave behind.
func definitions(t *testing.T, conn *pgx.Conn) []string {
	t.Helper()
	rows, err := conn.Query(t.Context(), `
		SELECT 'event trigger ' || evtname FROM pg_event_trigger
		UNION ALL SELECT 'function ' || oid::regprocedure FROM pg_proc WHERE oid >= 16384
		UNION ALL SELECT 'relation ' || oid::regclass FROM pg_class WHERE oid >= 16384 AND relnamespace <> 'pg_toast'::regnamespace
		UNION ALL SELECT 'schema ' || nspname FROM pg_namespace WHERE nspname !~ '^pg_(toast_)?temp'`)
	must(t, "list definitions", err)
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	must(t, "list definitions", err)
	slices.Sort(lines)
	return lines
}

// quiet opens a session as ours are: no event trigger fires in it.
func quiet(t *testing.T, c *pgtest.Cluster) *pgx.Conn {
	t.Helper()
	l := login(c)
	l.Settings = map[string]string{"session_replication_role": "replica"}
	conn, err := postgres.Connect(t.Context(), l)
	must(t, "connect", err)
	t.Cleanup(func() { conn.Close(context.WithoutCancel(t.Context())) })
	return conn
}
