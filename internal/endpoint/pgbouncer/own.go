package pgbouncer

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/pgleap/pgleap/internal/endpoint"
)

// Starter runs a program to its end as the operating system user that PgBouncer is to run as.
// PgBouncer's own -d makes it a daemon, which outlives us.
type Starter interface {
	Start(ctx context.Context, path string, args []string) error
}

// Own is a PgBouncer that pgleap runs for one instance.
type Own struct {
	// Dir holds its configuration, socket, pid file and log, and nothing else.
	Dir string
	// UID and GID own the files: the user that Starter runs programs as. PgBouncer refuses root.
	UID, GID int
	// Binary is the program, as /usr/sbin/pgbouncer.
	Binary  string
	Starter Starter

	// ListenAddress is where clients connect, "127.0.0.1" or "*". Unix sockets are in Dir.
	ListenAddress string
	ListenPort    int
	// Target is where clients go at first. Once the configuration exists, it tells.
	Target endpoint.Address
	// AuthType is how clients prove who they are: scram-sha-256 (default), md5 (which takes SCRAM
	// for roles that have a SCRAM secret), or trust.
	AuthType string
	// PoolMode is transaction unless set.
	PoolMode        string
	MaxClientConn   int // default 1000
	DefaultPoolSize int // default 20
	// Settings are added to the [pgbouncer] section.
	Settings map[string]string
}

// consoleUser is the user of the console. A password is needed because the agent may run as root
// and PgBouncer as another user, and only PgBouncer's own user comes in without one.
const consoleUser = "pgleap_console"

func (o Own) ini() string      { return filepath.Join(o.Dir, "pgbouncer.ini") }
func (o Own) userlist() string { return filepath.Join(o.Dir, "userlist.txt") }
func (o Own) hba() string      { return filepath.Join(o.Dir, "pgbouncer_hba.conf") }
func (o Own) pidfile() string  { return filepath.Join(o.Dir, "pgbouncer.pid") }
func (o Own) passfile() string { return filepath.Join(o.Dir, "console.pgpass") }

// Adopt gives the way to drive it, like any other PgBouncer.
func (o Own) Adopt(cluster ...endpoint.Address) Adopt {
	return Adopt{Console: o.console(), Ini: o.ini(), Cluster: cluster}
}

func (o Own) console() Console {
	return Console{Host: o.Dir, Port: o.ListenPort, User: consoleUser, Passfile: o.passfile()}
}

// Status is whether it runs.
type Status struct {
	Running bool
	PID     int
	Version string
}

// Status looks whether it runs and answers.
func (o Own) Status(ctx context.Context) (Status, error) {
	pid := o.pid()
	if pid == 0 {
		return Status{}, nil
	}
	c, err := openConsole(ctx, o.console())
	if err != nil {
		return Status{PID: pid}, err
	}
	defer c.close()
	version, err := c.version(ctx)
	return Status{Running: true, PID: pid, Version: version}, err
}

// Start writes the configuration, unless there is one, and starts it, unless it runs.
func (o Own) Start(ctx context.Context) error {
	if running, err := o.Status(ctx); err == nil && running.Running {
		return nil
	}
	isNew, err := o.configure()
	if err != nil {
		return fmt.Errorf("configure PgBouncer in %s: %w", o.Dir, err)
	}
	if o.pid() == 0 {
		_ = os.Remove(o.pidfile()) // a stale one whose number another process has now would keep it from starting
		if err := o.Starter.Start(ctx, o.Binary, []string{"-q", "-d", o.ini()}); err != nil {
			return fmt.Errorf("start PgBouncer: %w: see %s", err, filepath.Join(o.Dir, "pgbouncer.log"))
		}
	}
	c, err := o.await(ctx)
	if err != nil {
		return err
	}
	defer c.close()
	if isNew {
		return o.preparedStatements(ctx, c)
	}
	return nil
}

