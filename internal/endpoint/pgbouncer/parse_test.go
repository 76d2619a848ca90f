package pgbouncer

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pgleap/pgleap/internal/pgtest"
)

// TestReadsAsPgBouncerDoes gives a configuration with everything odd in it to the real program, and
// compares where it sends each database with what we read.
func TestReadsAsPgBouncerDoes(t *testing.T) {
	source := pgtest.Start(t, 15)
	b := pgtest.PgBouncer(t, pgtest.Target{Name: "app", Cluster: source})
	odd := strings.Join([]string{
		"[databases] plain=host=h1 port=1",
		"  indented  =   host  =  h2   port  =  '2'  ",
		"tab\t=\thost=h3",
		"cr = host=h4 port=4\r",
		"empty =",
		"socket = host=/tmp/x port=5",
		"quoted = dbname='a ''b'' host=z' host='h6'",
		"twice = host=old host=h7",
		"again = host=old",
		"a-b.c_D9 = host=h8",
		"; comment = host=no",
		"  # comment = host=no",
		"again = host=h9 port=9",
		"password = password='host=no' user=u host=h10",
		"",
	}, "\n")
	write(t, b.IniPath, odd+read(t, b.IniPath), stat(t, b.IniPath))
	reload(t, b)
	c, err := openConsole(t.Context(), Console{DSN: b.AdminDSN})
	must(t, err)
	defer c.close()
	replies, err := c.run(t.Context(), showDatabases)
	must(t, err)
	live, err := readDatabases(replies[0])
	must(t, err)
	want := map[string]string{}
	for _, l := range live {
		want[l.name] = fmt.Sprintf("%q %d", l.host, l.port)
	}
	config, err := loadConfig(b.IniPath, "")
	must(t, err)
	got := map[string]string{}
	for _, e := range config.effective() {
		got[e.item.name] = fmt.Sprintf("%q %d", e.route.host, e.route.port)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-PgBouncer +pgleap)\n%s", diff)
	}
	if len(want) != 12 {
		t.Errorf("PgBouncer has %d databases: %v", len(want), want)
	}
}
