package postmaster

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pgleap/pgleap/internal/pgbin"
	"github.com/pgleap/pgleap/internal/pgtest"
	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/internal/upgrade/step"
)

// sourceIn is a source as Inspect would have found it; ChooseTarget never asks it.
func sourceIn(t *testing.T, pgdata string) upgrade.Cluster {
	t.Helper()
	owner := "postgres"
	if os.Geteuid() != 0 {
		info, err := os.Stat(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		owner, _ = ownerOf(info)
	}
	return upgrade.Cluster{
		Host: "here", Version: 150018, Bindir: "/b", Pgdata: pgdata, SocketDir: scratch(t, owner),
		Port: pgtest.FreePort(t), Owner: owner, Superuser: "postgres", Manager: upgrade.ManagerPgCtl,
	}
}

func TestChooseTarget(t *testing.T) {
	h := newHost(t)
	source := sourceIn(t, "")
	dir := scratch(t, source.Owner)
	source.Pgdata = mkdir(t, filepath.Join(dir, "15", "main"), source.Owner)
	want := upgrade.Cluster{
		Host: "here", Owner: source.Owner, Superuser: "postgres", SocketDir: source.SocketDir, Manager: upgrade.ManagerPgCtl,
		Bindir: realPath(pgtest.Bindir(t, 17)), Pgdata: filepath.Join(dir, "17", "main"),
	}
	var err error
	if want.Version, err = pgbin.Version(t.Context(), h.runner, want.Bindir); err != nil {
		t.Fatal(err)
	}
	got, err := h.ChooseTarget(t.Context(), step.ChooseTargetArgs{Source: source, Major: 17})
	if err != nil {
		t.Fatal(err)
	}
	if got.Port <= source.Port {
		t.Errorf("port %d is not above the source's %d", got.Port, source.Port)
	}
	want.Port = got.Port
	want.ConfigFile = filepath.Join(want.Pgdata, "postgresql.conf")
	want.HBAFile = filepath.Join(want.Pgdata, "pg_hba.conf")
	want.IdentFile = filepath.Join(want.Pgdata, "pg_ident.conf")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if exists(filepath.Join(dir, "17")) {
		t.Error("ChooseTarget made something")
	}
}

func TestChooseTargetTakesTheFirstFreeDirectory(t *testing.T) {
	h := newHost(t)
	source := sourceIn(t, "")
	dir := scratch(t, source.Owner)
	for _, test := range []struct{ source, taken, want string }{
		{"15/main", "", "17/main"},
		{"15/main", "17/main/PG_VERSION", "17/main_pgleap"},
		{"15/main", "17/main_pgleap.pgleap/clone", "17/main_pgleap2"},
		{"pg/data", "", "pg/data-17"},
		{"pg/data", "pg/data-17/x", "pg/data-17_pgleap"},
		{"15/15", "", "15/17"},
	} {
		source.Pgdata = mkdir(t, filepath.Join(dir, test.source), source.Owner)
		if test.taken != "" {
			mkdir(t, filepath.Join(dir, test.taken), source.Owner)
		}
		got, err := h.ChooseTarget(t.Context(), step.ChooseTargetArgs{Source: source, Major: 17})
		if err != nil || got.Pgdata != filepath.Join(dir, test.want) {
			t.Errorf("target of %s is %s, %v; want %s", test.source, got.Pgdata, err, test.want)
		}
	}
}

func TestChooseTargetRefuses(t *testing.T) {
	h := newHost(t)
	source := sourceIn(t, "")
	dir := scratch(t, source.Owner)
	source.Pgdata = mkdir(t, filepath.Join(dir, "data"), source.Owner)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	taken := listener.Addr().(*net.TCPAddr).Port
	free := pgtest.FreePort(t)
	mkdir(t, filepath.Join(source.SocketDir, fmt.Sprintf(".s.PGSQL.%d", free)), source.Owner)
	full := mkdir(t, filepath.Join(dir, "full"), source.Owner)
	mkdir(t, filepath.Join(full, "x"), source.Owner)
	hidden := filepath.Join(t.TempDir(), "x")
	foreign := filepath.Join(dir, "foreign")
	if err := os.Mkdir(foreign, 0o755); err != nil {
		t.Fatal(err)
	}

	tests := []struct {
		name           string
		args           step.ChooseTargetArgs
		reason, remedy string
	}{
		{"an older version", step.ChooseTargetArgs{Major: 13}, "13 is not newer than the source's, 15.18", "choose 16 or later"},
		{"the same version", step.ChooseTargetArgs{Major: 15}, "15 is not newer", "choose 16"},
		{"a version that is not installed", step.ChooseTargetArgs{Major: 42}, "PostgreSQL 42 is not installed", "apt-get install postgresql-42"},
		{"a port that somebody listens on", step.ChooseTargetArgs{Major: 17, Port: taken}, "is taken: somebody listens", "another port"},
		{"a port with a socket", step.ChooseTargetArgs{Major: 17, Port: free}, ".s.PGSQL", "another port"},
		{"a port of root's", step.ChooseTargetArgs{Major: 17, Port: 80}, "cannot listen on port 80", "1024"},
		{"a directory that is not empty", step.ChooseTargetArgs{Major: 17, Pgdata: full}, "is not empty", "remove what is in it"},
		{"a relative directory", step.ChooseTargetArgs{Major: 17, Pgdata: "x"}, "not an absolute path", "whole path"},
		{"a directory in the source", step.ChooseTargetArgs{Major: 17, Pgdata: filepath.Join(source.Pgdata, "x")}, "within the source's", "outside"},
	}
	if os.Geteuid() == 0 {
		tests = append(tests, []struct {
			name           string
			args           step.ChooseTargetArgs
			reason, remedy string
		}{
			{"a directory of another user", step.ChooseTargetArgs{Major: 17, Pgdata: foreign}, "belongs to root", "chown postgres"},
			{"a directory that the owner cannot reach", step.ChooseTargetArgs{Major: 17, Pgdata: hidden}, "cannot reach", "another one"},
		}...)
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			test.args.Source = source
			_, err := h.ChooseTarget(t.Context(), test.args)
			wantRefusal(t, err, test.reason, test.remedy)
		})
	}
}

func TestIncompleteInstallationIsRefusedByName(t *testing.T) {
	h := newHost(t)
	bindir := mkdir(t, filepath.Join(scratch(t, sourceIn(t, "").Owner), "bin"), sourceIn(t, "").Owner)
	script := "#!/bin/sh\necho 'postgres (PostgreSQL) 42.1'\n"
	if err := os.WriteFile(filepath.Join(bindir, "postgres"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	h.prefixes = []string{filepath.Dir(bindir)}
	_, err := h.ChooseTarget(t.Context(), step.ChooseTargetArgs{Source: sourceIn(t, "/x/15/main"), Major: 42})
	wantRefusal(t, err, bindir+" lacks initdb, pg_ctl", "client packages of PostgreSQL 42")
}
