package postgres_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pgleap/pgleap/internal/pgtest"
	"github.com/pgleap/pgleap/internal/postgres"
)

// TestShape: every change of the schema is seen by the shape and by its mark; work on rows by neither.
func TestShape(t *testing.T) {
	t.Parallel()
	for _, major := range pgtest.Versions(t) {
		c := pgtest.Start(t, major)
		c.Exec(t, "postgres", `
			CREATE TABLE t (id serial PRIMARY KEY, a int, b text);
			CREATE TABLE u (id int PRIMARY KEY);
			CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1';
			CREATE FUNCTION g() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'`)
		conn := c.Connect(t, "postgres")
		for _, change := range []struct{ sql, seen string }{
			{"CREATE TABLE late (id int)", "relation public.late"},
			{"ALTER TABLE t ADD COLUMN c int", "column public.t.c integer"},
			{"ALTER TABLE t ALTER a TYPE bigint", "column public.t.a bigint"},
			{"ALTER TABLE t ALTER a SET NOT NULL", "column public.t.a bigint not null"},
			{"CREATE INDEX ON t (a)", "relation public.t_a_idx"},
			{"ALTER TABLE t ADD FOREIGN KEY (id) REFERENCES u", "constraint t_id_fkey on public.t"},
			{"ALTER TABLE t REPLICA IDENTITY FULL", "relation public.t (rpf)"},
			{"CREATE TRIGGER fires BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION g()", "trigger fires on public.t"},
			{"CREATE OR REPLACE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 2'", "function public.f()"},
			{"ALTER SEQUENCE t_id_seq INCREMENT 5", "by 5"},
			{"CREATE SEQUENCE free", "relation public.free"},
			{"CREATE VIEW v AS SELECT a FROM t", "column public.v.a"},
		} {
			before, mark := shape(t, conn)
			_, err := conn.Exec(t.Context(), change.sql)
			must(t, change.sql, err)
			after, changed := shape(t, conn)
			if !slices.ContainsFunc(after.Without(before), func(line string) bool { return strings.Contains(line, change.seen) }) {
				t.Errorf("%d, %s: seen is %q, want %q", major, change.sql, after.Without(before), change.seen)
			}
			if mark == changed {
				t.Errorf("%d, %s: the mark is the same", major, change.sql)
			}
		}
		before, mark := shape(t, conn)
		for _, sql := range []string{
			"INSERT INTO u VALUES (1), (2)", "SELECT nextval('t_id_seq')", "INSERT INTO t (id, a) VALUES (2, 2)", "VACUUM ANALYZE",
			"CREATE TEMP TABLE scratch (id int PRIMARY KEY)", "DROP TABLE scratch",
		} {
			_, err := conn.Exec(t.Context(), sql)
			must(t, sql, err)
			after, now := shape(t, conn)
			if seen := append(after.Without(before), before.Without(after)...); len(seen) > 0 || mark != now {
				t.Errorf("%d, %s: it changed the shape (%q) or its mark", major, sql, seen)
			}
		}
	}
}

func shape(t *testing.T, conn *pgx.Conn) (postgres.Shape, string) {
	t.Helper()
	s, err := postgres.ReadShape(t.Context(), conn)
	must(t, "read shape", err)
	mark, err := postgres.ReadShapeMark(t.Context(), conn)
	must(t, "read mark", err)
	return s, mark
}

// TestGlobals: changes of roles, their settings and databases are seen by both; whether a role may log
// in is left out of the mark.
func TestGlobals(t *testing.T) {
	t.Parallel()
	for _, major := range pgtest.Versions(t) {
		c := pgtest.Start(t, major)
		c.Exec(t, "postgres", "CREATE ROLE a LOGIN", "CREATE ROLE b")
		conn := c.Connect(t, "postgres")
		for _, change := range []struct {
			sql    string
			marked bool
		}{
			{"CREATE ROLE late", true},
			{"ALTER ROLE a PASSWORD 'x'", true},
			{"ALTER ROLE a CONNECTION LIMIT 5", true},
			{"GRANT b TO a", true},
			{"ALTER ROLE a SET work_mem = '8MB'", true},
			{"ALTER DATABASE postgres SET work_mem = '8MB'", true},
			{"CREATE DATABASE late", true},
			{"DROP ROLE late", true},
			{"ALTER ROLE a NOLOGIN", false},
		} {
			before, mark := globals(t, conn)
			_, err := conn.Exec(t.Context(), change.sql)
			must(t, change.sql, err)
			after, now := globals(t, conn)
			if len(after.Without(before))+len(before.Without(after)) == 0 {
				t.Errorf("%d, %s: not seen", major, change.sql)
			}
			if (mark != now) != change.marked {
				t.Errorf("%d, %s: the mark changed: %v, want %v", major, change.sql, mark != now, change.marked)
			}
		}
	}
}

func globals(t *testing.T, conn *pgx.Conn) (postgres.Shape, string) {
	t.Helper()
	s, err := postgres.ReadGlobals(t.Context(), conn)
	must(t, "read globals", err)
	mark, err := postgres.ReadGlobalsMark(t.Context(), conn)
	must(t, "read mark", err)
	return s, mark
}
