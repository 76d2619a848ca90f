package pgbouncer

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pgleap/pgleap/internal/endpoint"
	"github.com/pgleap/pgleap/internal/endpoint/endpointtest"
	"github.com/pgleap/pgleap/internal/pgtest"
)

// TestAdopted is about a PgBouncer that was there before, and is somebody's.
func TestAdopted(t *testing.T) {
	t.Parallel()
	source, target := pgtest.Pair(t, 15, 15)
	for _, test := range []struct {
		name string
		run  func(t *testing.T, b *pgtest.Bouncer, f endpointtest.Fixture)
	}{
		{"the file keeps every other byte, its owner and its mode", keepsFile},
		{"an edit made after Prepare is not lost", keepsLateEdit},
		{"databases in an included file", includedFile},
		{"a configuration that cannot be loaded is put back", brokenConfiguration},
		{"databases of other clusters are not held", foreignDatabase},
		{"clients may wait longer than query_wait_timeout", longWait},
		{"a process that is killed leaves nothing behind", killedProcess},
		{"what cannot be switched is refused with a remedy", refusals},
		{"a PgBouncer that is restarted", restarted},
		{"a file that no rename can replace is refused while nobody waits", pinnedFile},
	} {
		t.Run(test.name, func(t *testing.T) {
			freshDatabases(t, source, target)
			bouncer := pgtest.PgBouncer(t, pgtest.Target{Name: "app", Cluster: source}, pgtest.Target{Name: "ledger", Cluster: source})
			f := overBouncer(bouncer, source, target)
			test.run(t, bouncer, f)
		})
	}
}

func keepsFile(t *testing.T, b *pgtest.Bouncer, f endpointtest.Fixture) {
	before := read(t, b.IniPath)
	must(t, os.Chmod(b.IniPath, 0o604))
	info := stat(t, b.IniPath)
	s := open(t, f)
	switchTo(t, s, f.TargetAddress)
	moved := read(t, b.IniPath)
	want := strings.ReplaceAll(before, fmt.Sprint("port=", f.Source.Port), fmt.Sprint("port=", f.Target.Port))
	if diff := cmp.Diff(want, moved); diff != "" {
		t.Errorf("the file was changed beyond host and port: %s", diff)
	}
	switchTo(t, s, f.SourceAddress)
	if diff := cmp.Diff(before, read(t, b.IniPath)); diff != "" {
		t.Errorf("there and back: %s", diff)
	}
	now := stat(t, b.IniPath)
	if now.Mode() != info.Mode() || owner(now) != owner(info) {
		t.Errorf("mode %v owner %v, want %v %v", now.Mode(), owner(now), info.Mode(), owner(info))
	}
	s.Close()
	noLeftovers(t, b)
}

func keepsLateEdit(t *testing.T, b *pgtest.Bouncer, f endpointtest.Fixture) {
	s := open(t, f)
	must(t, s.Prepare(t.Context(), f.TargetAddress))
	edit(t, b, "pool_mode = transaction", "pool_mode = transaction\nserver_idle_timeout = 77")
	must(t, s.Pause(t.Context()))
	must(t, s.Move(t.Context(), f.TargetAddress))
	must(t, s.Resume(t.Context()))
	if !strings.Contains(read(t, b.IniPath), "server_idle_timeout = 77") {
		t.Error("the edit is lost")
	}
	if at := where(t, f, "app"); at != f.Target.Port {
		t.Errorf("clients are at port %d", at)
	}
}

func includedFile(t *testing.T, b *pgtest.Bouncer, f endpointtest.Fixture) {
	included := filepath.Join(b.SocketDir, "databases.ini")
	line := fmt.Sprintf("app = host=127.0.0.1 port=%d dbname=app\n", f.Source.Port)
	write(t, included, "; by hand\n"+line, stat(t, b.IniPath))
	edit(t, b, line, "%include "+included+"\n")
	reload(t, b)
	must(t, f.Driver.Check(t.Context()))
	switchTo(t, open(t, f), f.TargetAddress)
	want := fmt.Sprintf("; by hand\napp = host=127.0.0.1 port=%d dbname=app\n", f.Target.Port)
	if got := read(t, included); got != want {
		t.Errorf("included file is %q, want %q", got, want)
	}
	if at := where(t, f, "app"); at != f.Target.Port {
		t.Errorf("clients are at port %d", at)
	}
}

