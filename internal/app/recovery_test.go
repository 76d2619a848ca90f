package app

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgleap/pgleap/internal/control"
	"github.com/pgleap/pgleap/internal/pgtest"
	"github.com/pgleap/pgleap/internal/postgres"
	"github.com/pgleap/pgleap/internal/switchover"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// TestRecoveryNeedsNoRecord has a crash leave a switchover between fence and commit point: its source lets nobody in,
// and its PgBouncer lets clients wait.
func TestRecoveryNeedsNoRecord(t *testing.T) {
	versions := pgtest.Versions(t)
	source := pgtest.Start(t, versions[0])
	conn := source.Connect(t, "postgres")
	if err := postgres.EnsureRole(t.Context(), conn, "SCRAM-SHA-256$4096:c2FsdHNhbHQ=$AAAA:AAAA"); err != nil {
		t.Fatal(err)
	}
	source.Exec(t, "postgres", "CREATE ROLE keeper LOGIN", "CREATE DATABASE record OWNER keeper")
	bouncer := pgtest.PgBouncer(t, pgtest.Target{Name: "record", Cluster: source})
	crashed := func(t *testing.T) (stateDir string, journal *switchover.Journal) {
		t.Helper()
		dir := t.TempDir()
		journal = leaveSwitchover(t, dir, source, bouncer)
		source.Exec(t, "postgres", "ALTER ROLE keeper NOLOGIN")
		return dir, journal
	}
	// ended wants it undone: who keeps the record can log in again, through PgBouncer, too.
	ended := func(t *testing.T, journal *switchover.Journal) {
		t.Helper()
		if state, err := journal.Read(); err != nil || state.Stage != switchover.StageUndone {
			t.Errorf("the journal says %q, %v", state.Stage, err)
		}
		app, err := pgx.Connect(t.Context(), asKeeper(bouncer.Port))
		if err != nil {
			t.Fatalf("clients wait: %v", err)
		}
		app.Close(t.Context())
	}

	t.Run("that is behind the fence", func(t *testing.T) {
		dir, journal := crashed(t)
		c := configIn(dir)
		c.Catalog = asKeeper(source.Port)
		for _, major := range versions {
			c.PostgresPrefixes = append(c.PostgresPrefixes, filepath.Dir(filepath.Dir(pgtest.Bindir(t, major))))
		}
		s, err := Start(t.Context(), c, testLog(t))
		if err != nil {
			t.Fatal(err)
		}
		defer s.stop()
		ended(t, journal)
		refusesOwnCluster(t, s, source)
	})
	t.Run("that is down", func(t *testing.T) {
		dir, journal := crashed(t)
		c := configIn(dir)
		c.Catalog = asKeeper(pgtest.FreePort(t))
		_, err := Start(t.Context(), c, testLog(t))
		if err == nil || !strings.Contains(err.Error(), "connection refused") {
			t.Errorf("started: %v", err)
		}
		ended(t, journal)
	})
	t.Run("that is down, while it cannot end", func(t *testing.T) {
		dir, _ := crashed(t)
		source.Stop(t)
		defer source.Restart(t)
		endpoints := filepath.Join(dir, "agent", "endpoints")
		if err := os.MkdirAll(endpoints, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(endpoints, "orders.json"), []byte("no note"), 0o600); err != nil {
			t.Fatal(err)
		}
		c := configIn(dir)
		c.Catalog = asKeeper(pgtest.FreePort(t))
		// It goes on until it is stopped: when it has tried to come up, and looked after its PgBouncers.
		stopped, stop := context.WithTimeout(t.Context(), time.Minute)
		defer stop()
		wanted := &said{wanted: []string{"not started yet", "a PgBouncer is not as it should be"}, all: stop}
		if _, err := Start(stopped, c, slog.New(slog.NewTextHandler(wanted, nil))); err == nil {
			t.Error("it started")
		}
		if len(wanted.wanted) > 0 {
			t.Errorf("it did not say %q", wanted.wanted)
		}
	})
	t.Run("while it cannot end", func(t *testing.T) {
		dir, journal := crashed(t)
		stopped, stop := context.WithCancel(t.Context())
		defer stop()
		source.Stop(t)
		s, err := Start(stopped, configIn(dir), testLog(t))
		if err != nil {
			t.Fatalf("a recovery that has to wait keeps the server from coming up: %v", err)
		}
		defer s.stop()
		if state, err := journal.Read(); err != nil || state.Stage.Ended() {
			t.Errorf("the journal says %q, %v", state.Stage, err)
		}
	})
}

// refusesOwnCluster wants a server to know that its own record is in a cluster.
func refusesOwnCluster(t *testing.T, s *Server, cluster *pgtest.Cluster) {
	t.Helper()
	who := control.Actor{Name: "dba"}
	instance, err := s.control.AddInstance(t.Context(), who, control.AddRequest{Port: cluster.Port, Choice: control.EndpointNone})
	if err != nil {
		t.Fatal(err)
	}
	versions := pgtest.Versions(t)
	request := control.UpgradeRequest{Instance: instance.ID, Target: upgrade.Major(versions[len(versions)-1]), Mode: upgrade.InPlace}
	task, err := s.control.Upgrade(t.Context(), who, request)
	if err == nil || !strings.Contains(err.Error(), "pgleap's own catalogue is in instance "+instance.ID) {
		t.Errorf("upgrade %d of the cluster that the record is in: %v", task.Number, err)
	}
}

// said is a log that waits for words.
type said struct {
	mu     sync.Mutex
	wanted []string
	all    func()
}

func (s *said) Write(line []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wanted = slices.DeleteFunc(s.wanted, func(words string) bool { return strings.Contains(string(line), words) })
	if len(s.wanted) == 0 {
		s.all()
	}
	return len(line), nil
}

// asKeeper is the record's URL, of a server that need not be there.
func asKeeper(port int) string {
	u := url.URL{Scheme: "postgres", User: url.User("keeper"), Host: fmt.Sprintf("127.0.0.1:%d", port), Path: "/record", RawQuery: "sslmode=disable"}
	return u.String()
}

// leaveSwitchover leaves a journal that says that a switchover has begun.
func leaveSwitchover(t *testing.T, stateDir string, source *pgtest.Cluster, bouncer *pgtest.Bouncer) *switchover.Journal {
	t.Helper()
	dir := filepath.Join(stateDir, "agent", "switchovers")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	plan := upgrade.Plan{
		Number: 1, Instance: "orders", Mode: upgrade.ZeroDowntime,
		Source: upgrade.Cluster{Pgdata: source.Pgdata, Port: source.Port, SocketDir: source.SocketDir},
		Target: upgrade.Cluster{Pgdata: source.Pgdata + "-17", Port: pgtest.FreePort(t)},
		Endpoint: upgrade.Endpoint{
			Driver: upgrade.PgBouncer, Ini: bouncer.IniPath,
			Console: upgrade.Address{Host: "127.0.0.1", Port: bouncer.Port}, ConsoleUser: "pgbouncer",
		},
	}
	journal := switchover.OpenJournal(filepath.Join(dir, "1-id-1.journal"), time.Now)
	intent := switchover.Intent{
		Plan: plan, Databases: []string{"record"}, LoginRoles: []string{"keeper"}, SourceHost: "127.0.0.1", TargetHost: "127.0.0.1",
	}
	if err := journal.Begin(t.Context(), intent); err != nil {
		t.Fatal(err)
	}
	return journal
}
