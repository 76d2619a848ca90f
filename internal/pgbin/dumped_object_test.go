package pgbin

import (
	"strings"
	"testing"
)

func TestDumpedObject(t *testing.T) {
	for _, c := range []struct {
		sql, toc, error  string // what failed
		name, undo, kind string
	}{
		{sql: `CREATE VIEW "public"."health" AS SELECT 1;`, kind: "view", name: "public.health", undo: `DROP VIEW "public"."health" CASCADE`},
		{sql: `CREATE MATERIALIZED VIEW "a"" b"."c.d" AS SELECT`, kind: "materialized view", name: `"a"" b"."c.d"`, undo: `DROP MATERIALIZED VIEW "a"" b"."c.d" CASCADE`},
		{sql: `CREATE UNLOGGED TABLE "public"."t" (`, kind: "table", name: "public.t", undo: `DROP TABLE "public"."t" CASCADE`},
		{sql: `CREATE UNIQUE INDEX "i" ON ONLY "s"."t" USING "btree" ("a")`, kind: "index", name: "s.i", undo: `DROP INDEX "s"."i" CASCADE`},
		{
			sql: `CREATE FUNCTION "public"."F"("a" integer DEFAULT 1, "b" "text") RETURNS integer`, toc: `FUNCTION "public.F(integer, text)"`,
			kind: "function", name: `public."F"(integer, text)`, undo: `DROP FUNCTION "public"."F"(integer, text) CASCADE`,
		},
		{sql: `CREATE PROCEDURE "public"."p"() LANGUAGE`, toc: `PROCEDURE "public.p()"`, kind: "procedure", name: `public.p()`, undo: `DROP PROCEDURE "public"."p"() CASCADE`},
		{
			sql: `CREATE CONSTRAINT TRIGGER "t on" AFTER UPDATE OF "x ON ""y" ON "s"."t" DEFERRABLE`, kind: "trigger", name: `s.t."t on"`,
			undo: `DROP TRIGGER "t on" ON "s"."t" CASCADE`,
		},
		{sql: `CREATE RULE "r" AS` + "\n" + `    ON INSERT TO "s"."t" DO INSTEAD NOTHING`, kind: "rule", name: "s.t.r", undo: `DROP RULE "r" ON "s"."t" CASCADE`},
		{sql: `CREATE POLICY "p" ON "s"."t" USING (true)`, kind: "policy", name: "s.t.p", undo: `DROP POLICY "p" ON "s"."t"`},
		{
			sql: `ALTER TABLE ONLY "public"."b"` + "\n" + `    ADD CONSTRAINT "b_fk" FOREIGN KEY ("x") REFERENCES "public"."a"("x");`, kind: "constraint",
			name: "public.b.b_fk", undo: `ALTER TABLE "public"."b" DROP CONSTRAINT "b_fk" CASCADE`,
		},
		{sql: `ALTER TABLE ONLY "public"."b" ALTER COLUMN "x" SET DEFAULT "f"();`, kind: "default", name: "public.b.x", undo: `ALTER TABLE "public"."b" ALTER COLUMN "x" DROP DEFAULT`},
		{sql: `ALTER TABLE ONLY "public"."b" ALTER COLUMN "x" SET STORAGE MAIN;`, kind: "table", name: "public.b", undo: `DROP TABLE "public"."b" CASCADE`},
		{sql: `ALTER TABLE ONLY "public"."p" ATTACH PARTITION "public"."c" DEFAULT;`, kind: "table", name: "public.p", undo: `DROP TABLE "public"."p" CASCADE`},
		{sql: `ALTER ROLE "my app" SET "vacuum_defer_cleanup_age" TO '1';`, kind: "setting", name: `role "my app"`, undo: `ALTER ROLE "my app" RESET "vacuum_defer_cleanup_age"`},
		{sql: `ALTER ROLE "a" IN DATABASE "d" SET "x.y" TO '1';`, kind: "setting", name: `role a, database d`, undo: `ALTER ROLE "a" IN DATABASE "d" RESET "x"."y"`},
		{
			sql: "ALTER DATABASE \"d\" SET \"work_mem\" TO '1MB';\nALTER DATABASE \"d\" SET \"gone\" TO 'x';", error: `unrecognized configuration parameter "gone"`,
			kind: "setting", name: "database d", undo: `ALTER DATABASE "d" RESET "gone"`,
		},
		{sql: `CREATE EVENT TRIGGER "e" ON "ddl_command_end"`, kind: "event trigger", name: "e", undo: `DROP EVENT TRIGGER "e"`},
		{
			sql: `GRANT SET, ALTER SYSTEM ON PARAMETER "gone" TO "my app" WITH GRANT OPTION;`, kind: "parameter", name: "gone",
			undo: `REVOKE ALL ON PARAMETER "gone" FROM "my app" CASCADE`,
		},
		{sql: `GRANT SET ON PARAMETER "x.y" TO PUBLIC;`, kind: "parameter", name: `"x.y"`, undo: `REVOKE ALL ON PARAMETER "x.y" FROM PUBLIC CASCADE`},
		{sql: `GRANT SET ON PARAMETER "gone" TO "PUBLIC";`, kind: "parameter", name: `gone`, undo: `REVOKE ALL ON PARAMETER "gone" FROM "PUBLIC" CASCADE`},
		{sql: `REVOKE ALL ON PARAMETER "gone" FROM "postgres";`, kind: "parameter", name: "gone", undo: `GRANT ALL ON PARAMETER "gone" TO "postgres"`},
		{sql: `CREATE DATABASE "d" WITH TEMPLATE = "template0"`},
		{sql: `CREATE FUNCTION "public"."f"("a" integer) RETURNS integer`}, // pg_restore did not say what it restores
		{sql: `GRANT ALL ON "x" TO "y"`},
		{sql: `CREATE VIEW "torn`},
		{sql: ``},
	} {
		o, ok := Statement{SQL: c.sql, Object: c.toc, Error: c.error}.DumpedObject()
		if ok != (c.kind != "") {
			t.Errorf("%s: got %+v, %v", c.sql, o, ok)
			continue
		}
		if !ok {
			continue
		}
		if o.Kind != c.kind || o.String() != c.name || o.Undo(true) != c.undo {
			t.Errorf("%s:\n got %s %s: %s\nwant %s %s: %s", c.sql, o.Kind, o, o.Undo(true), c.kind, c.name, c.undo)
		}
	}
}

