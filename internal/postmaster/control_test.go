package postmaster

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pgleap/pgleap/internal/pgbin"
	"github.com/pgleap/pgleap/internal/pgtest"
	"github.com/pgleap/pgleap/internal/upgrade"
)

func TestStopAndStartDoNothingTwice(t *testing.T) {
	cluster := pgtest.Start(t, 17)
	h := newHost(t)
	c := inspect(t, h, cluster)
	for range 2 {
		if err := h.Start(t.Context(), c, "", time.Minute); err != nil {
			t.Fatal(err)
		}
	}
	if pid, running := h.Running(c); !running || pid != cluster.Pid() {
		t.Errorf("running: %d, %t; want %d", pid, running, cluster.Pid())
	}
	if err := h.Reload(t.Context(), c); err != nil {
		t.Error(err)
	}
	for range 2 {
		if err := h.Stop(t.Context(), c, pgbin.StopFast, time.Minute); err != nil {
			t.Fatal(err)
		}
	}
	if pid, running := h.Running(c); running {
		t.Errorf("runs as %d after Stop", pid)
	}
	if err := h.Start(t.Context(), c, "", time.Minute); err != nil {
		t.Fatal(err)
	}
	if err := h.Stop(t.Context(), c, pgbin.StopImmediate, time.Minute); err != nil {
		t.Fatal(err)
	}
}

// A server that somebody starts as soon as the former one has stopped is not taken for that one.
func TestStopSeesAnotherServer(t *testing.T) {
	cluster := pgtest.Start(t, 17)
	h := newHost(t)
	c := inspect(t, h, cluster)
	former, pgCtl := cluster.Pid(), filepath.Join(c.Bindir, "pg_ctl")
	c.Bindir = scratch(t, cluster.Owner)
	script := fmt.Sprintf("#!/bin/sh\n%s \"$@\" && %s start -w -s -D %s -l /dev/null\n", pgCtl, pgCtl, c.Pgdata)
	if err := os.WriteFile(filepath.Join(c.Bindir, "pg_ctl"), []byte(script), 0o755); err != nil { //nolint:gosec // it is to be run
		t.Fatal(err)
	}
	again, is := errors.AsType[*StartedAgain](h.Stop(t.Context(), c, pgbin.StopFast, time.Minute))
	if pid, running := h.Running(c); !is || !running || again.PID != pid || pid == former {
		t.Errorf("it was told %+v; %d runs: %t", again, pid, running)
	}
	c.Bindir = filepath.Dir(pgCtl)
	if err := h.Stop(t.Context(), c, pgbin.StopImmediate, time.Minute); err != nil {
		t.Fatal(err)
	}
}

// The configuration may be elsewhere, as on Debian, without anything of Debian's.
func TestStartWithConfigurationElsewhere(t *testing.T) {
	cluster := pgtest.Start(t, 15)
	h := newHost(t)
	c := inspect(t, h, cluster)
	cluster.Stop(t)
	dir := scratch(t, cluster.Owner)
	for _, file := range []*string{&c.ConfigFile, &c.HBAFile, &c.IdentFile} {
		moved := filepath.Join(dir, filepath.Base(*file))
		if err := os.Rename(*file, moved); err != nil {
			t.Fatal(err)
		}
		*file = moved
	}
	if err := h.Start(t.Context(), c, filepath.Join(dir, "log"), time.Minute); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := h.Stop(t.Context(), c, pgbin.StopFast, time.Minute); err != nil {
			t.Error(err)
		}
	}()
	if again := inspect(t, h, cluster); again != c {
		t.Errorf("after the start: %+v, want %+v", again, c)
	}
}

