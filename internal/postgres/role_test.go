package postgres_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/pgleap/pgleap/internal/pgtest"
	"github.com/pgleap/pgleap/internal/postgres"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// TestBarLogins: nobody but us can log in, nobody can change that until it is permitted, and all get
// their LOGIN back, but for a role that is gone.
func TestBarLogins(t *testing.T) {
	t.Parallel()
	for _, major := range pgtest.Versions(t) {
		c := pgtest.Start(t, major)
		c.Exec(t, "postgres", `CREATE ROLE "odd ""role" LOGIN`, "CREATE ROLE gone LOGIN", "CREATE ROLE nologin")
		stranger := c.Connect(t, "postgres")
		must(t, "make role", postgres.EnsureRole(t.Context(), stranger, verifier(t, "x")))
		conn := ours(t, c)
		roles, err := postgres.LoginRoles(t.Context(), conn)
		must(t, "list roles", err)
		if diff := cmp.Diff([]string{"gone", `odd "role`, "postgres"}, roles); diff != "" {
			t.Errorf("login roles (-want +got):\n%s", diff)
		}
		must(t, "bar logins", postgres.BarLogins(t.Context(), conn, roles))
		if entered, err := pgx.Connect(t.Context(), c.DSN("postgres")); !postgres.IsCode(err, "28000") {
			t.Errorf("log in while barred: %v, %v", entered, err)
		}
		_, err = stranger.Exec(t.Context(), `SET lock_timeout = '20ms'; ALTER ROLE "odd ""role" LOGIN`)
		if !postgres.IsCode(err, "55P03") {
			t.Errorf("allow a role to log in while roles are locked: %v", err)
		}
		must(t, "permit role changes", postgres.PermitRoleChanges(t.Context(), conn))
		_, err = stranger.Exec(t.Context(), "DROP ROLE gone")
		must(t, "drop a role", err)
		twice(t, "permit logins", func() error { return postgres.PermitLogins(t.Context(), conn, roles) })
		left, err := postgres.LoginRoles(t.Context(), conn)
		must(t, "list roles", err)
		if diff := cmp.Diff([]string{`odd "role`, "postgres"}, left); diff != "" {
			t.Errorf("login roles (-want +got):\n%s", diff)
		}
	}
}

// Who may create roles must not become a superuser by making the role before pgleap does.
func TestRoleOfSomebodyElse(t *testing.T) {
	t.Parallel()
	for _, major := range pgtest.Versions(t) {
		c := pgtest.Start(t, major)
		c.Exec(t, "postgres", "CREATE ROLE mallory LOGIN CREATEROLE")
		for name, prepare := range map[string][]string{
			"no superuser": {"SET ROLE mallory", "CREATE ROLE pgleap", "COMMENT ON ROLE pgleap IS 'pgleap: mine'", "RESET ROLE"},
			"has members":  {"CREATE ROLE pgleap SUPERUSER", "GRANT pgleap TO mallory"},
		} {
			c.Exec(t, "postgres", prepare...)
			err := postgres.EnsureRole(t.Context(), c.Connect(t, "postgres"), verifier(t, "x"))
			if _, refused := errors.AsType[*upgrade.Refused](err); !refused {
				t.Errorf("%d, %s: %v", major, name, err)
			}
			c.Exec(t, "postgres", "DROP ROLE pgleap")
		}
		conn := c.Connect(t, "postgres")
		twice(t, "make role", func() error { return postgres.EnsureRole(t.Context(), conn, verifier(t, "x")) })
	}
}

// TestEndSessions ends those of our role with that name, and no others.
func TestEndSessions(t *testing.T) {
	t.Parallel()
	c := pgtest.Start(t, pgtest.Versions(t)[0])
	must(t, "make role", postgres.EnsureRole(t.Context(), c.Connect(t, "postgres"), verifier(t, "x")))
	named := login(c)
	named.Settings = map[string]string{"application_name": "one of us"}
	victim, err := postgres.Connect(t.Context(), named)
	must(t, "connect", err)
	spared := ours(t, c)
	config, err := pgx.ParseConfig(c.DSN("postgres") + "&application_name=one%20of%20us")
	must(t, "read address", err)
	stranger, err := pgx.ConnectConfig(t.Context(), config)
	must(t, "connect", err)
	defer stranger.Close(t.Context())
	must(t, "end sessions", postgres.EndSessions(t.Context(), ours(t, c), "one of us"))
	for name, conn := range map[string]*pgx.Conn{"of another name": spared, "of another role": stranger} {
		if err := conn.Ping(t.Context()); err != nil {
			t.Errorf("a session %s was ended: %v", name, err)
		}
	}
	if err := victim.Ping(t.Context()); err == nil {
		t.Error("the session lives")
	}
}

// TestPasswordIsNotLogged: whatever the server logs, the verifier is not in it.
func TestPasswordIsNotLogged(t *testing.T) {
	t.Parallel()
	for _, major := range pgtest.Versions(t) {
		c := pgtest.Start(t, major, pgtest.Config(map[string]string{
			"log_statement": "all", "log_duration": "on", "log_min_duration_statement": "0", "log_min_error_statement": "info",
		}))
		for range 2 { // created, then altered
			must(t, "make role", postgres.EnsureRole(t.Context(), c.Connect(t, "postgres"), verifier(t, "x")))
		}
		c.Exec(t, "postgres", "SELECT 'this is logged'")
		log, err := os.ReadFile(filepath.Join(filepath.Dir(c.Pgdata), "server.log"))
		must(t, "read log", err)
		if !strings.Contains(string(log), "this is logged") || strings.Contains(string(log), "SCRAM-SHA-256$") {
			t.Errorf("PostgreSQL %d logged:\n%s", major, log)
		}
	}
}
