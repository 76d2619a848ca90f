package endpoint

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestSameCluster(t *testing.T) {
	name, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	real := t.TempDir()
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(real, link); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		why  string
		a, b Address
		want bool
	}{
		{"equal", Address{"db1", 5432}, Address{"db1", 5432}, true},
		{"names have no case", Address{"DB1", 5432}, Address{"db1", 5432}, true},
		{"another port", Address{"db1", 5432}, Address{"db1", 5433}, false},
		{"another host", Address{"db1", 5432}, Address{"db2", 5432}, false},
		{"names of this host", Address{"localhost", 5432}, Address{"127.0.0.1", 5432}, true},
		{"both families", Address{"::1", 5432}, Address{"127.0.0.1", 5432}, true},
		{"the host's own name", Address{name, 5432}, Address{"localhost", 5432}, true},
		{"socket and loopback", Address{"/run/postgresql", 5432}, Address{"localhost", 5432}, true},
		{"sockets by a link", Address{link, 5432}, Address{real, 5432}, true},
		{"two socket directories", Address{"/a", 5432}, Address{"/b", 5432}, false},
		{"here and elsewhere", Address{"localhost", 5432}, Address{"192.0.2.1", 5432}, false},
	} {
		if got := test.a.Same(test.b); got != test.want {
			t.Errorf("%s: %v and %v: %v, want %v", test.why, test.a, test.b, got, test.want)
		}
		if got := test.b.Same(test.a); got != test.want {
			t.Errorf("%s, turned round: %v, want %v", test.why, got, test.want)
		}
	}
}

func TestErrorsSayWhatToDo(t *testing.T) {
	since := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, test := range []struct {
		err  error
		want string
	}{
		{
			&Blocked{Databases: []string{"app", "ledger"}, Waited: 5*time.Second + 400*time.Microsecond, Transactions: []Transaction{
				{Database: "app", User: "bob", Client: "127.0.0.1:40000", Application: "psql", ServerPID: 77, Since: since},
				{Database: "ledger", User: "eve"},
			}},
			`pause of app, ledger did not complete within 5s: 2 open: user bob in database app, client 127.0.0.1:40000, application "psql", backend pid 77, last request at 03:04:05; user eve in database ledger. Clients continue; let these transactions end or terminate their backends, then try again`,
		},
		{&NotPaused{Databases: []string{"app"}}, "app not paused: nothing was moved; pause first"},
		{
			&NotSwitchable{Problems: []Problem{{"it is so", "do this"}, {"it is also so", "do that"}}},
			"it is so: do this; it is also so: do that",
		},
		{
			&Unreachable{Endpoint: "PgBouncer's console at db1:6432", Err: errors.New("connection refused"), Remedy: "start PgBouncer"},
			"PgBouncer's console at db1:6432 cannot be reached: connection refused: start PgBouncer",
		},
	} {
		if got := test.err.Error(); got != test.want {
			t.Errorf("got  %s\nwant %s", got, test.want)
		}
	}
}
