package pgbin

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// restoreLogOfView is what a 17's pg_upgrade left of a view on a column that is gone.
const restoreLogOfView = `command: "/opt/17/bin/pg_restore" --host /tmp/x --port 50432 --username postgres --create --exit-on-error --verbose --transaction-size=1000 --dbname template1 "/d/pg_upgrade_output.d/x/dump/pg_upgrade_dump_16390.custom" >> "/d/log" 2>&1
pg_restore: connecting to database for restore
pg_restore: executing SELECT pg_catalog.set_config('search_path', '', false);
pg_restore: creating DATABASE "two words"
pg_restore: connecting to new database "two words"
pg_restore: creating TABLE "public.parent"
pg_restore: creating VIEW "public.health"
pg_restore: while PROCESSING TOC:
pg_restore: from TOC entry 231; 1259 16448 VIEW health postgres
pg_restore: error: could not execute query: ERROR:  column pg_stat_bgwriter.checkpoints_timed does not exist
LINE 9:  SELECT "pg_stat_bgwriter"."checkpoints_timed"
                ^
Command was: 
-- For binary upgrade, must preserve pg_type oid
SELECT pg_catalog.binary_upgrade_set_next_pg_type_oid('16450'::pg_catalog.oid);


-- For binary upgrade, must preserve pg_class oids and relfilenodes
SELECT pg_catalog.binary_upgrade_set_next_heap_pg_class_oid('16448'::pg_catalog.oid);

CREATE VIEW "public"."health" AS
 SELECT "pg_stat_bgwriter"."checkpoints_timed"
   FROM "pg_stat_bgwriter";

`

// globalsLog is what psql says of the dump of roles.
const globalsLog = `command: "/opt/17/bin/psql" --echo-queries --set ON_ERROR_STOP=on -f "/d/pg_upgrade_dump_globals.sql" >> "/d/log" 2>&1
SET
ALTER ROLE app SET old = 'on';
psql:/d/dump/pg_upgrade_dump_globals.sql:27: ERROR:  unrecognized configuration parameter "old"
`

func TestFailedStatement(t *testing.T) {
	lineOf := func(path string, number int) string {
		if path != "/d/dump/pg_upgrade_dump_globals.sql" || number != 27 {
			t.Errorf("asked for line %d of %s", number, path)
		}
		return "ALTER ROLE app SET old = 'on';\n"
	}
	for name, test := range map[string]struct {
		log  string
		want Statement
	}{
		"a view": {restoreLogOfView, Statement{
			Database: "two words", Object: `VIEW "public.health"`, Error: "column pg_stat_bgwriter.checkpoints_timed does not exist",
			SQL: "CREATE VIEW \"public\".\"health\" AS\n SELECT \"pg_stat_bgwriter\".\"checkpoints_timed\"\n   FROM \"pg_stat_bgwriter\";",
		}},
		"a role's setting":                  {globalsLog, Statement{Error: `unrecognized configuration parameter "old"`, SQL: "ALTER ROLE app SET old = 'on';"}},
		"a notice that looks like an error": {"psql:/d/dump/pg_upgrade_dump_globals.sql:3: NOTICE:  x\npsql:/home/other/secrets.sql:1: ERROR:  y\n", Statement{}},
		"no SQL":                            {"pg_restore: error: could not open input file\n", Statement{}},
		"nothing":                           {"", Statement{}},
	} {
		got, ok := failedStatement(test.log, "/d/dump/pg_upgrade_dump_globals.sql", lineOf)
		if diff := cmp.Diff(test.want, got); diff != "" || ok != (test.want != Statement{}) {
			t.Errorf("%s: %t (-want +got):\n%s", name, ok, diff)
		}
	}
}

func FuzzFailedStatement(f *testing.F) {
	f.Add(restoreLogOfView)
	f.Add(globalsLog)
	f.Add("pg_restore: error: ERROR: x\nCommand was: \n--\n\n\n")
	f.Fuzz(func(t *testing.T, log string) {
		s, ok := failedStatement(log, "/d/dump/pg_upgrade_dump_globals.sql", func(string, int) string { return "" })
		if len(s.SQL) > maxStatement+len(" ...") || !ok && s != (Statement{}) {
			t.Errorf("%t: %+v", ok, s)
		}
	})
}

func TestPostmasterOpts(t *testing.T) {
	for content, want := range map[string][]string{
		`/usr/lib/postgresql/15/bin/postgres "-D" "/var/lib/data"` + "\n":                     nil,
		`/b/postgres "-D" "/d" "-c" "config_file=/etc/pg/postgresql.conf" "-p" "5433"` + "\n": {"-c", "config_file=/etc/pg/postgresql.conf", "-p", "5433"},
		`/b/postgres "-D/d" "-c" "cluster_name=two words"` + "\n":                             {"-c", "cluster_name=two words"},
		`/b/postgres "-p" "1"`: {"-p", "1"},
		`/b/postgres` + "\n":   nil,
		`/b/postgres "-p" "1`:  nil,
		``:                     nil,
	} {
		if diff := cmp.Diff(want, parsePostmasterOpts(content)); diff != "" {
			t.Errorf("%q (-want +got):\n%s", content, diff)
		}
	}
}

func FuzzPostmasterOpts(f *testing.F) {
	f.Add(`/b/postgres "-D" "/d" "-c" "a=b"`)
	f.Fuzz(func(t *testing.T, content string) {
		for _, arg := range parsePostmasterOpts(content) {
			if strings.HasPrefix(arg, "-D") {
				t.Errorf("%q: the data directory is among the options", content)
			}
		}
	})
}
