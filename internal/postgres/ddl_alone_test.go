package postgres_test

import (
	"errors"
	"regexp"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgleap/pgleap/internal/pgtest"
	"github.com/pgleap/pgleap/internal/postgres"
)

// The guard reads what a client has sent without the server's parser; here the parser says what is right.
var (
	aloneBefore = []string{"", ";; ", "\n-- it's; here\n", "/* a /* nested; */ $$ ' */", "/**/"}
	aloneFirst  = []struct{ tag, text string }{
		{"CREATE TABLE", `CREATE TABLE a (b text DEFAULT 'it''s; ours', "c;""d" int)`},
		{"create table", `create table a$b$c (d int); create table e (f$c int)`},
		{"CREATE TABLE", `CREATE TABLE größe (é$$ int DEFAULT 1/2 /* ; */ - 3) -- ;`},
		{"CREATE TABLE", `CREATE TABLE a (b int DEFAULT 1-- ; '
			, c text DEFAULT e'\'; $$' -- it's
			'more\';\\')`},
		{"ALTER TABLE", `ALTER TABLE a ALTER b SET DEFAULT U&'\0041;' || n'\' || 'a'`},
		{"CREATE FUNCTION", `CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS $$ BEGIN /* ; RETURN 1; END; $$`},
		{"CREATE FUNCTION", `CREATE OR REPLACE FUNCTION f() RETURNS int LANGUAGE sql AS $a$ SELECT $b$;$$;$b$a$ COST 10`},
		{"CREATE FUNCTION", `CREATE FUNCTION f("begin" int, c int) RETURNS int BEGIN ATOMIC SELECT CASE WHEN true THEN 1; SELECT (SELECT 2 LIMIT 1); END`},
		{"CREATE FUNCTION", `CREATE FUNCTION f(c int) RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT CASE c WHEN 1 THEN 2 END; SELECT 3; END`},
		{"CREATE PROCEDURE", `CREATE PROCEDURE p() begin
			atomic INSERT INTO t VALUES (';'); END`},
		{"CREATE RULE", `CREATE RULE r AS ON DELETE TO t DO INSTEAD (DELETE FROM a; DELETE FROM b WHERE c = ')'; )`},
		{"CREATE VIEW", `CREATE VIEW v AS SELECT begin atomic, 5::int, a[1:2], $a$;$a$ FROM t`},
		{"COMMENT", `COMMENT ON TABLE t IS 'a;b'`},
		{"GRANT", `GRANT SELECT ON t TO "x;"`},
		{"DROP TABLE", "DROP TABLE a\u00a0$$"},
	}
	aloneAfter = []string{
		"", ";", " ; ; \n", "; -- more; '", "; /* ; /* ; */ */", ";--\rSELECT 1", ";SELECT 1", "; $$a$$", ";/* ' */ SELECT ';'", `; CREATE TABLE "a;`, "\n;\nSELECT 1;",
	}
)

// TestDDLIsAlone: the guard's own reading agrees with the server's.
func TestDDLIsAlone(t *testing.T) {
	t.Parallel()
	for _, major := range []int{13, 17} {
		conn, agreed := guarded(t, major), map[bool]int{}
		for _, before := range aloneBefore {
			for _, first := range aloneFirst {
				for _, after := range aloneAfter {
					query := before + first.text + after
					number, ok := parsed(t, conn, query)
					if !ok {
						continue // no query at all
					}
					if got := alone(t, conn, strings.ToUpper(first.tag), query); got != (number == 1) {
						t.Errorf("%d: alone %t, %d commands: %s", major, got, number, query)
					} else {
						agreed[got]++
					}
					if alone(t, conn, "REVOKE", query) {
						t.Errorf("%d: taken for another command: %s", major, query)
					}
				}
			}
		}
		if agreed[true] < 100 || agreed[false] < 100 {
			t.Errorf("%d: the parser knows too few of them: %v", major, agreed)
		}
	}
}

// FuzzDDLIsAlone: whatever is sent, several commands are never taken for one.
func FuzzDDLIsAlone(f *testing.F) {
	for _, first := range aloneFirst {
		f.Add(first.text + "; SELECT 1")
		f.Add(first.text)
	}
	conn := guarded(f, 17)
	f.Fuzz(func(t *testing.T, query string) {
		number, ok := parsed(t, conn, query)
		if !ok || number == 1 {
			return
		}
		tags := []string{"CREATE TABLE", "ALTER TABLE", "DROP TABLE", "GRANT", "COMMENT"}
		if regexp.MustCompile(`(?i)^\s*create\s+(or\s+replace\s+)?function\s`).MatchString(query) {
			tags = []string{"CREATE FUNCTION"}
		}
		for _, tag := range tags {
			if alone(t, conn, tag, query) {
				t.Errorf("%d commands are taken for one %s: %q", number, tag, query)
			}
		}
	})
}

// guarded opens a session in a database with the guard that captures.
func guarded(t testing.TB, major int) *pgx.Conn {
	t.Helper()
	c := pgtest.Start(t, major)
	conn := c.Connect(t, "postgres")
	verifier, err := postgres.ScramVerifier("secret")
	err = errors.Join(err, postgres.EnsureRole(t.Context(), conn, verifier), postgres.EnsureMarker(t.Context(), conn),
		postgres.EnsureDDLGuard(t.Context(), conn, postgres.DDLGuard{Task: 12, Instance: "orders", Allow: true}))
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

func alone(t *testing.T, conn *pgx.Conn, tag, query string) bool {
	t.Helper()
	var is bool
	must(t, query, conn.QueryRow(t.Context(), "SELECT pgleap.ddl_is_alone($1, $2)", tag, query).Scan(&is))
	return is
}

// parsed tells how many commands there are, 2 for several. The server counts what it has parsed before it looks
// further (postgres.c, exec_parse_message).
func parsed(t *testing.T, conn *pgx.Conn, query string) (int, bool) {
	t.Helper()
	_, err := conn.PgConn().Prepare(t.Context(), "", query, nil)
	refusal, ok := errors.AsType[*pgconn.PgError](err)
	switch {
	case err == nil:
		return 1, true
	case !ok:
		t.Fatal(err)
		return 0, false
	case strings.HasPrefix(refusal.Message, "cannot insert multiple commands"):
		return 2, true
	default:
		return 0, false
	}
}
