package postmaster

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pgleap/pgleap/internal/pgbin"
	"github.com/pgleap/pgleap/internal/pgtest"
	"github.com/pgleap/pgleap/internal/postgres"
	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/internal/upgrade/step"
)

func TestDiscoverAndInspect(t *testing.T) {
	for _, major := range pgtest.Versions(t) {
		program := "postgres"
		if exists(filepath.Join(pgtest.Bindir(t, major), "postmaster")) {
			program = "postmaster"
		}
		cluster := pgtest.Start(t, major, pgtest.HBA(peer), pgtest.StartedAs(program))
		onlyPostgres(t, cluster)
		h := newHost(t)
		want := upgrade.Cluster{
			Host: "here", Bindir: realPath(cluster.Bindir), Pgdata: cluster.Pgdata, SocketDir: cluster.SocketDir, Port: cluster.Port,
			Owner: cluster.Owner, Manager: upgrade.ManagerPgCtl,
		}
		var err error
		if want.Version, err = pgbin.Version(t.Context(), h.runner, cluster.Bindir); err != nil {
			t.Fatal(err)
		}
		found := discover(t, h, cluster.Pgdata)
		if diff := cmp.Diff(step.Discovered{Cluster: want, Running: true}, found); diff != "" {
			t.Errorf("discovered %d (-want +got):\n%s", major, diff)
		}
		want.ConfigFile = filepath.Join(cluster.Pgdata, "postgresql.conf")
		want.HBAFile = filepath.Join(cluster.Pgdata, "pg_hba.conf")
		want.IdentFile = filepath.Join(cluster.Pgdata, "pg_ident.conf")
		want.Superuser = "postgres"
		control, err := pgbin.PgControldata(t.Context(), h.self(), cluster.Bindir, cluster.Pgdata)
		if err != nil {
			t.Fatal(err)
		}
		want.SystemIdentifier = control.SystemIdentifier
		byPgdata := inspect(t, h, cluster)
		if diff := cmp.Diff(want, byPgdata); diff != "" {
			t.Errorf("inspected %d (-want +got):\n%s", major, diff)
		}
		if pid, running := h.Running(byPgdata); !running || pid != cluster.Pid() {
			t.Errorf("%d, started as %s, runs: %t, with pid %d", major, program, running, pid)
		}
		byPort, err := h.Inspect(t.Context(), step.InspectArgs{Port: cluster.Port, Superuser: "postgres"})
		if err != nil || byPort != byPgdata {
			t.Errorf("inspected by port: %+v, %v", byPort, err)
		}
		conn, err := postgres.Connect(t.Context(), h.Login(byPgdata, "template1"))
		if err != nil {
			t.Fatal(err)
		}
		conn.Close(t.Context())
	}
}

// discover finds one cluster among those of this machine.
func discover(t *testing.T, h *Host, pgdata string) step.Discovered {
	t.Helper()
	all, err := h.Discover(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var found []step.Discovered
	for _, d := range all {
		if d.Cluster.Pgdata == pgdata {
			found = append(found, d)
		}
	}
	if len(found) != 1 {
		t.Fatalf("%s is found %d times among %+v", pgdata, len(found), all)
	}
	return found[0]
}

func TestInspectFindsABootstrapSuperuserOfAnotherName(t *testing.T) {
	cluster := pgtest.Start(t, 15, pgtest.Superuser("boss"))
	cluster.Exec(t, "postgres", "create role postgres login superuser")
	if got := inspect(t, newHost(t), cluster).Superuser; got != "boss" {
		t.Errorf("superuser %q, want boss", got)
	}
	if err := os.WriteFile(filepath.Join(cluster.Pgdata, "pg_hba.conf"), []byte(peer), 0o600); err != nil {
		t.Fatal(err)
	}
	onlyPostgres(t, cluster)
	cluster.Restart(t)
	_, err := newHost(t).Inspect(t.Context(), step.InspectArgs{Pgdata: cluster.Pgdata})
	wantRefusal(t, err, "as its superuser boss", `"local all boss peer map=pgleap"`)
}

func TestInspectRefuses(t *testing.T) {
	h := newHost(t)
	cluster := pgtest.Start(t, 15, pgtest.HBA("local all postgres reject\nhost all all 127.0.0.1/32 trust\n"))
	onlyPostgres(t, cluster)
	cluster.Exec(t, "postgres", "create role app login")
	_, err := h.Inspect(t.Context(), step.InspectArgs{Pgdata: cluster.Pgdata})
	wantRefusal(t, err, "pg_hba.conf rejects connection", `"local all postgres peer"`)

	cluster.Stop(t)
	_, err = h.Inspect(t.Context(), step.InspectArgs{Pgdata: cluster.Pgdata})
	wantRefusal(t, err, "is not running", "start it")
	_, err = h.Inspect(t.Context(), step.InspectArgs{Port: cluster.Port})
	wantRefusal(t, err, "no PostgreSQL runs on port "+strconv.Itoa(cluster.Port), "start it")
	_, err = h.Inspect(t.Context(), step.InspectArgs{Pgdata: t.TempDir()})
	wantRefusal(t, err, "is not a PostgreSQL data directory", "discover")
	_, err = h.Inspect(t.Context(), step.InspectArgs{Pgdata: "data"})
	wantRefusal(t, err, "not an absolute path", "whole path")
	_, err = h.Inspect(t.Context(), step.InspectArgs{})
	wantRefusal(t, err, "no cluster is named", "port")
}

func TestInspectRefusesAStandbyAndAnyRole(t *testing.T) {
	h := newHost(t)
	cluster := pgtest.Start(t, 17)
	cluster.Exec(t, "postgres", "create role app login")
	_, err := h.Inspect(t.Context(), step.InspectArgs{Pgdata: cluster.Pgdata, Superuser: "app"})
	wantRefusal(t, err, "app is not a superuser", "postgres")

	cluster.Exec(t, "template1", "drop database postgres")
	_, err = h.Inspect(t.Context(), step.InspectArgs{Pgdata: cluster.Pgdata})
	wantRefusal(t, err, "the database postgres is missing", "CREATE DATABASE postgres")
	cluster.Exec(t, "template1", "create database postgres")

	cluster.Stop(t)
	if err := os.WriteFile(filepath.Join(cluster.Pgdata, "standby.signal"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	cluster.Restart(t)
	_, err = h.Inspect(t.Context(), step.InspectArgs{Pgdata: cluster.Pgdata})
	wantRefusal(t, err, "is a standby", "primary")
	if got := discover(t, h, cluster.Pgdata).Problem; got != "is a standby: upgrade its primary" {
		t.Errorf("problem %q", got)
	}
}

func TestParseStatus(t *testing.T) {
	got := parseStatus("Name:\tpostgres\nUmask:\t0077\nPid:\t12\nPPid:\t1\nUid:\t0\t101\t101\t101\n")
	if want := (status{name: "postgres", parent: 1}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

func FuzzParseStatus(f *testing.F) {
	f.Add("Name:\tpostgres\nPPid:\t1\nUid:\t0\t101\t101\t101\n")
	f.Fuzz(func(_ *testing.T, content string) { parseStatus(content) })
}

func TestSocketDir(t *testing.T) {
	for dirs, want := range map[string]string{
		"":                      "",
		"/run/postgresql":       "/run/postgresql",
		"/run/postgresql, /tmp": "/run/postgresql",
		"sockets":               "/d/sockets",
		"@abstract":             "@abstract",
	} {
		if got := socketDir(dirs, "/d"); got != want {
			t.Errorf("socketDir(%q) = %q, want %q", dirs, got, want)
		}
	}
}
