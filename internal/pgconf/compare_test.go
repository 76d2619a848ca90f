package pgconf

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/jackc/pgx/v5"

	"github.com/pgleap/pgleap/internal/pgtest"
)

// describe asks a server for all its settings.
func describe(t *testing.T, c *pgtest.Cluster) Description {
	t.Helper()
	rows, err := c.Connect(t, "postgres").Query(t.Context(), `
		SELECT name, context, vartype, coalesce(unit, ''), coalesce(boot_val, ''), coalesce(min_val, ''), coalesce(max_val, ''),
			coalesce(enumvals, '{}')
		FROM pg_settings`)
	if err != nil {
		t.Fatal(err)
	}
	parameters, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Parameter])
	if err != nil {
		t.Fatal(err)
	}
	return Describe(parameters)
}

// everySetting is a configuration that has something to be said of in every
// version, with secrets in many places.
const everySetting = `# hunter2 is the password of everything
work_mem = 64MB
old_snapshot_threshold = 60		# hunter2
operator_precedence_warning = on
stats_temp_directory = 'pg_stat_tmp'
force_parallel_mode = on
ssl_ecdh_curve = 'prime256v1'
io_workers = 5
max_locks_per_transaction = 200
log_autovacuum_min_duration = 0
autovacuum_max_workers = 5
archive_command = 'curl -u me:hunter2 %p'
my.own = 'hunter2'
nobodys_setting = 'hunter2'
primary_conninfo = 'password=hunter2'
jit = on
#promote_trigger_file = 'hunter2'
`

// lines writes changes one a line, for people.
func lines(changes []Change) string {
	var b strings.Builder
	for _, c := range changes {
		fmt.Fprintf(&b, "%-8s %s", c.Kind, c.Name)
		if c.Line > 0 {
			fmt.Fprintf(&b, " (line %d)", c.Line)
		}
		if c.From != "" || c.To != "" {
			fmt.Fprintf(&b, ": %q -> %q", c.From, c.To)
		}
		if c.Weighty {
			b.WriteString(" !")
		}
		fmt.Fprintf(&b, " %s\n", c.Reason)
	}
	return b.String()
}

// TestCompareServers does so with the real servers of every pair of versions
// under test: what is told of a pair is in testdata/SOURCE-to-TARGET.txt.
func TestCompareServers(t *testing.T) {
	versions := pgtest.Versions(t)
	described := map[int]Description{}
	for _, major := range versions {
		described[major] = describe(t, pgtest.Start(t, major))
	}
	for i, from := range versions {
		for _, to := range versions[i+1:] {
			name := fmt.Sprintf("%d-to-%d", from, to)
			t.Run(name, func(t *testing.T) {
				source, target := described[from], described[to]
				tree := &Tree{Main: &File{"postgresql.conf", mustParse(t, everySetting)}}
				c := Compare(tree, Versions{from, to}, target.Knows, source, target, func(string) bool { return false })
				said := fmt.Sprintf("%s\nkept: %d\n\n%s", lines(c.Changes), c.Kept, c.Diff)
				if strings.Contains(said, "hunter2") {
					t.Error("a secret is told")
				}
				golden(t, name+".txt", []byte(said))
			})
		}
	}
}

func TestJudge(t *testing.T) {
	source := Describe([]Parameter{
		{Name: "jobs", Type: "integer", Context: "user", Min: "1", Max: "1000"},
		{Name: "cache", Type: "integer", Context: "postmaster", Unit: "8kB", Min: "16", Max: "1073741823"},
		{Name: "share", Type: "real", Context: "user", Min: "0", Max: "1"},
		{Name: "level", Type: "enum", Context: "user", Values: []string{"low", "high", "archive"}},
		{Name: "list", Type: "string", Context: "user"},
		{Name: "opened", Type: "bool", Context: "sighup"},
		{Name: "backup_command", Type: "integer", Context: "user"},
	})
	target := Describe([]Parameter{
		{Name: "jobs", Type: "integer", Context: "user", Min: "1", Max: "100"},
		{Name: "cache", Type: "integer", Context: "postmaster", Unit: "8kB", Min: "16", Max: "131072"},
		{Name: "share", Type: "real", Context: "user", Min: "0", Max: "0.5"},
		{Name: "level", Type: "enum", Context: "user", Values: []string{"low", "high"}},
		{Name: "list", Type: "bool", Context: "user"},
		{Name: "opened", Type: "bool", Context: "user"},
		{Name: "backup_command", Type: "integer", Context: "user", Min: "0", Max: "9"},
	})
	for _, test := range []struct {
		name, value string
		kind        Kind
		from        string
		reason      string
	}{
		{"jobs", "100", "", "", ""},
		{"JOBS", "101", Invalid, "101", "it takes only 1 to 100"},
		{"jobs", "many", Invalid, "many", "it takes only a number"},
		{"cache", "1GB", "", "", ""},
		{"cache", "2GB", Invalid, "2GB", "it takes only 128kB to 1GB"},
		{"cache", "1week", Invalid, "1week", "it takes only a number, in B, kB, MB, GB, TB"},
		{"share", "0.6", Invalid, "0.6", "it takes only 0 to 0.5"},
		{"level", "HIGH", "", "", ""},
		{"level", "Archive", Invalid, "Archive", "it takes only low, high"},
		{"level", "hot_standby", "", "", ""}, // not listed, yet taken before, and maybe still
		{"list", "yes", "", "", ""},
		{"list", "a, b", Invalid, "a, b", "it takes only on and off now"},
		{"opened", "on", Context, "", "it could be set in the configuration files only, and can be set by everybody, at any time now"},
		{"backup_command", "10", Invalid, NotShown, "it takes only 0 to 9"},
		{"unknown", "x", "", "", ""},
	} {
		got := Judge(Setting{Name: test.name, Value: test.value, File: "f", Line: 3}, source, target)
		if test.kind == "" {
			if got != nil {
				t.Errorf("%s = %s: got %+v", test.name, test.value, *got)
			}
			continue
		}
		want := &Change{Kind: test.kind, Name: test.name, From: test.from, Reason: test.reason, File: "f", Line: 3}
		if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(Change{})); diff != "" {
			t.Errorf("%s = %s (-want +got):\n%s", test.name, test.value, diff)
		}
	}
}

