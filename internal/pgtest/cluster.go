package pgtest

import (
	"context"
	"fmt"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// Cluster is a running PostgreSQL cluster that is stopped and removed when its test ends.
type Cluster struct {
	Major     int
	Bindir    string
	Pgdata    string
	SocketDir string
	Port      int
	Owner     string // the OS user that its processes run as
	Superuser string // the role that initdb made

	owner   owner
	logFile string
	program string
}

// Start makes a cluster of a major version and starts it. Its settings suit a test: no fsync, logical
// WAL, locale C.UTF-8 (whose order is the same in every version), and no data checksums, so that
// every pair of versions fits for pg_upgrade.
func Start(t testing.TB, major int, opts ...Option) *Cluster {
	t.Helper()
	chosen := options{config: defaultConfig(), superuser: "postgres", program: "postgres"}
	for _, option := range opts {
		option(&chosen)
	}
	bindir, who := Bindir(t, major), findOwner(t)
	dir := who.tempDir(t, fmt.Sprintf("pgleap-%d-", major))
	c := &Cluster{
		Major: major, Bindir: bindir, Pgdata: chosen.pgdata, SocketDir: dir,
		Owner: who.name, Superuser: chosen.superuser,
		owner: who, logFile: filepath.Join(dir, "server.log"), program: chosen.program,
	}
	if c.Pgdata == "" {
		c.Pgdata = filepath.Join(dir, "data")
	}
	initdb(t, who, bindir, initdbArgs(major, chosen), c.Pgdata)
	if chosen.hba != "" {
		c.write(t, "pg_hba.conf", chosen.hba)
	}
	t.Cleanup(func() { c.discard(t) })
	c.startOnFreePort(t, chosen.config)
	return c
}

// Pair starts a source and a target of an upgrade, each at its own major version.
func Pair(t testing.TB, source, target int, opts ...Option) (*Cluster, *Cluster) {
	t.Helper()
	Bindir(t, target) // a missing version shall skip the test before anything runs
	return Start(t, source, opts...), Start(t, target, opts...)
}

func initdbArgs(major int, chosen options) []string {
	args := []string{"--username", chosen.superuser, "--auth", "trust", "--encoding", "UTF8", "--locale", "C.UTF-8", "--no-sync"}
	if major >= 18 { // where checksums became the default
		args = append(args, "--no-data-checksums")
	}
	return append(args, chosen.initdbArgs...)
}

func defaultConfig() map[string]string {
	return map[string]string{
		"listen_addresses":                "127.0.0.1",
		"fsync":                           "off",
		"wal_level":                       "logical",
		"max_wal_senders":                 "20",
		"max_replication_slots":           "20",
		"max_logical_replication_workers": "20",
		"max_worker_processes":            "32",
		"log_line_prefix":                 "%m [%p] %q%u@%d/%a ",
	}
}

// startOnFreePort writes the configuration and starts the server. A port that was free a moment ago
// may be taken by now, so another one is tried.
func (c *Cluster) startOnFreePort(t testing.TB, config map[string]string) {
	t.Helper()
	sample, err := os.ReadFile(filepath.Join(c.Pgdata, "postgresql.conf"))
	if err != nil {
		t.Fatalf("read the configuration that initdb made: %v", err)
	}
	config["unix_socket_directories"] = c.SocketDir
	_, fixed := config["port"]
	for attempt := 1; ; attempt++ {
		if !fixed {
			config["port"] = strconv.Itoa(FreePort(t))
		}
		if c.Port, err = strconv.Atoi(config["port"]); err != nil {
			t.Fatalf("port %q is not a number: %v", config["port"], err)
		}
		c.write(t, "postgresql.conf", string(sample)+configLines(config))
		err = c.launch(t)
		if err == nil {
			return
		}
		if fixed || attempt == 5 || !strings.Contains(err.Error(), "Address already in use") {
			t.Fatalf("start PostgreSQL %d in %s: %v", c.Major, c.Pgdata, err)
		}
	}
}

// configLines writes parameters as postgresql.conf has them, in a stable order.
func configLines(config map[string]string) string {
	var lines strings.Builder
	lines.WriteString("\n# pgtest\n")
	for _, name := range slices.Sorted(maps.Keys(config)) {
		value := strings.NewReplacer(`\`, `\\`, `'`, `''`).Replace(config[name])
		fmt.Fprintf(&lines, "%s = '%s'\n", name, value)
	}
	return lines.String()
}

// write writes a file of the data directory as its owner would.
func (c *Cluster) write(t testing.TB, name, content string) {
	t.Helper()
	path := filepath.Join(c.Pgdata, name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatalf("write %s: %v", path, err)
	}
	c.owner.own(t, path)
}

// launch starts the postmaster and returns when it accepts connections.
func (c *Cluster) launch(t testing.TB) error {
	t.Helper()
	before := c.logSize()
	cmd := c.owner.command(context.WithoutCancel(t.Context()), filepath.Join(c.Bindir, c.program), "-D", c.Pgdata)
	server := launch(t, cmd, c.logFile, syscall.SIGQUIT)
	return await(60*time.Second, func() error {
		// Its eighth line is the status (src/include/utils/pidfile.h, LOCK_FILE_LINE_PM_STATUS). A file
		// that an earlier postmaster left behind has another process id.
		lines := c.pidFile()
		if len(lines) >= 8 && lines[0] == strconv.Itoa(server.pid) && strings.TrimSpace(lines[7]) == "ready" {
			return nil
		}
		if server.hasExited() {
			return &permanentError{fmt.Errorf("it ended at once:\n%s", c.logSince(before))}
		}
		return fmt.Errorf("it is not ready:\n%s", c.logSince(before))
	})
}

func (c *Cluster) logSize() int64 {
	info, err := os.Stat(c.logFile)
	if err != nil {
		return 0
	}
	return info.Size()
}

func (c *Cluster) logSince(offset int64) string {
	content, err := os.ReadFile(c.logFile)
	if err != nil {
		return err.Error()
	}
	return tail(string(content[min(offset, int64(len(content))):]), 20)
}

// pidFile returns the lines of postmaster.pid, none when no postmaster runs.
func (c *Cluster) pidFile() []string {
	content, err := os.ReadFile(filepath.Join(c.Pgdata, "postmaster.pid"))
	if err != nil {
		return nil
	}
	return strings.Split(string(content), "\n")
}

// Pid returns the process id of the cluster's postmaster, whoever started it, or 0 when none runs.
func (c *Cluster) Pid() int {
	lines := c.pidFile()
	if len(lines) == 0 {
		return 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(lines[0]))
	if err != nil || pid <= 0 || !alive(pid) {
		return 0
	}
	// After a crash the number may belong to another process by now; a postmaster works in its pgdata.
	if workdir, err := os.Readlink(filepath.Join("/proc", strconv.Itoa(pid), "cwd")); err == nil {
		if pgdata, err := filepath.EvalSymlinks(c.Pgdata); err == nil && workdir != pgdata {
			return 0
		}
	}
	return pid
}

// Stop shuts the cluster down in fast mode. A cluster that is down stays so.
func (c *Cluster) Stop(t testing.TB) {
	t.Helper()
	c.shutDown(t, syscall.SIGINT)
}

// Kill shuts the cluster down in immediate mode, as a crash would.
func (c *Cluster) Kill(t testing.TB) {
	t.Helper()
	c.shutDown(t, syscall.SIGQUIT)
}

// shutDown signals the postmaster (pg_ctl's modes: src/bin/pg_ctl/pg_ctl.c, set_mode) and waits for it.
func (c *Cluster) shutDown(t testing.TB, signal syscall.Signal) {
	t.Helper()
	pid := c.Pid()
	if pid == 0 {
		return
	}
	if err := kill(pid, signal); err != nil {
		t.Fatalf("stop PostgreSQL %d in %s: %v", c.Major, c.Pgdata, err)
	}
}

// Restart stops the cluster, if it runs, and starts it with its configuration as it is by now.
func (c *Cluster) Restart(t testing.TB) {
	t.Helper()
	c.Stop(t)
	if err := c.launch(t); err != nil {
		t.Fatalf("restart PostgreSQL %d in %s: %v", c.Major, c.Pgdata, err)
	}
}

// discard ends the cluster at the end of its test, also when the test's subject has restarted it.
func (c *Cluster) discard(t testing.TB) {
	t.Helper()
	if pid := c.Pid(); pid != 0 {
		if err := kill(pid, syscall.SIGQUIT); err != nil {
			t.Errorf("stop PostgreSQL %d in %s: %v", c.Major, c.Pgdata, err)
		}
	}
	showLog(t, fmt.Sprintf("postgresql-%d-%d", c.Major, c.Port), c.logFile)
	if err := os.RemoveAll(c.Pgdata); err != nil {
		t.Logf("remove %s: %v", c.Pgdata, err)
	}
}

// DSN returns the URL of a database for the superuser, over TCP.
func (c *Cluster) DSN(database string) string {
	return dsn(c.Superuser, c.Port, database)
}

func dsn(user string, port int, database string) string {
	address := url.URL{
		Scheme: "postgres", User: url.User(user), Host: "127.0.0.1:" + strconv.Itoa(port),
		Path: "/" + database, RawQuery: "sslmode=disable",
	}
	return address.String()
}

// Connect opens a connection of the superuser to a database, closed when the test ends.
func (c *Cluster) Connect(t testing.TB, database string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), c.DSN(database))
	if err != nil {
		t.Fatalf("connect to database %s of PostgreSQL %d: %v", database, c.Major, err)
	}
	t.Cleanup(func() { conn.Close(context.WithoutCancel(t.Context())) })
	return conn
}

// Exec runs scripts of SQL in a database, over a connection of its own.
func (c *Cluster) Exec(t testing.TB, database string, scripts ...string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), c.DSN(database))
	if err != nil {
		t.Fatalf("connect to database %s of PostgreSQL %d: %v", database, c.Major, err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	for _, script := range scripts {
		if _, err := conn.Exec(t.Context(), script); err != nil {
			t.Fatalf("run SQL in database %s of PostgreSQL %d: %v\n%s", database, c.Major, err, script)
		}
	}
}

// CreateDatabase makes a database, a copy of template1.
func (c *Cluster) CreateDatabase(t testing.TB, name string) {
	t.Helper()
	c.Exec(t, "postgres", "create database "+pgx.Identifier{name}.Sanitize())
}
