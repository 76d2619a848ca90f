package postmaster

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/pgleap/pgleap/internal/pgbin"
	"github.com/pgleap/pgleap/internal/pgtest"
	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/internal/upgrade/step"
)

// onDebian is a host whose postgresql-common keeps its configuration in a directory of the test's.
func onDebian(t *testing.T, owner string) *Host {
	t.Helper()
	h := newHost(t)
	if !exists(filepath.Join(h.debian.tools, "pg_ctlcluster")) {
		t.Skip("postgresql-common is not installed")
	}
	h.debian.conf, h.debian.logs = scratch(t, owner), scratch(t, owner)
	return h
}

// A data directory that knows nothing of Debian becomes a cluster that pg_ctlcluster starts and stops.
func TestRegisteredClusterIsStartedByPgCtlcluster(t *testing.T) {
	cluster := pgtest.Start(t, 15, pgtest.HBA(peer))
	onlyPostgres(t, cluster)
	h := onDebian(t, cluster.Owner)
	if realPath(cluster.Bindir) != h.debian.bindir(15) {
		t.Skip("Debian's own PostgreSQL 15 is not installed, and pg_ctlcluster knows no other")
	}
	c := inspect(t, h, cluster)
	cluster.Stop(t)
	c.Manager, c.Name = upgrade.ManagerPgCtlcluster, "made"
	for range 2 {
		if err := h.RegisterDebian(c); err != nil {
			t.Fatal(err)
		}
	}
	c.ConfigFile, c.HBAFile, c.IdentFile = h.debian.configFiles(15, "made")
	for _, file := range []string{c.ConfigFile, c.HBAFile, c.IdentFile} {
		if err := os.Rename(filepath.Join(c.Pgdata, filepath.Base(file)), file); err != nil {
			t.Fatal(err)
		}
	}
	appendTo(t, c.ConfigFile, "data_directory = '"+c.Pgdata+"'\n")
	down := discover(t, h, c.Pgdata)
	if down.Running || down.Cluster.Name != "made" || down.Cluster.Port != c.Port || !strings.Contains(down.Problem, "pg_ctlcluster 15 made start") {
		t.Errorf("discovered while down: %+v", down)
	}
	for range 2 {
		if err := h.Start(t.Context(), c, "", time.Minute); err != nil {
			t.Fatal(err)
		}
	}
	defer func() { _ = h.Stop(t.Context(), c, pgbin.StopImmediate, time.Minute) }() // after a failure
	if again := inspect(t, h, cluster); again != c {
		t.Errorf("inspected %+v\nwant %+v", again, c)
	}
	up := discover(t, h, c.Pgdata)
	if !up.Running || up.Problem != "" || up.Cluster.Manager != upgrade.ManagerPgCtlcluster || up.Cluster.Name != "made" {
		t.Errorf("discovered while up: %+v", up)
	}
	if err := h.UnregisterDebian(c); err == nil || !strings.Contains(err.Error(), "still runs") {
		t.Errorf("unregister a running cluster: %v", err)
	}
	for range 2 {
		if err := h.Stop(t.Context(), c, pgbin.StopFast, time.Minute); err != nil {
			t.Fatal(err)
		}
	}
	if err := h.UnregisterDebian(c); err != nil {
		t.Fatal(err)
	}
	if exists(filepath.Dir(c.ConfigFile)) || exists(h.debian.logfile(15, "made")) || exists(filepath.Join(h.debian.conf, "15")) {
		t.Error("something is left of the registration")
	}
}

func appendTo(t *testing.T, path, text string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(text); err != nil {
		t.Fatal(err)
	}
}

