package pgbouncer

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/pgleap/pgleap/internal/endpoint"
	"github.com/pgleap/pgleap/internal/endpoint/endpointtest"
	"github.com/pgleap/pgleap/internal/pgtest"
	"github.com/pgleap/pgleap/internal/run"
)

// starter runs programs as an operating system user.
type starter struct {
	runner *run.Runner
	as     run.User
}

func (s starter) Start(ctx context.Context, path string, args []string) error {
	_, err := s.runner.Run(ctx, run.Command{Path: path, Args: args, As: s.as})
	return err
}

const scramOnly = "local all all trust\nhost all postgres 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 scram-sha-256\n"

func TestOwn(t *testing.T) {
	source, target := pgtest.Pair(t, 15, 15, pgtest.HBA(scramOnly))
	users := appUsers(t, source, target)
	own := newOwn(t, source)
	must(t, own.Start(t.Context()))
	without, err := own.RefreshUsers(t.Context(), users)
	must(t, err)
	if diff := cmp.Diff([]string{"nopassword"}, without); diff != "" {
		t.Errorf("roles that cannot come through: %s", diff)
	}
	addresses := []endpoint.Address{{Host: "127.0.0.1", Port: source.Port}, {Host: "127.0.0.1", Port: target.Port}}
	driver := New(own.Adopt(addresses...))
	must(t, driver.Check(t.Context()))

	t.Run("clients prove who they are", func(t *testing.T) {
		if got, err := ownPort(t, own, "app", "s3cret'\"%"); err != nil || got != source.Port {
			t.Errorf("port %d, %v", got, err)
		}
		for user, password := range map[string]string{"app": "wrong", "nopassword": "", "stranger": "x", consoleUser: "x"} {
			if _, err := ownPort(t, own, user, password); err == nil {
				t.Errorf("%s came in with %q", user, password)
			}
		}
		c := Console{Host: own.Dir, Port: own.ListenPort, User: "app", Password: "s3cret'\"%"}
		if _, err := openConsole(t.Context(), c); err == nil {
			t.Error("an application came to the console")
		}
	})
	t.Run("what was started twice runs once", func(t *testing.T) {
		before, err := own.Status(t.Context())
		must(t, err)
		must(t, own.Start(t.Context()))
		after, err := own.Status(t.Context())
		must(t, err)
		if before != after || !after.Running || after.PID == 0 || after.Version == "" {
			t.Errorf("status %+v, then %+v", before, after)
		}
	})
	t.Run("a switch outlasts a restart", func(t *testing.T) {
		s, err := driver.Open(t.Context())
		must(t, err)
		switchTo(t, s, addresses[1])
		s.Close()
		must(t, own.Stop(t.Context()))
		must(t, own.Stop(t.Context()))
		if status, err := own.Status(t.Context()); err != nil || status.Running {
			t.Errorf("after the stop: %+v %v", status, err)
		}
		must(t, os.WriteFile(own.pidfile(), fmt.Append(nil, os.Getpid()), 0o600)) // a number that another program has
		must(t, own.Start(t.Context()))
		if got, err := ownPort(t, own, "app", "s3cret'\"%"); err != nil || got != target.Port {
			t.Errorf("port %d, %v, want %d", got, err, target.Port)
		}
	})
	t.Run("secrets are nobody's", func(t *testing.T) {
		for _, path := range []string{own.userlist(), own.passfile(), own.ini()} {
			if mode := stat(t, path).Mode().Perm(); mode != 0o600 {
				t.Errorf("%s has mode %v", path, mode)
			}
		}
		if said := fmt.Sprintf("%v %+v", users, users); strings.Contains(said, "SCRAM") {
			t.Errorf("a secret is in %s", said)
		}
	})
}