// brokenConfiguration: a mistake that waits in the file must not be loaded in the middle of a switch,
// and one that only PgBouncer can see is undone.
func brokenConfiguration(t *testing.T, b *pgtest.Bouncer, f endpointtest.Fixture) {
	healthy := read(t, b.IniPath)
	s := open(t, f)
	must(t, s.Prepare(t.Context(), f.TargetAddress))
	for _, test := range []struct{ from, to, want string }{
		{"default_pool_size = 30", "default_pool_size = thirty", `default_pool_size has to be a number, not "thirty"`},
		{"default_pool_size = 30", "defualt_pool_size = 30", `PgBouncer has no setting "defualt_pool_size"`},
		{";; Databases", "[nonsense]\n;; Databases", "did not take the new configuration"},
	} {
		edit(t, b, test.from, test.to)
		broken := read(t, b.IniPath)
		must(t, s.Pause(t.Context()))
		err := s.Move(t.Context(), f.TargetAddress)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("move: %v, want %q", err, test.want)
		}
		must(t, s.Resume(t.Context()))
		if at := where(t, f, "app"); at != f.Source.Port {
			t.Errorf("clients are at port %d, want them where they were", at)
		}
		if diff := cmp.Diff(broken, read(t, b.IniPath)); diff != "" {
			t.Errorf("the file is not as it was: %s", diff)
		}
		write(t, b.IniPath, healthy, stat(t, b.IniPath))
	}
}

func foreignDatabase(t *testing.T, b *pgtest.Bouncer, f endpointtest.Fixture) {
	edit(t, b, fmt.Sprintf("port=%d dbname=ledger", f.Source.Port), fmt.Sprintf("port=%d dbname=ledger", f.Target.Port))
	reload(t, b)
	f.Driver = New(adopted(b, f.SourceAddress, endpoint.Address{Host: "127.0.0.1", Port: 1}))
	must(t, f.Driver.Check(t.Context()))
	foreign, err := f.Connect(t.Context(), "ledger")
	must(t, err)
	defer foreign.Close(t.Context()) //nolint:errcheck // the test is over
	_, err = foreign.Exec(t.Context(), "begin")
	must(t, err)
	s := open(t, f)
	must(t, s.Pause(t.Context())) // does not wait for the other cluster's transaction
	_, err = foreign.Exec(t.Context(), "commit")
	must(t, err)
	if at := where(t, f, "ledger"); at != f.Target.Port {
		t.Errorf("ledger is at port %d", at)
	}
	must(t, s.Move(t.Context(), endpoint.Address{Host: "127.0.0.1", Port: 1}))
	must(t, s.Move(t.Context(), f.SourceAddress))
	must(t, s.Resume(t.Context()))
}

// longWait: with a query_wait_timeout of 1 s clients outlast a pause of more than 2 s, before and
// after the RELOAD, which sets all settings back.
func longWait(t *testing.T, b *pgtest.Bouncer, f endpointtest.Fixture) {
	edit(t, b, "pool_mode = transaction", "pool_mode = transaction\nquery_wait_timeout = 1\nserver_login_retry = 7.5")
	reload(t, b)
	before := settings(t, b)
	s := open(t, f)
	client, err := f.Connect(t.Context(), "app")
	must(t, err)
	must(t, s.Pause(t.Context()))
	answered := make(chan error, 1)
	go func() {
		_, err := client.Exec(t.Context(), "select 1")
		answered <- err
	}()
	outlast := func(d time.Duration) {
		t.Helper()
		waitFor(t, "the client waits", func() bool {
			state, err := f.Driver.Describe(t.Context())
			must(t, err)
			return slices.ContainsFunc(state.Databases, func(d endpoint.Database) bool { return d.MaxWait > 0 }) &&
				state.Databases[0].MaxWait > d
		})
	}
	outlast(1200 * time.Millisecond)
	must(t, s.Move(t.Context(), f.TargetAddress))
	outlast(2400 * time.Millisecond)
	must(t, s.Resume(t.Context()))
	must(t, <-answered)
	s.Close()
	if diff := cmp.Diff(before, settings(t, b)); diff != "" {
		t.Errorf("settings are not as before: %s", diff)
	}
}

func killedProcess(t *testing.T, b *pgtest.Bouncer, f endpointtest.Fixture) {
	before := settings(t, b)
	for _, moved := range []bool{false, true} {
		holdAndDie(t, adopted(b, f.SourceAddress, f.TargetAddress), f.TargetAddress, moved)
		state, err := f.Driver.Describe(t.Context())
		must(t, err)
		if !state.Paused() || state.At(f.TargetAddress) != moved {
			t.Fatalf("the process left %+v", state)
		}
		if !moved {
			must(t, f.Driver.Tidy(t.Context()))
			noLeftovers(t, b)
		}
		s := open(t, f)
		must(t, s.Recover(t.Context(), f.SourceAddress))
		if at := where(t, f, "ledger"); at != f.Source.Port {
			t.Errorf("clients are at port %d", at)
		}
		if diff := cmp.Diff(before, settings(t, b)); diff != "" {
			t.Errorf("settings are not as before: %s", diff)
		}
		noLeftovers(t, b)
		s.Close()
	}
}