// A crash leaves a lock file behind, and its pid may belong to somebody else by now.
func TestStaleLockFileIsNotARunningCluster(t *testing.T) {
	cluster := pgtest.Start(t, 17)
	other := pgtest.Start(t, 15)
	h := newHost(t)
	c := inspect(t, h, cluster)
	cluster.Stop(t)
	lock := filepath.Join(cluster.Pgdata, "postmaster.pid")
	for who, pid := range map[string]int{"this process": os.Getpid(), "another cluster": other.Pid(), "nobody": 1 << 22} {
		content := fmt.Sprintf("%d\n%s\n%d\n%d\n%s\n\n\nready\n", pid, cluster.Pgdata, time.Now().Unix(), cluster.Port, cluster.SocketDir)
		if err := os.WriteFile(lock, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, running := h.Running(c); running {
			t.Errorf("a lock file with the pid of %s counts as running", who)
		}
		if err := h.Stop(t.Context(), c, pgbin.StopFast, time.Minute); err != nil {
			t.Errorf("stop with the pid of %s: %v", who, err)
		}
	}
	if err := os.Remove(lock); err != nil {
		t.Fatal(err)
	}
}

func TestServiceOf(t *testing.T) {
	for cgroup, want := range map[string]string{
		"0::/system.slice/postgresql-15.service\n": "postgresql-15.service",
		"12:pids:/x.service\n1:name=systemd:/system.slice/system-postgresql.slice/postgresql@15-main.service\n0::/\n": "postgresql@15-main.service",
		"0::/user.slice/user-1000.slice/user@1000.service/app.slice/x.service\n":                                      "",
		"0::/system.slice/docker-0123456789.scope\n":                                                                  "",
		"0::/\n":  "",
		"garbage": "",
	} {
		if got := serviceOf(cgroup); got != want {
			t.Errorf("serviceOf(%q) = %q, want %q", cgroup, got, want)
		}
	}
}

func TestStartFailureTellsWhy(t *testing.T) {
	cluster := pgtest.Start(t, 17)
	h := newHost(t)
	c := inspect(t, h, cluster)
	cluster.Stop(t)
	conf, err := os.OpenFile(c.ConfigFile, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer conf.Close()
	if _, err := conf.WriteString("no_such_setting = 1\n"); err != nil {
		t.Fatal(err)
	}
	err = h.Start(t.Context(), c, "", time.Minute)
	if err == nil || !strings.Contains(err.Error(), `unrecognized configuration parameter "no_such_setting"`) {
		t.Errorf("start: %v", err)
	}
}

func TestWithConfiguration(t *testing.T) {
	cluster := upgrade.Cluster{
		Pgdata: "/data", ConfigFile: "/etc/pg/postgresql.conf", HBAFile: "/etc/it's/pg_hba.conf", IdentFile: "/data/pg_ident.conf",
	}
	named := `-c 'config_file=/etc/pg/postgresql.conf' -c 'hba_file=/etc/it'\''s/pg_hba.conf'`
	for _, c := range []struct{ name, options, want string }{
		{"no options", "", named},
		{"others", `'-p' '5433'`, `'-p' '5433' ` + named},
		{"one of the files", `'-c' 'config_file=/etc/pg/postgresql.conf'`, `'-c' 'config_file=/etc/pg/postgresql.conf' -c 'hba_file=/etc/it'\''s/pg_hba.conf'`},
		{"both, from an earlier start", named, named},
		{"a path that depends on where it was said", `'-c' 'config_file=etc/postgresql.conf'`, `'-c' 'config_file=etc/postgresql.conf' ` + named},
		{"a file that only begins alike", `'-c' 'config_file=/etc/pg/postgresql.conf.old'`, `'-c' 'config_file=/etc/pg/postgresql.conf.old' ` + named},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := WithConfiguration(cluster, c.options); got != c.want {
				t.Errorf("got %s\nwant %s", got, c.want)
			}
		})
	}
	cluster.ConfigFile, cluster.HBAFile = "/data/postgresql.conf", ""
	if got := WithConfiguration(cluster, "'-p' '5433'"); got != "'-p' '5433'" {
		t.Errorf("with all files in the data directory: %s", got)
	}
}
