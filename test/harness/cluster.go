package harness

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/pgleap/pgleap/internal/pgtest/port"
)

// Cluster is a PostgreSQL cluster as a careful DBA runs it: on loopback only, the superuser by peer
// authentication or with a password, everybody else with a SCRAM password.
type Cluster struct {
	Bindir    string
	Pgdata    string
	Port      int
	Superuser string

	password string // of the superuser
	log      string
	place    *Workplace
}

// NewCluster makes a cluster of a major version and starts it. Settings go into postgresql.conf.
func (w *Workplace) NewCluster(ctx context.Context, major int, settings map[string]string) (*Cluster, error) {
	bindir, err := FindBindir(major)
	if err != nil {
		return nil, err
	}
	version := filepath.Join(w.clusters(), strconv.Itoa(major))
	c := &Cluster{
		Bindir: bindir, Pgdata: filepath.Join(version, "main"), Superuser: w.owner.name,
		password: rand.Text(), log: filepath.Join(w.Logs(), fmt.Sprintf("postgresql-%d.log", major)), place: w,
	}
	if err := errors.Join(os.Mkdir(version, 0o755), w.owner.own(version)); err != nil {
		return nil, err
	}
	if err := c.initdb(ctx); err != nil {
		return nil, err
	}
	if c.Port, err = FreePort(); err != nil {
		return nil, err
	}
	if err := c.configure(settings); err != nil {
		return nil, fmt.Errorf("configure the cluster: %w", err)
	}
	return c, c.Start(ctx)
}

func (c *Cluster) initdb(ctx context.Context) error {
	passwords := filepath.Join(c.place.Dir, "superuser-password")
	if err := errors.Join(os.WriteFile(passwords, []byte(c.password), 0o600), c.place.owner.own(passwords)); err != nil {
		return err
	}
	defer os.Remove(passwords)
	return c.run(ctx, "initdb", "--pgdata", c.Pgdata, "--username", c.Superuser, "--pwfile", passwords,
		"--auth-local", "scram-sha-256", "--auth-host", "scram-sha-256", "--encoding", "UTF8", "--locale", "C.UTF-8", "--no-sync")
}

// configure appends to postgresql.conf and writes pg_hba.conf.
func (c *Cluster) configure(settings map[string]string) error {
	all := map[string]string{
		"listen_addresses": "127.0.0.1", "port": strconv.Itoa(c.Port), "unix_socket_directories": c.place.sockets(),
		"wal_level": "logical", "log_line_prefix": "%m [%p] %q%u@%d/%a ",
		"password_encryption": "scram-sha-256", // the default only since 14
	}
	maps.Copy(all, settings)
	var lines strings.Builder
	lines.WriteString("\n# What this cluster is for.\n")
	for _, name := range slices.Sorted(maps.Keys(all)) {
		fmt.Fprintf(&lines, "%s = '%s'\n", name, strings.ReplaceAll(all[name], "'", "''"))
	}
	hba := fmt.Sprintf(`# Type  Database     User  Address       Method
local   all          %[1]s                peer
local   replication  %[1]s                peer
local   all          all                  scram-sha-256
host    all          all   127.0.0.1/32   scram-sha-256
`, c.Superuser)
	conf := filepath.Join(c.Pgdata, "postgresql.conf")
	sample, err := os.ReadFile(conf)
	if err != nil {
		return err
	}
	return errors.Join(
		os.WriteFile(conf, append(sample, lines.String()...), 0o600),
		os.WriteFile(filepath.Join(c.Pgdata, "pg_hba.conf"), []byte(hba), 0o600))
}

// Start starts the cluster.
func (c *Cluster) Start(ctx context.Context) error {
	return c.control(ctx, "start", "--log", c.log)
}

// Stop stops the cluster in fast mode.
func (c *Cluster) Stop(ctx context.Context) error {
	return c.control(ctx, "stop", "--mode", "fast")
}

