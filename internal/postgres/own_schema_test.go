package postgres_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pgleap/pgleap/internal/pgtest"
	"github.com/pgleap/pgleap/internal/postgres"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// TestMarkerInForeignSchema: what somebody has put where pgleap will look, to have it run by a superuser, is refused by
// name, and stays.
func TestMarkerInForeignSchema(t *testing.T) {
	t.Parallel()
	const ourSchema = "CREATE SCHEMA pgleap AUTHORIZATION pgleap; GRANT ALL ON SCHEMA pgleap TO app; SET ROLE app; "
	const closed = "; RESET ROLE; REVOKE ALL ON SCHEMA pgleap FROM app"
	cases := []struct{ what, made, want string }{
		{"schema that says it is ours, with a trap in it", `
			SET ROLE app; CREATE SCHEMA pgleap; COMMENT ON SCHEMA pgleap IS 'pgleap: for the running upgrade, removed when it has finished';
			CREATE TABLE pgleap.marker (id smallint PRIMARY KEY, number bigint NOT NULL, at timestamptz NOT NULL);
			CREATE FUNCTION pgleap.trap() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN EXECUTE ''ALTER ROLE app SUPERUSER''; RETURN NEW; END';
			CREATE TRIGGER trap BEFORE INSERT OR UPDATE ON pgleap.marker FOR EACH ROW EXECUTE FUNCTION pgleap.trap()`, "schema pgleap of role app"},
		{"right to make things", "CREATE SCHEMA pgleap AUTHORIZATION pgleap; GRANT CREATE ON SCHEMA pgleap TO app", "the privilege CREATE on schema pgleap of app"},
		{"right of all", "CREATE SCHEMA pgleap AUTHORIZATION pgleap; GRANT CREATE ON SCHEMA pgleap TO PUBLIC", "the privilege CREATE on schema pgleap of PUBLIC"},
		{"table", ourSchema + "CREATE TABLE pgleap.ddl (id int)" + closed, "table pgleap.ddl"},
		{"view", ourSchema + "CREATE VIEW pgleap.marker AS SELECT 1 AS id" + closed, "view pgleap.marker"},
		{"sequence", ourSchema + "CREATE SEQUENCE pgleap.ddl_number" + closed, "sequence pgleap.ddl_number"},
		{"function", ourSchema + "CREATE FUNCTION pgleap.refuse_ddl(text, text, text) RETURNS void LANGUAGE sql AS ''" + closed, "function pgleap.refuse_ddl(pg_catalog.text,pg_catalog.text,pg_catalog.text)"},
		{"type", ourSchema + "CREATE DOMAIN pgleap.text AS text" + closed, "type pgleap.text"},
		{"operator", ourSchema + "CREATE OPERATOR pgleap.# (LEFTARG = text, RIGHTARG = text, FUNCTION = texteq)" + closed, "operator pgleap.#(pg_catalog.text,pg_catalog.text)"},
		{"table of another superuser", "CREATE SCHEMA pgleap AUTHORIZATION pgleap; CREATE TABLE pgleap.marker (id int)", "table pgleap.marker"},
		{"extension", ourSchema + "CREATE EXTENSION citext SCHEMA pgleap" + closed, "pgleap"},
	}
	for _, major := range []int{15, 17} {
		c := pgtest.Start(t, major)
		must(t, "make role", postgres.EnsureRole(t.Context(), c.Connect(t, "postgres"), verifier(t, "secret")))
		c.Exec(t, "postgres", roles)
		for i, foreign := range cases {
			name := fmt.Sprintf("foreign%d", i)
			c.CreateDatabase(t, name)
			c.Exec(t, name, fmt.Sprintf("ALTER DATABASE %s OWNER TO app", name), foreign.made)
			conn := c.Connect(t, name)
			before := definitions(t, conn)
			for what, ensure := range map[string]error{
				"marker": postgres.EnsureMarker(t.Context(), conn),
				"guard":  postgres.EnsureDDLGuard(t.Context(), conn, postgres.DDLGuard{Task: 12, Instance: "orders", Allow: true}),
			} {
				refused, ok := errors.AsType[*upgrade.Refused](ensure)
				if !ok || !strings.Contains(refused.Reason, fmt.Sprintf("database %s has %s", name, foreign.want)) && foreign.what != "extension" {
					t.Errorf("%d, %s, %s: %v", major, foreign.what, what, ensure)
				}
			}
			if i == 0 {
				must(t, "remove", errors.Join(postgres.DropDDLGuard(t.Context(), conn), postgres.DropMarker(t.Context(), conn)))
			}
			if diff := cmp.Diff(before, definitions(t, conn)); diff != "" {
				t.Errorf("%d, %s (-before +after):\n%s", major, foreign.what, diff)
			}
		}
	}
}

// TestMarkerAfterAnother: what an upgrade before has left is taken over, its rows included, and removed like any.
func TestMarkerAfterAnother(t *testing.T) {
	t.Parallel()
	c := pgtest.Start(t, pgtest.Versions(t)[0])
	prepareDDL(t, c, postgres.DDLGuard{Task: 12, Instance: "orders", Allow: true})
	conn := quiet(t, c)
	number, err := postgres.AdvanceMarker(t.Context(), conn)
	must(t, "advance marker", err)
	must(t, "make marker", postgres.EnsureMarker(t.Context(), conn))
	must(t, "make guard", postgres.EnsureDDLGuard(t.Context(), conn, postgres.DDLGuard{Task: 13, Instance: "orders"}))
	if next, err := postgres.AdvanceMarker(t.Context(), conn); err != nil || next != number+1 {
		t.Errorf("after %d comes %d, %v", number, next, err)
	}
	must(t, "remove", errors.Join(postgres.DropDDLGuard(t.Context(), conn), postgres.DropPublication(t.Context(), conn), postgres.DropMarker(t.Context(), conn)))
	must(t, "remove role", postgres.DropRole(t.Context(), c.Connect(t, "postgres")))
}
