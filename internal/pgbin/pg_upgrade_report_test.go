package pgbin

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseReport(t *testing.T) {
	for name, test := range map[string]struct {
		file, content string
		want          []Line
	}{
		"columns by database": {
			"tables_using_reg.txt", "In database: app\n  public.t.a\n  public.with space.b\nIn database: two words\n  s.t.c\n",
			[]Line{
				{Database: "app", Object: "public.t.a", Names: []string{"public", "t", "a"}},
				{Database: "app", Object: "public.with space.b", Names: []string{"public", "with space", "b"}},
				{Database: "two words", Object: "s.t.c", Names: []string{"s", "t", "c"}},
			},
		},
		"a name with a dot": {
			"not_null_inconsistent_columns.txt", "In database: app\n  public.v1.2.b\n",
			[]Line{{Database: "app", Object: "public.v1.2.b"}},
		},
		"names with line breaks": {
			"tables_using_aclitem.txt", "In database: a\nb\n  public.t\nu.c\n  public.x.y\n",
			[]Line{
				{Database: "a\nb", Object: "public.t\nu.c", Names: []string{"public", "t\nu", "c"}},
				{Database: "a\nb", Object: "public.x.y", Names: []string{"public", "x", "y"}},
			},
		},
		"indexes": {
			"gist_inet_ops.txt", "In database: app\n  public.My \"index\n",
			[]Line{{Database: "app", Object: `public.My "index`, Names: []string{"public", `My "index`}}},
		},
		"relations with their oids": {
			"unicode_dependent_rels.txt", "In database: app\n    (oid=16385) public.t\n",
			[]Line{{Database: "app", Object: "public.t", Names: []string{"public", "t"}}},
		},
		"operators": {
			"postfix_ops.txt", "In database: app\n  (oid=16385) public.!! (pg_catalog.int8, NONE)\n",
			[]Line{{Database: "app", Object: "public.!! (pg_catalog.int8, NONE)"}},
		},
		"polymorphics": {
			"incompatible_polymorphics.txt", "In database: app\n  aggregate: public.agg(anyelement)\n  operator: public.@@(anyarray,anyelement)\n",
			[]Line{
				{Database: "app", Object: "public.agg(anyelement)", Note: "aggregate"},
				{Database: "app", Object: "public.@@(anyarray,anyelement)", Note: "operator"},
			},
		},
		"databases": {
			"databases_cannot_connect_to.txt", "app\nother db\n",
			[]Line{{Object: "app", Names: []string{"app"}}, {Object: "other db", Names: []string{"other db"}}},
		},
		"invalid names": {
			"db_role_tablespace_invalid_names.txt", "1 : database name = \"a\nb\"\n2 : role name = \"say \"\r\"\"\n",
			[]Line{
				{Object: "a\nb", Names: []string{"a\nb"}, Note: "database"},
				{Object: "say \"\r\"", Names: []string{"say \"\r\""}, Note: "role"},
			},
		},
		"roles": {"pg_role_prefix.txt", "pg_mine (oid=16384)\n", []Line{{Object: "pg_mine", Names: []string{"pg_mine"}}}},
		"libraries, each before its databases": {
			"loadable_libraries.txt",
			"could not load library \"$libdir/a\": ERROR:  could not access file\nDETAIL:  gone\nIn database: app\nIn database: other\n" +
				"could not load library \"b\": ERROR:  x\nIn database: app\n",
			[]Line{
				{Database: "app", Object: "$libdir/a", Note: "could not access file DETAIL: gone"},
				{Database: "other", Object: "$libdir/a", Note: "could not access file DETAIL: gone"},
				{Database: "app", Object: "b", Note: "x"},
			},
		},
		"slots": {
			"invalid_logical_slots.txt",
			"The slot \"s1\" is invalid\nThe slot \"s2\" has not consumed the WAL yet\nThe slot name \"pg_conflict_detection\" is reserved\n",
			[]Line{
				{Object: "s1", Names: []string{"s1"}, Note: "is invalid"},
				{Object: "s2", Names: []string{"s2"}, Note: "has not consumed the WAL yet"},
				{Object: "pg_conflict_detection", Names: []string{"pg_conflict_detection"}, Note: "is reserved"},
			},
		},
		"plugins": {
			"disallowed_output_plugins.txt", "The slot \"cdc\" uses plugin \"wal2json\"\n",
			[]Line{{Object: "cdc", Names: []string{"cdc"}, Note: "plugin wal2json"}},
		},
		"subscriptions": {
			"subs_invalid.txt",
			"The replication origin is missing for database:\"app\" subscription:\"my sub\"\n" +
				"The table sync state \"d\" is not allowed for database:\"app\" subscription:\"s\" schema:\"public\" relation:\"a\nb\"\n",
			[]Line{
				{Database: "app", Object: "my sub", Names: []string{"my sub"}, Note: "its replication origin is missing"},
				{Database: "app", Object: "s", Names: []string{"s"}, Note: "table public.a\nb: table sync state d is not allowed"},
			},
		},
		"a file of a later version": {
			"news.txt", "In database: app\n  public.t\nIn database: b\n  x\n",
			[]Line{{Database: "app", Object: "public.t"}, {Database: "b", Object: "x"}},
		},
		"lines of a later version": {
			"news.txt", "x\nIn database: app\nIn database: other\ny\n",
			[]Line{{Database: "app", Object: "x"}, {Database: "other", Object: "x"}, {Object: "y"}},
		},
		"empty": {"news.txt", "", nil},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, parseReport(test.file, test.content)); diff != "" {
				t.Errorf("lines (-want +got):\n%s", diff)
			}
		})
	}
}

func FuzzParseReport(f *testing.F) {
	for _, file := range reportFiles() {
		f.Add(file, "In database: app\n  public.t.a\n")
		f.Add(file, "In database: app\n  (oid=16385) public.!! (pg_catalog.int8, NONE)\nx\nIn database: other\n")
	}
	f.Add("loadable_libraries.txt", "could not load library \"a\": ERROR:  x\nIn database: app\nIn database: other\nx\n")
	f.Add("subs_invalid.txt", "The replication origin is missing for database:\"app\" subscription:\"s\"\n")
	f.Add("subs_invalid.txt", "The table sync state \"d\" is not allowed for database:\"app\" subscription:\"s\" schema:\"public\" relation:\"t\"\n")
	f.Add("invalid_logical_slots.txt", "The slot \"s1\" is invalid\n")
	f.Add("db_role_tablespace_invalid_names.txt", "1 : database name = \"a\nb\"\n")
	f.Fuzz(func(t *testing.T, file, content string) {
		for _, line := range parseReport(file, content) {
			if len(line.Names) > 0 && strings.Join(line.Names, ".") != line.Object {
				t.Errorf("names and object differ: %+v", line)
			}
			for _, part := range append([]string{line.Database, line.Object}, line.Names...) {
				if !strings.Contains(content, part) {
					t.Errorf("%q is not in the file", part)
				}
			}
		}
	})
}

// reportFiles lists the files that have a format of their own.
func reportFiles() []string {
	return []string{
		"tables_using_reg.txt", "not_null_inconsistent_columns.txt", "gist_inet_ops.txt", "encoding_conversions.txt", "unicode_dependent_rels.txt",
		"postfix_ops.txt", "incompatible_polymorphics.txt", "databases_cannot_connect_to.txt", "db_role_tablespace_invalid_names.txt",
		"pg_role_prefix.txt", "loadable_libraries.txt", "invalid_logical_slots.txt", "disallowed_output_plugins.txt", "subs_invalid.txt", "news.txt",
	}
}
