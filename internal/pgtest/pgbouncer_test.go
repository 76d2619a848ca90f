package pgtest

import (
	"strings"
	"testing"
)

func TestPgBouncerServesClustersAndConsole(t *testing.T) {
	t.Parallel()
	c := Start(t, Versions(t)[0])
	c.CreateDatabase(t, "app")
	c.CreateDatabase(t, "other")
	c.Exec(t, "postgres", `create role alice login`, `create role "bob ""the"" builder" login`)
	b := PgBouncer(t, Target{Name: "app", Cluster: c}, Target{Name: "renamed", Cluster: c, Database: "other"})

	for _, test := range []struct{ user, database, want string }{
		{"postgres", "app", "postgres in app"},
		{"alice", "app", "alice in app"},
		{`bob "the" builder`, "renamed", `bob "the" builder in other`},
	} {
		conn := b.Connect(t, test.user, test.database)
		if got := value(t, conn, "select current_user || ' in ' || current_database()"); got != test.want {
			t.Errorf("%s at %s is %q, want %q", test.user, test.database, got, test.want)
		}
	}

	admin := b.Admin(t)
	if version := value(t, admin, "show version"); !strings.HasPrefix(version, "PgBouncer ") {
		t.Errorf("show version = %q", version)
	}
	for _, command := range []string{"pause app", "resume app", "reload"} {
		if _, err := admin.Exec(t.Context(), command); err != nil {
			t.Errorf("%s: %v", command, err)
		}
	}
}

func TestPgBouncerIsNotLeftBehind(t *testing.T) {
	t.Parallel()
	c := Start(t, Versions(t)[0])
	var left *Bouncer
	t.Run("a test with a PgBouncer", func(t *testing.T) { left = PgBouncer(t, Target{Name: "*", Cluster: c}) })
	if left == nil {
		t.Skip("the PgBouncer's test was skipped")
	}
	if alive(left.Pid) {
		t.Errorf("process %d still runs", left.Pid)
	}
}
