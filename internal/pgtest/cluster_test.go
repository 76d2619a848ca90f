package pgtest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
)

func TestStartServesEveryVersion(t *testing.T) {
	for _, major := range Versions(t) {
		t.Run(strconv.Itoa(major), func(t *testing.T) {
			t.Parallel()
			c := Start(t, major)
			conn := c.Connect(t, "postgres")
			got := settings(t, conn, "server_version_num", "wal_level", "fsync", "data_checksums", "lc_messages", "listen_addresses", "unix_socket_directories")
			number, err := strconv.Atoi(got["server_version_num"])
			if err != nil || number/10000 != major {
				t.Errorf("server_version_num = %s, want one of %d", got["server_version_num"], major)
			}
			delete(got, "server_version_num")
			want := map[string]string{
				"wal_level": "logical", "fsync": "off", "data_checksums": "off", "lc_messages": "C.UTF-8",
				"listen_addresses": "127.0.0.1", "unix_socket_directories": c.SocketDir,
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("settings (-want +got):\n%s", diff)
			}
		})
	}
}

func TestOptions(t *testing.T) {
	t.Parallel()
	major := Versions(t)[0]
	pgdata := filepath.Join(findOwner(t).tempDir(t, "pgleap-options-"), "elsewhere")
	c := Start(t, major,
		Config(map[string]string{"work_mem": "7MB", "cluster_name": `it's \ here`}),
		InitdbArgs("--data-checksums"), Dir(pgdata), Superuser("dba"),
		HBA("local all all trust\nhost all dba 127.0.0.1/32 trust\n"))
	conn := c.Connect(t, "postgres")
	want := map[string]string{
		"work_mem": "7MB", "cluster_name": `it's \ here`, "data_checksums": "on", "data_directory": pgdata,
	}
	if diff := cmp.Diff(want, settings(t, conn, "work_mem", "cluster_name", "data_checksums", "data_directory")); diff != "" {
		t.Errorf("settings (-want +got):\n%s", diff)
	}
	c.Exec(t, "postgres", "create role app login")
	if stranger, err := pgx.Connect(t.Context(), dsn("app", c.Port, "postgres")); err == nil {
		stranger.Close(t.Context())
		t.Error("a role that pg_hba.conf does not let in could connect")
	}
}

func TestClustersAreStrangersToEachOther(t *testing.T) {
	t.Parallel()
	major := Versions(t)[0]
	a, b := Pair(t, major, major)
	const identifier = `select system_identifier::text from pg_control_system()`
	if first, second := value(t, a.Connect(t, "postgres"), identifier), value(t, b.Connect(t, "postgres"), identifier); first == second {
		t.Errorf("both clusters have the system identifier %s", first)
	}
}

func TestRestartKeepsDataAndReadsConfiguration(t *testing.T) {
	t.Parallel()
	c := Start(t, Versions(t)[0])
	c.CreateDatabase(t, `odd "name"`)
	c.Exec(t, `odd "name"`, "create table kept (id int); insert into kept values (42)", "alter system set max_connections = 77")
	first := c.Pid()
	c.Restart(t)
	if c.Pid() == first {
		t.Errorf("the postmaster is still process %d", first)
	}
	conn := c.Connect(t, `odd "name"`)
	if got := value(t, conn, "select id::text from kept"); got != "42" {
		t.Errorf("the row is %s after a restart, want 42", got)
	}
	if got := settings(t, conn, "max_connections")["max_connections"]; got != "77" {
		t.Errorf("max_connections = %s after a restart, want 77", got)
	}
	c.Kill(t)
	if c.Pid() != 0 {
		t.Errorf("process %d runs after Kill", c.Pid())
	}
	c.Stop(t) // a cluster that is down stays so
	c.Restart(t)
}

