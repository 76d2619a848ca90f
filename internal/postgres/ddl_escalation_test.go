package postgres_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/pgleap/pgleap/internal/pgtest"
	"github.com/pgleap/pgleap/internal/postgres"
)

// The trap is a sequence that only superusers may use. What happens to it outlasts any rollback. The bait is code of
// an ordinary user that does no more than try.
const (
	setTrap = `CREATE SEQUENCE public.trap`
	bait    = `CREATE FUNCTION app.bait() RETURNS int LANGUAGE plpgsql AS $$
		BEGIN
			RETURN nextval('public.trap');
		EXCEPTION WHEN OTHERS THEN
			RETURN 0;
		END $$`
)

// untouched wants the trap not to have been touched.
func untouched(t *testing.T, conn *pgx.Conn, what string) {
	t.Helper()
	var touched bool
	must(t, "look at the trap", conn.QueryRow(t.Context(), "SELECT is_called FROM public.trap").Scan(&touched))
	if touched {
		t.Errorf("%s: code of an ordinary user has run as a superuser", what)
	}
	send(t, conn, "SELECT setval('public.trap', 1, false)")
}

// TestDDLGuardIsNoWayUp: to find out what a client has sent, nothing of it is analysed as a superuser: that would call
// the client's functions.
func TestDDLGuardIsNoWayUp(t *testing.T) {
	t.Parallel()
	for _, major := range []int{15, 17} {
		for _, allow := range []bool{false, true} {
			t.Run(fmt.Sprint(major, allow), func(t *testing.T) {
				t.Parallel()
				c := pgtest.Start(t, major)
				guard := postgres.DDLGuard{Task: 12, Instance: "orders", Allow: allow}
				prepareDDL(t, c, guard)
				super, conn := c.Connect(t, "postgres"), client(t, c)
				c.Exec(t, "postgres", "SET session_replication_role = replica", setTrap, bait, `
					CREATE DOMAIN app.baited AS int CHECK (app.bait() IS NOT NULL);
					CREATE FUNCTION app.steady(int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT app.bait()';`)
				untouched(t, super, "nothing")
				for _, command := range []string{
					"CREATE TABLE a (); SELECT '{1}'::app.baited[]",
					"CREATE VIEW a AS SELECT 1 AS one; SELECT '{1}'::app.baited[]",
					"CREATE VIEW b AS SELECT '{1}'::app.baited[] AS c",
					"CREATE MATERIALIZED VIEW c AS SELECT '{1}'::app.baited[] AS c",
					"CREATE TABLE d (a app.baited[] DEFAULT '{1}')",
					"CREATE TABLE e (a int DEFAULT app.steady(1))",
					"ALTER TABLE t ADD COLUMN c app.baited[] DEFAULT '{1}'",
					"CREATE INDEX CONCURRENTLY ON t ((app.steady(a)))",
					"DROP VIEW v; SELECT app.steady(1)",
					"SELECT app.steady(1); DROP FUNCTION f",
				} {
					_ = sendOne(t, conn, command) // refused or not
					untouched(t, super, command)
				}
			})
		}
	}
}

// TestDDLReplayLeavesNoCodeBehind: code that a replayed command calls leaves nothing that would run after it, as the
// superuser that the session is: no search_path that leads to its functions, no cursor, no deferred trigger.
func TestDDLReplayLeavesNoCodeBehind(t *testing.T) {
	t.Parallel()
	for _, versions := range [][2]int{{13, 15}, {15, 17}} {
		p := followDDL(t, versions[0], versions[1])
		p.target.Exec(t, "postgres", "SET session_replication_role = replica", setTrap)
		send(t, p.app, "INSERT INTO t (a) VALUES (1)", bait,
			`CREATE FUNCTION clock_timestamp() RETURNS timestamptz LANGUAGE sql AS 'SELECT app.bait(); SELECT pg_catalog.clock_timestamp()'`,
			`CREATE FUNCTION baited() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM app.bait(); RETURN NULL; END'`)
		for _, climb := range []struct {
			code string
			want postgres.DDLOutcome
		}{
			{`PERFORM set_config('search_path', 'app, pg_catalog', false)`, postgres.DDLReplayed},
			{`EXECUTE 'DECLARE held CURSOR WITH HOLD FOR SELECT app.bait()'`, postgres.DDLFailed},
			{`
				CREATE TABLE app.later (id int);
				CREATE CONSTRAINT TRIGGER later AFTER INSERT ON app.later DEFERRABLE INITIALLY DEFERRED
					FOR EACH ROW EXECUTE FUNCTION app.baited();
				EXECUTE 'ALTER TABLE app.later ENABLE ' || 'ALWAYS TRIGGER later';
				INSERT INTO app.later VALUES (1)`, postgres.DDLFailed},
		} {
			send(t, p.app, fmt.Sprintf(`
				CREATE OR REPLACE FUNCTION climb(int) RETURNS boolean LANGUAGE plpgsql AS $$
				BEGIN
					IF current_setting('session_replication_role') = 'replica' THEN
						%s;
					END IF;
					RETURN true;
				END $$`, climb.code),
				"ALTER TABLE t ADD CONSTRAINT climbs CHECK (climb(a))")
			applied(t, p.from, p.to)
			untouched(t, p.to, climb.code)
			got := content(t, p.to, "(SELECT outcome FROM pgleap.ddl WHERE outcome IS NOT NULL ORDER BY ended_at DESC LIMIT 1)")
			if diff := cmp.Diff([]string{fmt.Sprintf("(%s)", climb.want)}, got); diff != "" && got[0] != fmt.Sprintf(`("%s")`, climb.want) {
				t.Errorf("%s (-want +got):\n%s\n%s", climb.code, diff, postgres.DescribeDDL(unreplayed(t, p.to)))
			}
			send(t, p.from, "ALTER TABLE app.t DROP CONSTRAINT climbs")
			send(t, p.to, "ALTER TABLE app.t DROP CONSTRAINT IF EXISTS climbs")
		}
	}
}