// TestOwnConformance: with trust, as demonstrations have it.
func TestOwnConformance(t *testing.T) {
	t.Parallel()
	source, target := pgtest.Pair(t, 15, 15)
	endpointtest.Run(t, func(t *testing.T) endpointtest.Fixture {
		freshDatabases(t, source, target)
		own := newOwn(t, source)
		own.AuthType = "trust"
		must(t, own.Start(t.Context()))
		_, err := own.RefreshUsers(t.Context(), []User{{Name: "postgres"}})
		must(t, err)
		f := fixtureOf(nil, source, target)
		f.Connect = func(ctx context.Context, database string) (*pgx.Conn, error) {
			return connect(ctx, fmt.Sprintf("host=127.0.0.1 port=%d user=postgres dbname=%s sslmode=disable", own.ListenPort, database))
		}
		f.Driver = New(own.Adopt(f.SourceAddress, f.TargetAddress))
		return f
	})
}

func TestOwnRefuses(t *testing.T) {
	own := Own{Dir: filepath.Join("/tmp", strings.Repeat("long", 30)), ListenPort: 6432}
	if err := own.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "choose a shorter directory") {
		t.Errorf("start: %v", err)
	}
	if got := AuthType([]User{{"a", "SCRAM-SHA-256$x"}, {"b", "md5x"}}); got != "md5" {
		t.Errorf("auth type %s, want md5", got)
	}
	if got := AuthType([]User{{"a", "SCRAM-SHA-256$x"}, {"b", ""}}); got != "scram-sha-256" {
		t.Errorf("auth type %s, want scram-sha-256", got)
	}
}

// newOwn makes a PgBouncer that is stopped when the test ends.
func newOwn(t *testing.T, source *pgtest.Cluster) Own {
	t.Helper()
	binary, err := exec.LookPath("pgbouncer")
	if err != nil {
		binary = "/usr/sbin/pgbouncer" // Debian's place; fixtures that use pgtest have skipped without it
	}
	as, err := run.LookupUser(source.Owner)
	must(t, err)
	dir, err := os.MkdirTemp("/tmp", "pgleap-own-") // short: it holds a socket
	must(t, err)
	own := Own{
		Dir: dir, UID: as.UID, GID: as.GID, Binary: binary,
		Starter:       starter{run.New(slog.New(slog.NewTextHandler(t.Output(), nil))), as},
		ListenAddress: "127.0.0.1", ListenPort: pgtest.FreePort(t),
		Target: endpoint.Address{Host: "127.0.0.1", Port: source.Port},
	}
	t.Cleanup(func() {
		if err := own.Stop(context.WithoutCancel(t.Context())); err != nil {
			t.Errorf("stop: %v", err)
		}
		if log, err := os.ReadFile(filepath.Join(dir, "pgbouncer.log")); err == nil && t.Failed() {
			t.Logf("log of pgbouncer (its end):\n%s", log[max(0, len(log)-20_000):])
		}
		_ = os.RemoveAll(dir)
	})
	return own
}

// appUsers makes the same roles with the same secrets in both clusters, as a physical clone has them.
func appUsers(t *testing.T, source, target *pgtest.Cluster) []User {
	t.Helper()
	source.Exec(t, "postgres", `create role app login password 's3cret''"%'`, `create role nopassword login`)
	var secret string
	must(t, source.Connect(t, "postgres").QueryRow(t.Context(), "select rolpassword from pg_authid where rolname = 'app'").Scan(&secret))
	target.Exec(t, "postgres", fmt.Sprintf("create role app login password '%s'", secret))
	return []User{{Name: "app", Secret: secret}, {Name: "nopassword"}}
}

// ownPort connects as a client, and tells where it landed.
func ownPort(t *testing.T, own Own, user, password string) (port int, err error) {
	t.Helper()
	dsn := url.URL{
		Scheme: "postgres", User: url.UserPassword(user, password), Path: "/postgres",
		Host: fmt.Sprintf("127.0.0.1:%d", own.ListenPort), RawQuery: "sslmode=disable",
	}
	c, err := connect(t.Context(), dsn.String())
	if err != nil {
		return 0, err
	}
	defer c.Close(t.Context()) //nolint:errcheck // it has answered
	return port, c.QueryRow(t.Context(), "select current_setting('port')::int").Scan(&port)
}