// holdAndDie pauses an endpoint in a process of its own, which is then killed.
func holdAndDie(t *testing.T, at Adopt, to endpoint.Address, move bool) {
	t.Helper()
	job, err := json.Marshal(holding{at, to, move})
	must(t, err)
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestHoldUntilKilled$", "-test.v")
	child.Env = append(os.Environ(), "PGLEAP_TEST_HOLD="+string(job))
	out, err := child.StdoutPipe()
	must(t, err)
	must(t, child.Start())
	var said strings.Builder
	for buffer := make([]byte, 4096); !strings.Contains(said.String(), "holding now"); {
		n, err := out.Read(buffer)
		said.Write(buffer[:n])
		if err != nil {
			t.Fatalf("child: %v: %s", err, said.String())
		}
	}
	must(t, child.Process.Kill())
	_, _ = io.Copy(io.Discard, out)
	_ = child.Wait()
}

type holding struct {
	At   Adopt
	To   endpoint.Address
	Move bool
}

// TestHoldUntilKilled is the child of holdAndDie.
func TestHoldUntilKilled(t *testing.T) {
	text := os.Getenv("PGLEAP_TEST_HOLD")
	if text == "" {
		t.Skip("only as a child of another test")
	}
	var job holding
	must(t, json.Unmarshal([]byte(text), &job))
	s, err := New(job.At).Open(t.Context())
	must(t, err)
	must(t, s.Prepare(t.Context(), job.To))
	must(t, s.Pause(t.Context()))
	if job.Move {
		must(t, s.Move(t.Context(), job.To))
	}
	fmt.Println("holding now")
	select {}
}

func refusals(t *testing.T, b *pgtest.Bouncer, f endpointtest.Fixture) {
	elsewhere := endpoint.Address{Host: "192.0.2.1", Port: 5432}
	appLine := fmt.Sprintf("app = host=127.0.0.1 port=%d dbname=app", f.Source.Port)
	healthy := read(t, b.IniPath)
	for _, test := range []struct {
		why      string
		from, to string
		noReload bool
		adopt    func(*Adopt)
		want     string
	}{
		{why: "no database of ours", adopt: func(a *Adopt) { a.Cluster = []endpoint.Address{elsewhere} }, want: "no database of PgBouncer goes to 192.0.2.1:5432"},
		{why: "session pooling", from: "pool_mode = transaction", to: "pool_mode = session", want: `database "app" pools by session`},
		{why: "a wildcard that is ours beside a foreign database", from: appLine, to: "* = host=127.0.0.1 port=" + fmt.Sprint(f.Source.Port) + "\napp = host=192.0.2.1", want: `"*" goes to the instance but app elsewhere`},
		{why: "several hosts", from: appLine, to: "app = host=127.0.0.1,192.0.2.1 port=" + fmt.Sprint(f.Source.Port), want: "goes to several hosts"},
		{why: "a file that is not loaded", from: appLine, to: "app = host=127.0.0.1 port=1", noReload: true, want: "RELOAD it on the console, or undo the change"},
		{why: "a file that cannot be read", from: appLine, to: "app = host", noReload: true, want: "not of the form key=value"},
		{why: "a setting that is not loaded", from: "default_pool_size = 30", to: "default_pool_size = 31", noReload: true, want: "default_pool_size is 30, but line"},
		{why: "a setting that cannot be loaded", from: "default_pool_size = 30", to: "default_pool_size = many", noReload: true, want: "has to be a number"},
		{why: "a user without rights", from: "admin_users = pgbouncer", to: "admin_users = nobody\nstats_users = pgbouncer", want: "add it to admin_users"},
		{why: "another file", adopt: func(a *Adopt) {
			a.Ini = filepath.Join(t.TempDir(), "x.ini")
			must(t, os.WriteFile(a.Ini, []byte(healthy), 0o600))
		}, want: "not " + os.TempDir()},
		{why: "nobody listens", adopt: func(a *Adopt) { a.Console = Console{Host: "127.0.0.1", Port: 1, User: "x"} }, want: "PgBouncer's console at 127.0.0.1:1 cannot be reached"},
		{why: "an unknown user", adopt: func(a *Adopt) { a.Console = Console{Host: "127.0.0.1", Port: b.Port, User: "stranger"} }, want: "name a user of admin_users"},
	} {
		if test.from != "" {
			edit(t, b, test.from, test.to)
		}
		if !test.noReload && test.from != "" {
			reload(t, b)
		}
		adopt := adopted(b, f.SourceAddress, f.TargetAddress)
		if test.adopt != nil {
			test.adopt(&adopt)
		}
		err := New(adopt).Check(t.Context())
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", test.why, err, test.want)
		}
		write(t, b.IniPath, healthy, stat(t, b.IniPath))
		if test.from != "" {
			must(t, syscall.Kill(b.Pid, syscall.SIGHUP)) // the console's user may have lost the right to RELOAD
			waitFor(t, "PgBouncer is healthy again", func() bool { return f.Driver.Check(t.Context()) == nil })
		}
	}
}