func TestNothingIsLeftBehind(t *testing.T) {
	t.Parallel()
	major := Versions(t)[0]
	var left *Cluster
	t.Run("a test with a cluster", func(t *testing.T) { left = Start(t, major) })
	if left == nil {
		t.Skip("the cluster's test was skipped")
	}
	if left.Pid() != 0 {
		t.Errorf("process %d still runs", left.Pid())
	}
	if _, err := os.Stat(left.SocketDir); !os.IsNotExist(err) {
		t.Errorf("%s is still there (%v)", left.SocketDir, err)
	}
	if conn, err := pgx.Connect(t.Context(), left.DSN("postgres")); err == nil {
		conn.Close(t.Context())
		t.Error("the cluster still answers")
	}
}

// A cluster that its test's subject has restarted is stopped as well.
func TestServerOfSomebodyElseIsStoppedToo(t *testing.T) {
	t.Parallel()
	major := Versions(t)[0]
	var left *Cluster
	t.Run("pg_ctl restart", func(t *testing.T) {
		left = Start(t, major)
		first := left.Pid()
		restart := left.owner.command(t.Context(), filepath.Join(left.Bindir, "pg_ctl"), "restart",
			"--pgdata", left.Pgdata, "--log", filepath.Join(left.SocketDir, "other.log"), "--mode", "fast", "--wait")
		if err := restart.Run(); err != nil {
			t.Fatalf("pg_ctl restart: %v", err)
		}
		if pid := left.Pid(); pid == 0 || pid == first {
			t.Fatalf("postmaster is process %d, was %d", pid, first)
		}
	})
	if left != nil && left.Pid() != 0 {
		t.Errorf("process %d still runs", left.Pid())
	}
}

func settings(t *testing.T, conn *pgx.Conn, names ...string) map[string]string {
	t.Helper()
	got := make(map[string]string, len(names))
	for _, name := range names {
		got[name] = value(t, conn, "select current_setting($1)", name)
	}
	return got
}

func value(t *testing.T, conn *pgx.Conn, query string, args ...any) string {
	t.Helper()
	var text string
	if err := conn.QueryRow(context.WithoutCancel(t.Context()), query, args...).Scan(&text); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return text
}

func TestConfigLines(t *testing.T) {
	got := configLines(map[string]string{"port": "5432", "cluster_name": `o'clock \`})
	want := "\n# pgtest\ncluster_name = 'o''clock \\\\'\nport = '5432'\n"
	if got != want {
		t.Errorf("configLines = %q, want %q", got, want)
	}
}

func TestInitdbArgs(t *testing.T) {
	const off = "--no-data-checksums"
	for major, want := range map[int]bool{13: false, 17: false, 18: true, 19: true} {
		if got := slices.Contains(initdbArgs(major, options{superuser: "postgres"}), off); got != want {
			t.Errorf("initdb of %d gets %s: %t, want %t", major, off, got, want)
		}
	}
}

// A test process that is killed, as at a time-out, cannot clean up: the kernel stops its servers.
func TestServersDieWithTheTestProcess(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux tells a child that its parent died")
	}
	t.Parallel()
	major := Versions(t)[0]
	Bindir(t, major)
	child := exec.Command(os.Args[0], "-test.run=^TestClusterOfKilledProcess$")
	child.Env = append(os.Environ(), "PGTEST_WAIT_TO_BE_KILLED=1")
	output, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	var pid int
	var dir string
	if _, err := fmt.Fscan(output, &pid, &dir); err != nil {
		t.Fatalf("read the child's report: %v", err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if !alive(pid) {
		t.Fatalf("the child's postmaster %d does not run", pid)
	}
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = child.Wait() // it was killed
	if err := await(10*time.Second, func() error {
		if alive(pid) {
			return fmt.Errorf("postmaster %d still runs", pid)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
}

// TestClusterOfKilledProcess is the child of TestServersDieWithTheTestProcess.
func TestClusterOfKilledProcess(t *testing.T) {
	if os.Getenv("PGTEST_WAIT_TO_BE_KILLED") == "" {
		t.Skip("it runs in a process of its own, see TestServersDieWithTheTestProcess")
	}
	c := Start(t, Versions(t)[0])
	fmt.Fprintln(os.Stdout, c.Pid(), c.SocketDir)
	<-t.Context().Done()
}
