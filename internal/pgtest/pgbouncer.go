package pgtest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// Target is a database that a PgBouncer offers: Name to the clients, Database in the cluster. Without
// a Database it has the same name on both sides. The name "*" offers every database of the cluster.
type Target struct {
	Name     string
	Cluster  *Cluster
	Database string
}

// Bouncer is a running PgBouncer that is stopped and removed when its test ends.
type Bouncer struct {
	Port      int
	IniPath   string
	SocketDir string
	AdminDSN  string // its console; speak the simple protocol only, see Admin
	Pid       int

	logFile string
	process *daemon
}

const bouncerAdmin = "pgbouncer"

// PgBouncer starts a PgBouncer in front of clusters: transaction pooling, no passwords, and every
// login role that the clusters have at this moment.
func PgBouncer(t testing.TB, targets ...Target) *Bouncer {
	t.Helper()
	program := findPgBouncer(t)
	who := findOwner(t)
	dir := who.tempDir(t, "pgleap-bouncer-")
	b := &Bouncer{
		Port: FreePort(t), IniPath: filepath.Join(dir, "pgbouncer.ini"), SocketDir: dir,
		logFile: filepath.Join(dir, "pgbouncer.log"),
	}
	b.AdminDSN = dsn(bouncerAdmin, b.Port, "pgbouncer")
	files := map[string]string{b.IniPath: b.ini(targets), filepath.Join(dir, "userlist.txt"): userlist(t, targets)}
	for path, content := range files {
		if err := os.WriteFile(path, []byte(content), 0o640); err != nil {
			t.Fatalf("write %s: %v", path, err)
		}
		who.own(t, path)
	}
	t.Cleanup(func() { b.discard(t) })
	cmd := who.command(context.WithoutCancel(t.Context()), program, b.IniPath)
	b.process = launch(t, cmd, b.logFile, syscall.SIGKILL)
	b.Pid = b.process.pid
	if err := await(20*time.Second, func() error { return b.ping(t.Context()) }); err != nil {
		t.Fatalf("start PgBouncer: %v", err)
	}
	return b
}

// findPgBouncer looks in PATH and in /usr/sbin, where Debian has it and few users look.
func findPgBouncer(t testing.TB) string {
	t.Helper()
	for _, name := range []string{"pgbouncer", "/usr/sbin/pgbouncer"} {
		if program, err := exec.LookPath(name); err == nil {
			return program
		}
	}
	missing(t, "PgBouncer is not installed: run scripts/install-tools")
	return ""
}

// ini writes the configuration as a person would have it, comments included: what is under test has
// to keep them.
func (b *Bouncer) ini(targets []Target) string {
	var ini strings.Builder
	ini.WriteString(";; Databases that applications connect to.\n[databases]\n")
	for _, target := range targets {
		database := target.Database
		if database == "" {
			database = target.Name
		}
		fmt.Fprintf(&ini, "%s = host=127.0.0.1 port=%d", target.Name, target.Cluster.Port)
		if database != "*" {
			fmt.Fprintf(&ini, " dbname=%s", database)
		}
		ini.WriteString("\n")
	}
	fmt.Fprintf(&ini, `
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %d
unix_socket_dir = %s
pidfile = %s/pgbouncer.pid

; Nobody needs a password in a test.
auth_type = trust
auth_file = %s/userlist.txt
admin_users = %s

pool_mode = transaction
max_client_conn = 500
default_pool_size = 30
ignore_startup_parameters = extra_float_digits
`, b.Port, b.SocketDir, b.SocketDir, b.SocketDir, bouncerAdmin)
	return ini.String()
}

// userlist lists the roles that may connect: with auth_type trust they must be known nevertheless.
func userlist(t testing.TB, targets []Target) string {
	t.Helper()
	names := []string{bouncerAdmin}
	for _, target := range targets {
		conn := target.Cluster.Connect(t, "postgres")
		rows, err := conn.Query(t.Context(), `select rolname from pg_roles where rolcanlogin`)
		if err != nil {
			t.Fatalf("list the roles of PostgreSQL %d: %v", target.Cluster.Major, err)
		}
		roles, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			t.Fatalf("list the roles of PostgreSQL %d: %v", target.Cluster.Major, err)
		}
		conn.Close(t.Context())
		names = append(names, roles...)
	}
	slices.Sort(names)
	var list strings.Builder
	for _, name := range slices.Compact(names) {
		fmt.Fprintf(&list, "\"%s\" \"\"\n", strings.ReplaceAll(name, `"`, `""`))
	}
	return list.String()
}

// ping asks the console for an answer.
func (b *Bouncer) ping(ctx context.Context) error {
	if b.process.hasExited() {
		log, _ := os.ReadFile(b.logFile)
		return &permanentError{fmt.Errorf("it ended at once:\n%s", tail(string(log), 20))}
	}
	conn, err := b.console(ctx)
	if err != nil {
		return err
	}
	return conn.Close(ctx)
}

func (b *Bouncer) console(ctx context.Context) (*pgx.Conn, error) {
	config, err := pgx.ParseConfig(b.AdminDSN)
	if err != nil {
		return nil, err
	}
	config.DefaultQueryExecMode = pgx.QueryExecModeSimpleProtocol // the console speaks no other
	return pgx.ConnectConfig(ctx, config)
}

// Admin opens a connection to the console, closed when the test ends.
func (b *Bouncer) Admin(t testing.TB) *pgx.Conn {
	t.Helper()
	conn, err := b.console(t.Context())
	if err != nil {
		t.Fatalf("connect to the console of PgBouncer: %v", err)
	}
	t.Cleanup(func() { conn.Close(context.WithoutCancel(t.Context())) })
	return conn
}

// DSN returns the URL of a database through PgBouncer.
func (b *Bouncer) DSN(user, database string) string { return dsn(user, b.Port, database) }

// Connect opens a connection through PgBouncer, closed when the test ends. It prepares no statements,
// since transaction pooling gives each transaction another server connection.
func (b *Bouncer) Connect(t testing.TB, user, database string) *pgx.Conn {
	t.Helper()
	config, err := pgx.ParseConfig(b.DSN(user, database))
	if err != nil {
		t.Fatalf("read the address of PgBouncer: %v", err)
	}
	config.DefaultQueryExecMode = pgx.QueryExecModeExec
	conn, err := pgx.ConnectConfig(t.Context(), config)
	if err != nil {
		t.Fatalf("connect to database %s through PgBouncer: %v", database, err)
	}
	t.Cleanup(func() { conn.Close(context.WithoutCancel(t.Context())) })
	return conn
}

// discard ends the PgBouncer at the end of its test, and the one that took over from it, if any.
func (b *Bouncer) discard(t testing.TB) {
	t.Helper()
	if b.process == nil {
		return
	}
	pids := []int{b.Pid, b.successor()}
	for _, pid := range pids {
		if pid == 0 || (pid == b.Pid && b.process.hasExited()) {
			continue
		}
		if err := kill(pid, syscall.SIGKILL); err != nil {
			t.Errorf("stop PgBouncer: %v", err)
		}
	}
	showLog(t, fmt.Sprintf("pgbouncer-%d", b.Port), b.logFile)
}

// successor returns the process in the pid file if it is another PgBouncer that serves the same file.
func (b *Bouncer) successor() int {
	content, err := os.ReadFile(filepath.Join(b.SocketDir, "pgbouncer.pid"))
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(content)))
	if err != nil || pid <= 0 || pid == b.Pid {
		return 0
	}
	cmdline, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "cmdline"))
	if err != nil || !strings.Contains(string(cmdline), b.IniPath) {
		return 0
	}
	return pid
}
