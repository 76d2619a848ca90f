package onhost

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pgleap/pgleap/internal/pgbin"
	"github.com/pgleap/pgleap/internal/pgtest"
	"github.com/pgleap/pgleap/internal/run"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// privateServer is a server as pg_upgrade starts it on the source, which has no lock file before it is let go. Until then
// it is what it came from, pg_ctl's shell, or a server that has not come so far.
type privateServer struct {
	letGo io.WriteCloser
	ended chan error
}

func (b *upgradeBed) privateServer(s *settlement, as ...string) privateServer {
	b.Helper()
	script := fmt.Sprintf(`read -r line; exec "%s" -D "%s" -b -k "%s" -c listen_addresses=`,
		filepath.Join(b.source.Bindir, "postgres"), b.source.Pgdata, s.intent.Sockets)
	cmd := &exec.Cmd{
		Path: "/bin/sh", Dir: "/", Args: append([]string{as[0], "-c", script}, as[1:]...),
		SysProcAttr: &syscall.SysProcAttr{Setsid: true},
	}
	if os.Geteuid() == 0 {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(s.user.UID), Gid: uint32(s.user.GID)}
	}
	letGo, err := cmd.StdinPipe()
	b.must(err)
	b.must(cmd.Start())
	p := privateServer{letGo: letGo, ended: make(chan error, 1)}
	go func() { p.ended <- cmd.Wait() }()
	b.Cleanup(func() { _ = letGo.Close() })
	return p
}

// A server of a pg_upgrade that is gone may come to its lock file late: it is never taken for the source.
func TestInPlaceServerOfPgUpgradeComesLate(t *testing.T) {
	versions := pgtest.Versions(t)
	from, to := versions[0], versions[len(versions)-1]
	b := newBed(t, pgtest.Start(t, from), pgtest.Bindir(t, to))
	b.planUpgrade(to)
	files, err := b.worker.files(b.plan)
	b.must(err)
	user, err := owner(b.plan)
	b.must(err)
	s := &settlement{Worker: b.worker, plan: b.plan, user: user, files: files}
	s.intent.Sockets, err = privateSocketDir(user)
	b.must(err)
	t.Cleanup(func() { _ = os.RemoveAll(s.intent.Sockets) })
	b.source.Stop(t)

	for _, as := range [][]string{{"sh"}, {"/some/where/postgres", "-D", b.source.Pgdata}} {
		server, settled := b.privateServer(s, as...), make(chan error, 1)
		go func() { settled <- s.endPgUpgrade(t.Context(), true) }()
		select {
		case err := <-settled:
			t.Fatalf("it did not wait for a server that was started, which is %v still: %v", as, err)
		case <-time.After(300 * time.Millisecond):
		}
		b.must(server.letGo.Close())
		b.must(<-settled)
		b.until("the server has ended", func() bool {
			b.must(s.endPgUpgrade(t.Context(), true)) // a busy machine may have taken longer than the first waits
			select {
			case err := <-server.ended:
				b.must(err)
				return true
			default:
				return false
			}
		})
	}

	server := b.privateServer(s, "sh")
	b.must(server.letGo.Close())
	b.until("a server runs in a private directory", func() bool {
		lock, running := pgbin.RunningPostmaster(b.source.Pgdata)
		return running && lock.SocketDir == s.intent.Sockets
	})
	b.must(s.startSource(t.Context()))
	if lock, running := pgbin.RunningPostmaster(b.source.Pgdata); !running || lock.SocketDir != b.source.SocketDir {
		t.Errorf("the source runs: %t, with its socket in %q, want %q", running, lock.SocketDir, b.source.SocketDir)
	}
}

// What postgresql-common does with a source at boot, it does again when the source is put back. Without a start.conf it
// starts it; one that says nothing its generator for systemd does not take for that.
func TestRestoreBoot(t *testing.T) {
	user := run.User{UID: os.Getuid(), GID: os.Getgid()}
	for name, had := range map[string]*string{"none": nil, "empty": new(""), "auto": new("auto\n"), "manual": new("# mine\nmanual\n")} {
		t.Run(name, func(t *testing.T) {
			c := upgrade.Cluster{Manager: upgrade.ManagerPgCtlcluster, ConfigFile: filepath.Join(t.TempDir(), "postgresql.conf")}
			must := func(err error) {
				t.Helper()
				if err != nil {
					t.Fatal(err)
				}
			}
			if had != nil {
				must(os.WriteFile(startConf(c), []byte(*had), 0o644))
			}
			noted, err := readBoot(c)
			must(err)
			for range 2 {
				must(setBoot(c, notAtBoot, user))
			}
			if text := read(startConf(c)); text != notAtBoot {
				t.Errorf("it is kept from starting by %q", text)
			}
			for range 2 {
				must(restoreBoot(c, noted, user))
			}
			now, err := readBoot(c)
			must(err)
			if diff := cmp.Diff(had, now); diff != "" {
				t.Errorf("start.conf (-before +after):\n%s", diff)
			}
		})
	}
	c := upgrade.Cluster{Manager: upgrade.ManagerPgCtlcluster, ConfigFile: filepath.Join(t.TempDir(), "postgresql.conf")}
	const mine = "disabled\n"
	if err := os.WriteFile(startConf(c), []byte(mine), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := restoreBoot(c, nil, user); err != nil || read(startConf(c)) != mine {
		t.Errorf("what somebody has written meanwhile is %q, %v", read(startConf(c)), err)
	}
}