func FuzzDumpedObject(f *testing.F) {
	f.Add(`CREATE VIEW "a""b"."c" AS`, `VIEW "a.b"`, "")
	f.Add(`CREATE TRIGGER "t" ON "s"."t"`, "", "")
	f.Add(`ALTER TABLE ONLY "t" ADD CONSTRAINT "c`, "", "")
	f.Add(`ALTER ROLE "r" SET "x" TO ''`, "", `"x"`)
	f.Add(`CREATE INDEX "" ON "`, "", "")
	f.Fuzz(func(t *testing.T, sql, object, said string) {
		o, ok := Statement{SQL: sql, Object: object, Error: said}.DumpedObject()
		if ok && (len(o.Name) == 0 || o.String() == "" || o.Undo(false) == "") {
			t.Errorf("%q: an object without a name: %+v", sql, o)
		}
		for _, failure := range restoreFailures(sql) {
			if failure.Error == "" && strings.TrimSpace(sql) == "" {
				t.Errorf("%q: a failure without a reason", sql)
			}
		}
	})
}

func TestRestoreFailures(t *testing.T) {
	log := strings.Replace(restoreLogOfView, " --exit-on-error", "", 1) + `
pg_restore: creating FUNCTION "public.f()"
pg_restore: from TOC entry 232; 1255 16449 FUNCTION f() postgres
pg_restore: error: could not execute query: ERROR:  could not access file "$libdir/gone": No such file or directory
Command was: CREATE FUNCTION "public"."f"() RETURNS integer
    LANGUAGE "c"
    AS '$libdir/gone', 'f';


pg_restore: creating TABLE "public.t"
pg_restore: warning: errors ignored on restore: 2
`
	found := restoreFailures(log)
	if len(found) != 2 {
		t.Fatalf("got %+v", found)
	}
	if found[0].Object != `VIEW "public.health"` || !strings.HasPrefix(found[0].SQL, `CREATE VIEW "public"."health"`) {
		t.Errorf("the view: got %+v", found[0])
	}
	if found[1].Object != `FUNCTION "public.f()"` || !strings.HasPrefix(found[1].Error, "could not access file") || strings.Contains(found[1].SQL, "creating TABLE") {
		t.Errorf("the function: got %+v", found[1])
	}
}

func TestGlobalFailures(t *testing.T) {
	log := "psql:/d/globals.sql:3: ERROR:  role \"a\" already exists\npsql:/d/globals.sql:9: ERROR:  invalid value\n"
	found := scriptFailures(log, "/d/globals.sql", maxFailures, func(_ string, n int) string { return map[int]string{3: `CREATE ROLE "a";`, 9: "ALTER"}[n] })
	if len(found) != 2 || found[0].SQL != `CREATE ROLE "a";` || found[1].Error != "invalid value" {
		t.Errorf("got %+v", found)
	}
}
