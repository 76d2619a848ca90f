package pgbin

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// dumpLogOfView is what a 17's pg_upgrade left of a view whose function is gone.
const dumpLogOfView = `command: "/opt/17/bin/pg_dump" --host /tmp/x --port 50432 --username postgres --schema-only --quote-all-identifiers --binary-upgrade --format=custom --verbose --file="/d/dump/pg_upgrade_dump_16390.custom" 'dbname=shop' >> "/d/log/pg_upgrade_dump_16390.log" 2>&1
pg_dump: last built-in OID is 16383
pg_dump: reading extensions
pg_dump: error: query failed: ERROR:  cache lookup failed for function 16579
pg_dump: detail: Query was: SELECT pg_catalog.pg_get_viewdef('16580'::pg_catalog.oid) AS viewdef
`

func TestFailedDump(t *testing.T) {
	view := Statement{
		Error: "cache lookup failed for function 16579", SQL: "SELECT pg_catalog.pg_get_viewdef('16580'::pg_catalog.oid) AS viewdef",
	}
	for name, test := range map[string]struct {
		log  string
		want Statement
	}{
		"a view":            {dumpLogOfView, view},
		"of 14 and before":  {strings.Replace(dumpLogOfView, "detail: Query was", "error: query was", 1), view},
		"something follows": {dumpLogOfView + "pg_dump: warning: it goes on\n", view},
		"several lines": {"pg_dump: error: query failed: ERROR:  canceling statement\npg_dump: detail: Query was: SELECT 1\nFROM x\n", Statement{
			Error: "canceling statement", SQL: "SELECT 1\nFROM x",
		}},
		"no query":               {"pg_dump: error: schema with OID 999 does not exist\n", Statement{Error: "schema with OID 999 does not exist"}},
		"no query after another": {dumpLogOfView + "pg_dump: error: schema with OID 999 does not exist\n", Statement{Error: "schema with OID 999 does not exist"}},
		"another program":        {restoreLogOfView, Statement{}},
		"a warning":              {"pg_dump: warning: error: no\n", Statement{}},
		"nothing":                {"", Statement{}},
	} {
		got, ok := failedDump(test.log)
		if diff := cmp.Diff(test.want, got); diff != "" || ok != (test.want != Statement{}) {
			t.Errorf("%s: %t (-want +got):\n%s", name, ok, diff)
		}
	}
}

func TestDatabaseOfALog(t *testing.T) {
	for message, want := range map[string]uint32{
		`Consult the last few lines of "/d/log/pg_upgrade_dump_16390.log" for the probable cause of the failure.`: 16390,
		`Consult the last few lines of "/d/pg_upgrade_dump_5.log" for the probable cause of the failure.`:         5,
		`Consult the last few lines of "/d/log/pg_upgrade_utility.log" for the probable cause of the failure.`:    0,
		`Consult the last few lines of "/d/pg_upgrade_dump_99999999999.log" for the probable cause.`:              0,
		`it is so`: 0,
	} {
		if got := (&Failure{Message: message}).DatabaseOID(); got != want {
			t.Errorf("%s: got %d, want %d", message, got, want)
		}
	}
}

func FuzzFailedDump(f *testing.F) {
	f.Add(dumpLogOfView)
	f.Add("pg_dump: error: query was: SELECT 1\npg_dump: error: x\n")
	f.Add("pg_dump: detail: Query was: \n")
	f.Fuzz(func(t *testing.T, log string) {
		s, ok := failedDump(log)
		if len(s.SQL) > maxStatement+len(" ...") || !ok && s != (Statement{}) {
			t.Errorf("%t: %+v", ok, s)
		}
	})
}