// restarted: connections of a session that was opened before are gone.
func restarted(t *testing.T, b *pgtest.Bouncer, f endpointtest.Fixture) {
	s := open(t, f)
	own := s.(*session)
	for _, c := range append(own.pausers, own.control) {
		c.close()
	}
	switchTo(t, s, f.TargetAddress)
	if at := where(t, f, "app"); at != f.Target.Port {
		t.Errorf("clients are at port %d", at)
	}
	s.Close()
	if fresh := settings(t, b); overridden(fresh) {
		t.Error("settings were not put back")
	}
}

func pinnedFile(t *testing.T, b *pgtest.Bouncer, f endpointtest.Fixture) {
	must(t, f.Driver.Check(t.Context()))
	attribute(t, "i", b.IniPath)
	err := f.Driver.Check(t.Context())
	if err == nil || !strings.Contains(err.Error(), "chattr -ia "+b.IniPath) {
		t.Errorf("check: %v, want the way to make it replaceable", err)
	}
	noLeftovers(t, b)
}

func overBouncer(b *pgtest.Bouncer, source, target *pgtest.Cluster) endpointtest.Fixture {
	f := fixtureOf(b, source, target)
	f.Driver = New(adopted(b, f.SourceAddress, f.TargetAddress))
	return f
}

func open(t *testing.T, f endpointtest.Fixture) endpoint.Session {
	t.Helper()
	s, err := f.Driver.Open(t.Context())
	must(t, err)
	t.Cleanup(s.Close)
	return s
}

func switchTo(t *testing.T, s endpoint.Session, to endpoint.Address) {
	t.Helper()
	must(t, s.Prepare(t.Context(), to))
	must(t, s.Pause(t.Context()))
	must(t, s.Move(t.Context(), to))
	must(t, s.Resume(t.Context()))
}

func where(t *testing.T, f endpointtest.Fixture, database string) (port int) {
	t.Helper()
	c, err := f.Connect(t.Context(), database)
	must(t, err)
	defer c.Close(context.WithoutCancel(t.Context())) //nolint:errcheck // it has answered
	must(t, c.QueryRow(t.Context(), "select current_setting('port')::int").Scan(&port))
	return port
}

func settings(t *testing.T, b *pgtest.Bouncer) map[string]string {
	t.Helper()
	c, err := openConsole(t.Context(), Console{DSN: b.AdminDSN})
	must(t, err)
	defer c.close()
	out, err := c.settings(t.Context())
	must(t, err)
	return out
}

func edit(t *testing.T, b *pgtest.Bouncer, from, to string) {
	t.Helper()
	text := read(t, b.IniPath)
	if !strings.Contains(text, from) {
		t.Fatalf("%q is not in %s", from, text)
	}
	write(t, b.IniPath, strings.Replace(text, from, to, 1), stat(t, b.IniPath))
}

func reload(t *testing.T, b *pgtest.Bouncer) {
	t.Helper()
	_, err := b.Admin(t).Exec(t.Context(), "RELOAD")
	must(t, err)
}

func noLeftovers(t *testing.T, b *pgtest.Bouncer) {
	t.Helper()
	left, err := filepath.Glob(filepath.Join(b.SocketDir, ".*pgleap*"))
	must(t, err)
	if len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func waitFor(t *testing.T, what string, is func() bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for tick := time.NewTicker(10 * time.Millisecond); !is(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("not so: %s", what)
		}
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	must(t, err)
	return string(text)
}

func write(t *testing.T, path, text string, like os.FileInfo) {
	t.Helper()
	must(t, writeFile(path, text, like))
}

func stat(t *testing.T, path string) os.FileInfo {
	t.Helper()
	info, err := os.Stat(path)
	must(t, err)
	return info
}

func owner(info os.FileInfo) [2]uint32 {
	s := info.Sys().(*syscall.Stat_t)
	return [2]uint32{s.Uid, s.Gid}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