func TestUnregisterLeavesWhatOthersMade(t *testing.T) {
	source := sourceIn(t, "/x")
	h := onDebian(t, source.Owner)
	c := upgrade.Cluster{Manager: upgrade.ManagerPgCtlcluster, Version: 170011, Name: "main", Owner: source.Owner, Pgdata: "/x"}
	dir := mkdir(t, h.debian.confDir(17, "main"), source.Owner)
	start := filepath.Join(dir, "start.conf")
	if err := os.WriteFile(start, []byte("manual\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := h.RegisterDebian(c); err != nil {
		t.Fatal(err)
	}
	if err := h.UnregisterDebian(c); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(start)
	if err != nil || string(content) != "manual\n" {
		t.Errorf("start.conf of somebody else is %q, %v", content, err)
	}
}

// A target gets a name and a directory that nobody has, and pg_ctlcluster only if that can start it.
func TestChooseTargetOnDebian(t *testing.T) {
	source := sourceIn(t, "")
	h := onDebian(t, source.Owner)
	dir := scratch(t, source.Owner)
	source.Pgdata = mkdir(t, filepath.Join(dir, "15", "main"), source.Owner)
	source.Manager, source.Name = upgrade.ManagerPgCtlcluster, "main"
	args := step.ChooseTargetArgs{Source: source, Major: 17}
	got, err := h.ChooseTarget(t.Context(), args)
	if err != nil || got.Manager != upgrade.ManagerPgCtl || got.Name != "" {
		t.Errorf("target outside %s: %+v, %v", h.debian.lib, got, err)
	}
	h.debian.lib = scratch(t, source.Owner)
	mkdir(t, filepath.Join(h.debian.lib, "17"), source.Owner)
	if err := os.Symlink(pgtest.Bindir(t, 17), filepath.Join(h.debian.lib, "17", "bin")); err != nil {
		t.Fatal(err)
	}
	mkdir(t, h.debian.confDir(17, "main"), source.Owner)
	got, err = h.ChooseTarget(t.Context(), args)
	if err != nil || got.Manager != upgrade.ManagerPgCtlcluster || got.Name != "main_pgleap" || got.Pgdata != filepath.Join(dir, "17", "main_pgleap") ||
		got.ConfigFile != filepath.Join(h.debian.conf, "17", "main_pgleap", "postgresql.conf") {
		t.Errorf("target beside an existing one: %+v, %v", got, err)
	}
	args.Pgdata = filepath.Join(dir, "given")
	got, err = h.ChooseTarget(t.Context(), args)
	if err != nil || got.Name != "main_pgleap" || got.Pgdata != args.Pgdata {
		t.Errorf("target in a given directory: %+v, %v", got, err)
	}
}

// What postgresql-common's places would refuse when pg_upgrade is done is refused while the source serves.
func TestCheckRegisterOnDebian(t *testing.T) {
	owner := sourceIn(t, "").Owner
	h := newHost(t)
	h.debian.conf, h.debian.logs = scratch(t, owner), scratch(t, owner)
	conf := func(major, name string) string { return filepath.Join(h.debian.conf, major, name) }
	source := upgrade.Cluster{
		Manager: upgrade.ManagerPgCtlcluster, Version: 150018, Name: "main", Owner: owner,
		ConfigFile: filepath.Join(mkdir(t, conf("15", "main"), owner), "postgresql.conf"),
	}
	target := upgrade.Cluster{Manager: upgrade.ManagerPgCtlcluster, Version: 170011, Name: "main", Owner: owner}
	if err := h.CheckRegister(t.Context(), target, source); err != nil {
		t.Errorf("where everything can be written: %v", err)
	}
	for _, dir := range []string{h.debian.logs, conf("15", "main"), mkdir(t, conf("17", ""), owner)} {
		free := forbidWriting(t, dir)
		wantRefusal(t, h.CheckRegister(t.Context(), target, source), dir, "writable for "+owner)
		free()
	}
	if exists(conf("17", "main")) {
		t.Error("CheckRegister made something")
	}
	by := target
	by.Manager = upgrade.ManagerPgCtl
	free := forbidWriting(t, conf("17", ""))
	if err := h.CheckRegister(t.Context(), by, source); err != nil {
		t.Errorf("a target that is not registered: %v", err)
	}
	free()
}

// forbidWriting makes a directory one that this process cannot write to: root needs a file system for that.
func forbidWriting(t *testing.T, dir string) (allow func()) {
	t.Helper()
	if os.Geteuid() != 0 {
		if err := os.Chmod(dir, 0o555); err != nil {
			t.Fatal(err)
		}
		return func() { _ = os.Chmod(dir, 0o755) }
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_RDONLY, "size=1m"); err != nil {
		t.Skipf("mount a file system that cannot be written to: %v", err)
	}
	allow = sync.OnceFunc(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	t.Cleanup(allow)
	return allow
}