// await returns a console once there is one.
func (o Own) await(ctx context.Context) (*console, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for {
		c, err := openConsole(ctx, o.console())
		if err == nil {
			return c, nil
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("start PgBouncer: it does not answer: %w: see %s", err, filepath.Join(o.Dir, "pgbouncer.log"))
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// preparedStatements turns on what lets clients use protocol-level prepared statements with
// transaction pooling, where the version has it (1.21) and has it turned off (until 1.23).
func (o Own) preparedStatements(ctx context.Context, c *console) error {
	settings, err := c.settings(ctx)
	if err != nil || settings["max_prepared_statements"] != "0" {
		return err
	}
	text, err := os.ReadFile(o.ini())
	if err != nil {
		return err
	}
	if err := o.write(o.ini(), string(text)+"max_prepared_statements = 200\n"); err != nil {
		return err
	}
	return o.reload(ctx)
}

// Stop ends it at once; clients are disconnected. SIGTERM would wait for them since 1.23.
func (o Own) Stop(ctx context.Context) error {
	pid := o.pid()
	if pid == 0 {
		return nil
	}
	c, err := openConsole(ctx, o.console())
	if err != nil {
		return fmt.Errorf("stop PgBouncer: %w", err)
	}
	defer c.close()
	if replies, err := c.run(ctx, "SHUTDOWN"); err == nil {
		if err := refused(replies); err != nil {
			return fmt.Errorf("stop PgBouncer: %w", err)
		}
	}
	for tick := time.NewTicker(10 * time.Millisecond); o.pid() == pid; {
		select {
		case <-ctx.Done():
			return fmt.Errorf("stop PgBouncer: process %d still runs: %w", pid, ctx.Err())
		case <-tick.C:
		}
	}
	return nil
}

// pid is that of the running process, or 0. A number in the pid file may belong to another program by now.
func (o Own) pid() int {
	text, err := os.ReadFile(o.pidfile())
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || pid <= 0 || syscall.Kill(pid, 0) != nil && !errors.Is(syscall.Kill(pid, 0), syscall.EPERM) {
		return 0
	}
	if args, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "cmdline")); err == nil && !strings.Contains(string(args), o.ini()) {
		return 0
	}
	return pid
}

// configure writes what is not there yet. An existing configuration is kept: it tells where
// clients go, and its owner may have changed it.
func (o Own) configure() (isNew bool, err error) {
	if path := filepath.Join(o.Dir, fmt.Sprintf(".s.PGSQL.%d", o.ListenPort)); len(path) > 107 { // unix(7)
		return false, fmt.Errorf("the path of the Unix socket would have more than 107 bytes (%s): choose a shorter directory", path)
	}
	if err := os.MkdirAll(o.Dir, 0o755); err != nil { //nolint:gosec // clients reach the socket in it
		return false, err
	}
	if err := o.own(o.Dir); err != nil {
		return false, err
	}
	if _, err := os.Stat(o.ini()); err == nil {
		return false, nil
	}
	password := rand.Text()
	pgpass := fmt.Sprintf("*:*:*:%s:%s\n", consoleUser, password)
	return true, errors.Join( // the configuration last: it says that the others are complete
		o.write(o.passfile(), pgpass),
		o.write(o.userlist(), userlist([]User{{Name: consoleUser, Secret: password}})),
		o.write(o.hba(), o.hbaText()),
		o.write(o.ini(), o.iniText()),
	)
}

// hbaText lets only the console's user, and only through the socket, come to the console, whatever
// the applications have to prove.
func (o Own) hbaText() string {
	method := cmp.Or(o.AuthType, "scram-sha-256")
	var b strings.Builder
	for _, line := range [][]string{
		{"local", ownDatabase, consoleUser, "scram-sha-256"},
		{"local", ownDatabase, "all", "reject"},
		{"host", ownDatabase, "all", "0.0.0.0/0", "reject"},
		{"host", ownDatabase, "all", "::/0", "reject"},
		{"local", "all", consoleUser, "reject"},
		{"host", "all", consoleUser, "0.0.0.0/0", "reject"},
		{"host", "all", consoleUser, "::/0", "reject"},
		{"local", "all", "all", method},
		{"host", "all", "all", "0.0.0.0/0", method},
		{"host", "all", "all", "::/0", method},
	} {
		b.WriteString(strings.Join(line, "\t") + "\n")
	}
	return b.String()
}

func (o Own) iniText() string {
	settings := map[string]string{
		"listen_port": strconv.Itoa(o.ListenPort), "unix_socket_dir": o.Dir,
		"pidfile": o.pidfile(), "logfile": filepath.Join(o.Dir, "pgbouncer.log"),
		"auth_type": "hba", "auth_hba_file": o.hba(), "auth_file": o.userlist(),
		"admin_users":       consoleUser,
		"pool_mode":         cmp.Or(o.PoolMode, "transaction"),
		"max_client_conn":   strconv.Itoa(cmp.Or(o.MaxClientConn, 1000)),
		"default_pool_size": strconv.Itoa(cmp.Or(o.DefaultPoolSize, 20)),
		// JDBC and others send it and do not depend on it. "options" is not ignored: clients would
		// silently work with another search_path than they asked for.
		"ignore_startup_parameters": "extra_float_digits",
		"log_connections":           "0", "log_disconnections": "0",
	}
	if o.ListenAddress != "" {
		settings["listen_addr"] = o.ListenAddress
	}
	maps.Copy(settings, o.Settings)
	var b strings.Builder
	b.WriteString("; Made by pgleap, which changes host and port of the next line when it switches over.\n[databases]\n* = ")
	line, _ := reroute("", o.Target) // cannot fail: there is nothing to read in it
	b.WriteString(line + "\n\n[pgbouncer]\n")
	for _, key := range slices.Sorted(maps.Keys(settings)) {
		fmt.Fprintf(&b, "%s = %s\n", key, settings[key])
	}
	return b.String()
}

// write replaces a file that only PgBouncer's user may read.
func (o Own) write(path, text string) error {
	if info, err := os.Stat(path); err == nil {
		return writeFile(path, text, info)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Sync(), f.Close(), o.own(path))
}

// own gives a path to PgBouncer's user; only root can, and only root has to.
func (o Own) own(path string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	return os.Lchown(path, o.UID, o.GID)
}

func (o Own) reload(ctx context.Context) error {
	c, err := openConsole(ctx, o.console())
	if err != nil {
		return err
	}
	defer c.close()
	replies, err := c.run(ctx, "RELOAD")
	if err == nil {
		err = refused(replies)
	}
	if err != nil {
		return fmt.Errorf("reload PgBouncer's configuration: %w", err)
	}
	return nil
}