func TestDefaults(t *testing.T) {
	source := Describe([]Parameter{
		{Name: "jit", Type: "bool", Default: "on"},
		{Name: "buffers", Type: "integer", Unit: "8kB", Default: "128"},
		{Name: "same", Type: "integer", Unit: "kB", Default: "1024"},
		{Name: "log_connections", Type: "bool", Default: "off"},
		{Name: "version", Context: "internal", Default: "17"},
		{Name: "port", Type: "integer", Default: "5432"},
		{Name: "gone", Type: "bool", Default: "on"},
		{Name: "chosen", Type: "bool", Default: "on"},
	})
	target := Describe([]Parameter{
		{Name: "jit", Type: "bool", Default: "off"},
		{Name: "buffers", Type: "integer", Unit: "8kB", Default: "16384"},
		{Name: "same", Type: "integer", Unit: "MB", Default: "1"},
		{Name: "log_connections", Type: "string"},
		{Name: "version", Context: "internal", Default: "19"},
		{Name: "port", Type: "integer", Default: "5433"},
		{Name: "io_method", Type: "enum", Default: "worker"},
		{Name: "brand_new", Type: "bool", Default: "on"},
		{Name: "chosen", Type: "bool", Default: "off"},
	})
	got := lines(Defaults(source, target, func(name string) bool { return name == "chosen" }))
	want := `default  buffers: "1MB" -> "128MB" 
new      io_method: "" -> "worker" reads are done by worker processes
default  jit: "on" -> "off" ! long analytical queries are not compiled any more
`
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("defaults (-want +got):\n%s", diff)
	}
}

// TestCompareTree: of several lines with one name, the last one counts, in the
// order in which the server reads the files; each is told with its own line.
func TestCompareTree(t *testing.T) {
	source := Describe([]Parameter{{Name: "jobs", Type: "integer", Max: "1000"}, {Name: "force_parallel_mode"}, {Name: "old"}, {Name: "fine"}})
	target := Describe([]Parameter{{Name: "jobs", Type: "integer", Max: "100"}, {Name: "debug_parallel_query"}, {Name: "fine"}})
	tree := &Tree{
		Main: &File{"main.conf", mustParse(t, "jobs = 5\nfine = x\nfine = y\n")},
		Auto: &File{"auto.conf", mustParse(t, "force_parallel_mode = on\njobs = 500\n")},
	}
	if err := tree.SetCommandLine(map[string]string{"old": "x y", "fine": "z"}); err != nil {
		t.Fatal(err)
	}
	c := Compare(tree, Versions{15, 17}, target.Knows, source, target, func(string) bool { return false })
	var got []string
	for _, change := range c.Changes {
		got = append(got, fmt.Sprintf("%s %s %s:%d", change.Kind, change.Name, change.File, change.Line))
	}
	want := []string{"renamed force_parallel_mode auto.conf:1", "dropped old command line:2", "invalid jobs auto.conf:2"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if c.Kept != 1 {
		t.Errorf("kept %d settings, want fine alone", c.Kept)
	}
	// The tree was left alone; translated, it makes one file.
	if changes := tree.Translate(Versions{15, 17}, target.Knows); len(changes) != 2 {
		t.Errorf("translated: %+v", changes)
	}
	flat, err := tree.Flat()
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"jobs": "500", "fine": "z", "debug_parallel_query": "on"} {
		if got, _ := flat.Get(name); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
}

func TestDiffOfAccess(t *testing.T) {
	text := "host all all 192.0.2.0/24 ldap ldapserver=l ldapbindpasswd=hunter2 clientcert=0\nlocal all all peer\n" +
		"host all all 198.51.100.0/24 radius radiusservers=\"r\" radiussecrets=\"hunter2\"\n"
	_, changes, err := TranslateHBA([]byte(text), Versions{13, 19})
	if err != nil {
		t.Fatal(err)
	}
	for i := range changes {
		changes[i].File = "pg_hba.conf"
	}
	got := Diff(changes, Description{}, Description{})
	want := `--- pg_hba.conf
+++ pg_hba.conf for the target
@@ -1 +1,3 @@
-host all all 192.0.2.0/24 ldap ldapserver=l "ldapbindpasswd=(not shown)" clientcert=0
+# pgleap: PostgreSQL 14 takes only clientcert=verify-ca and clientcert=verify-full
+host all all 192.0.2.0/24 ldap ldapserver=l "ldapbindpasswd=(not shown)"
+#host all all 192.0.2.0/24 ldap ldapserver=l "ldapbindpasswd=(not shown)" clientcert=0
@@ -3 +5,3 @@
-host all all 198.51.100.0/24 radius radiusservers=r "radiussecrets=(not shown)"
+# pgleap: PostgreSQL 19 removed the method radius: these clients are rejected until another method is chosen
+host all all 198.51.100.0/24 reject
+#host all all 198.51.100.0/24 radius radiusservers=r "radiussecrets=(not shown)"
`
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("diff (-want +got):\n%s", diff)
	}
}