// run runs one of the cluster's programs, with the superuser's password at hand.
func (c *Cluster) run(ctx context.Context, program string, args ...string) error {
	return c.place.owner.run(ctx, []string{"PGPASSWORD=" + c.password}, filepath.Join(c.Bindir, program), args...)
}

// control runs pg_ctl, without a password: a server keeps the environment that it is started with, and its
// subscriptions would log in with what is there.
func (c *Cluster) control(ctx context.Context, verb string, args ...string) error {
	args = append([]string{verb, "--pgdata", c.Pgdata, "--wait", "--silent"}, args...)
	return c.place.owner.run(ctx, nil, filepath.Join(c.Bindir, "pg_ctl"), args...)
}

// Upgraded is the target of an upgrade of this cluster: elsewhere, with the same superuser.
func (c *Cluster) Upgraded(bindir, pgdata string, port int) *Cluster {
	target := *c
	target.Bindir, target.Pgdata, target.Port = bindir, pgdata, port
	return &target
}

// URL is where a role reaches a database, past PgBouncer.
func (c *Cluster) URL(role, password, database string) string {
	return databaseURL(role, password, c.Port, database)
}

func databaseURL(role, password string, port int, database string) string {
	address := url.URL{
		Scheme: "postgres", User: url.UserPassword(role, password),
		Host: net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), Path: "/" + database, RawQuery: "sslmode=disable&connect_timeout=10",
	}
	return address.String()
}

// Connect opens a session of the superuser.
func (c *Cluster) Connect(ctx context.Context, database string) (*pgx.Conn, error) {
	conn, err := pgx.Connect(ctx, c.URL(c.Superuser, c.password, database))
	if err != nil {
		return nil, fmt.Errorf("connect to database %s on port %d: %w", database, c.Port, err)
	}
	return conn, nil
}

// In does something in a session of the superuser that ends with it: a session that stays would count
// as one that does not come through the endpoint.
func (c *Cluster) In(ctx context.Context, database string, do func(*pgx.Conn) error) error {
	conn, err := c.Connect(ctx, database)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	return do(conn)
}

// Exec runs scripts of SQL.
func (c *Cluster) Exec(ctx context.Context, database string, scripts ...string) error {
	return c.In(ctx, database, func(conn *pgx.Conn) error {
		for _, script := range scripts {
			if _, err := conn.Exec(ctx, script); err != nil {
				return fmt.Errorf("run SQL in database %s: %w", database, err)
			}
		}
		return nil
	})
}

// FindBindir finds the programs of a major version: those of scripts/install-postgres, then the system's.
func FindBindir(major int) (string, error) {
	version := strconv.Itoa(major)
	for _, prefix := range append(prefixes(), "/usr/lib/postgresql") {
		bindir := filepath.Join(prefix, version, "bin")
		if _, err := os.Stat(filepath.Join(bindir, "postgres")); err == nil {
			return bindir, nil
		}
	}
	return "", fmt.Errorf("PostgreSQL %d is not installed: run scripts/install-postgres %d", major, major)
}

// prefixes are where scripts/install-postgres installs.
func prefixes() []string {
	if prefix := os.Getenv("PGLEAP_POSTGRES_PREFIX"); prefix != "" {
		return []string{prefix}
	}
	prefixes := []string{"/opt/pgleap/postgres"}
	if home, err := os.UserHomeDir(); err == nil {
		prefixes = append(prefixes, filepath.Join(home, ".cache/pgleap/postgres"))
	}
	return prefixes
}

// FreePort returns a TCP port of 127.0.0.1 that nobody listens on, and that is given to nobody else as long as this
// process runs.
func FreePort() (int, error) {
	free, _, err := port.Reserve()
	return free, err
}

// QueryRow reads one row.
func (c *Cluster) QueryRow(ctx context.Context, database, query string, into ...any) error {
	return c.In(ctx, database, func(conn *pgx.Conn) error { return conn.QueryRow(ctx, query).Scan(into...) })
}
