package postmaster

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgleap/pgleap/internal/postgres"
	"github.com/pgleap/pgleap/internal/run"
	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/internal/upgrade/step"
)

// Inspect asks a running cluster who it is. It refuses, with the remedy, what cannot be
// upgraded from here: a cluster that is down, a standby, one that does not let us in.
func (h *Host) Inspect(ctx context.Context, args step.InspectArgs) (upgrade.Cluster, error) {
	p, err := find(args)
	if err != nil {
		return upgrade.Cluster{}, err
	}
	c := h.clusterOf(ctx, p)
	if _, err := run.LookupUser(c.Owner); err != nil {
		return upgrade.Cluster{}, &upgrade.Refused{Reason: "the cluster in " + c.Pgdata + " belongs to another user", Remedy: err.Error()}
	}
	conn, err := h.logIn(ctx, c, args.Superuser)
	if err != nil {
		return upgrade.Cluster{}, err
	}
	defer conn.Close(context.WithoutCancel(ctx)) // only read
	if err := describe(ctx, conn, &c); err != nil {
		return upgrade.Cluster{}, err
	}
	if c.Bindir == "" {
		installation, err := h.installation(ctx, c.Version.Major())
		if err != nil {
			return upgrade.Cluster{}, err
		}
		c.Bindir = installation.Bindir
	}
	if name, ok := h.debian.nameOf(c.ConfigFile, c.Version.Major()); ok {
		c.Manager, c.Name, c.Unit = upgrade.ManagerPgCtlcluster, name, ""
	}
	return c, nil
}

// find finds the postmaster by its data directory, or by its port.
func find(args step.InspectArgs) (process, error) {
	if args.Pgdata == "" && args.Port == 0 {
		return process{}, &upgrade.Refused{Reason: "no cluster is named", Remedy: "give its data directory or its port"}
	}
	if args.Pgdata == "" {
		for _, p := range processes() {
			if p.lock.Port == args.Port && !p.elsewhere {
				return p, nil
			}
		}
		return process{}, &upgrade.Refused{
			Reason: fmt.Sprintf("no PostgreSQL runs on port %d of this host", args.Port),
			Remedy: "start it, or give the data directory of one that runs",
		}
	}
	pgdata := realPath(args.Pgdata)
	if err := refuseNoDataDirectory(pgdata); err != nil {
		return process{}, err
	}
	p, running := postmasterOf(pgdata)
	if !running {
		return process{}, &upgrade.Refused{Reason: "the cluster in " + pgdata + " is not running", Remedy: "start it", Cause: upgrade.CauseDown}
	}
	if args.Port != 0 && args.Port != p.lock.Port {
		return process{}, &upgrade.Refused{
			Reason: fmt.Sprintf("the cluster in %s runs on port %d, not %d", pgdata, p.lock.Port, args.Port),
			Remedy: "give its data directory or its port alone",
		}
	}
	return p, nil
}

// refuseNoDataDirectory refuses what is no data directory, or cannot be read.
func refuseNoDataDirectory(pgdata string) error {
	if !filepath.IsAbs(pgdata) {
		return &upgrade.Refused{Reason: fmt.Sprintf("the data directory %q is not an absolute path", pgdata), Remedy: "give the whole path"}
	}
	_, err := os.Stat(filepath.Join(pgdata, "PG_VERSION"))
	switch {
	case err == nil:
		return nil
	case errors.Is(err, fs.ErrPermission):
		return &upgrade.Refused{Reason: "no permission to read " + pgdata, Remedy: "run pgleap as the user that owns it, or as root"}
	case exists(filepath.Join(pgdata, "postgresql.conf")):
		return &upgrade.Refused{Reason: pgdata + " holds a configuration, not data", Remedy: "give the directory that data_directory names"}
	default:
		return &upgrade.Refused{Reason: pgdata + " is not a PostgreSQL data directory", Remedy: "pgleap instance discover lists those of this host", Cause: upgrade.CauseNotPostgres}
	}
}

// logIn opens a session of the bootstrap superuser: pg_upgrade takes no other (check.c,
// check_is_install_user). Who that is only the cluster knows, so any superuser that lets us in is asked first.
func (h *Host) logIn(ctx context.Context, c upgrade.Cluster, superuser string) (*pgx.Conn, error) {
	roles := []string{superuser}
	if superuser == "" {
		roles = slices.Compact([]string{"postgres", c.Owner})
	}
	var refused error
	for _, role := range roles {
		c.Superuser = role
		conn, err := h.connect(ctx, c)
		if err != nil {
			if !isLoginRefused(err) {
				return nil, notReachable(c, err)
			}
			refused = errors.Join(refused, err)
			continue
		}
		bootstrap, err := bootstrapSuperuser(ctx, conn)
		if err != nil {
			conn.Close(ctx) // the error is already one
			return nil, err
		}
		if bootstrap == role {
			return conn, nil
		}
		conn.Close(ctx) // only asked for the name
		c.Superuser = bootstrap
		if conn, err = h.connect(ctx, c); err != nil {
			return nil, loginRefused(c, bootstrap, err)
		}
		return conn, nil
	}
	return nil, loginRefused(c, roles[0], refused)
}

// connect wants the database postgres, which every later session uses too.
func (h *Host) connect(ctx context.Context, c upgrade.Cluster) (*pgx.Conn, error) {
	conn, err := postgres.Connect(ctx, h.Login(c, "postgres"))
	const noSuchDatabase = "3D000"
	if postgres.IsCode(err, noSuchDatabase) {
		return nil, &upgrade.Refused{
			Reason: fmt.Sprintf("the database postgres is missing in the cluster in %s", c.Pgdata),
			Remedy: "make it: CREATE DATABASE postgres",
		}
	}
	return conn, err
}

// isLoginRefused tells a refused login (class 28: invalid authorization) from a server that does not answer.
func isLoginRefused(err error) bool {
	failed, ok := errors.AsType[*pgconn.PgError](err)
	return ok && strings.HasPrefix(failed.Code, "28")
}

func notReachable(c upgrade.Cluster, err error) error {
	if failed, ok := errors.AsType[*pgconn.PgError](err); ok && failed.Code == "57P03" { // cannot_connect_now
		return &upgrade.Refused{Reason: fmt.Sprintf("%s does not take connections: %s", c, failed.Message), Remedy: "wait until it has started", Cause: upgrade.CauseDown}
	}
	return err
}

// loginRefused names the line that pg_hba.conf needs. PostgreSQL's own message is the reason.
func loginRefused(c upgrade.Cluster, role string, err error) error {
	reason := err.Error()
	if failed, ok := errors.AsType[*pgconn.PgError](err); ok {
		reason = failed.Message
	}
	hba := c.HBAFile
	if hba == "" {
		hba = "pg_hba.conf"
	}
	remedy := fmt.Sprintf("put the line \"local all %s peer\" before the others in its %s and reload it, or name a superuser that %s may log in as", role, hba, c.Owner)
	if role != c.Owner {
		remedy = fmt.Sprintf("put the line \"local all %s peer map=pgleap\" before the others in its %s and \"pgleap %s %s\" in its pg_ident.conf and reload it, or name a superuser that %s may log in as",
			role, hba, c.Owner, role, c.Owner)
	}
	return &upgrade.Refused{
		Reason: fmt.Sprintf("cannot log in to the cluster in %s as its superuser %s over the socket: %s", c.Pgdata, role, reason),
		Remedy: remedy,
		Cause:  upgrade.CauseSuperuser,
	}
}

const selectBootstrapSuperuser = `
select b.rolname, me.rolsuper
from pg_roles b, pg_roles me
where b.oid = 10 and me.rolname = session_user`

// bootstrapSuperuser asks for the role that initdb made; whoever asks must be a superuser, too.
func bootstrapSuperuser(ctx context.Context, conn *pgx.Conn) (string, error) {
	var name string
	var superuser bool
	if err := conn.QueryRow(ctx, selectBootstrapSuperuser).Scan(&name, &superuser); err != nil {
		return "", fmt.Errorf("ask for the bootstrap superuser: %w", err)
	}
	if !superuser {
		return "", &upgrade.Refused{
			Reason: fmt.Sprintf("role %s is not a superuser", conn.Config().User),
			Remedy: fmt.Sprintf("name the bootstrap superuser, %s", name),
			Cause:  upgrade.CauseSuperuser,
		}
	}
	return name, nil
}

const selectCluster = `
select current_setting('server_version_num')::int,
       current_setting('config_file'),
       current_setting('hba_file'),
       current_setting('ident_file'),
       current_setting('unix_socket_directories'),
       current_setting('port')::int,
       session_user::text,
       (select system_identifier::text from pg_control_system()),
       pg_is_in_recovery()`

// describe fills in what only the running server tells, and refuses a standby.
func describe(ctx context.Context, conn *pgx.Conn, c *upgrade.Cluster) error {
	standby, err := readCluster(ctx, conn, c)
	if err == nil && standby {
		err = &upgrade.Refused{Reason: fmt.Sprintf("%s is a standby", c), Remedy: "name its primary: standbys are made anew from the upgraded primary", Cause: upgrade.CauseNotPostgres}
	}
	return err
}

// readCluster fills in what only the running server tells.
func readCluster(ctx context.Context, conn *pgx.Conn, c *upgrade.Cluster) (standby bool, err error) {
	var sockets string
	err = conn.QueryRow(ctx, selectCluster).Scan(&c.Version, &c.ConfigFile, &c.HBAFile, &c.IdentFile,
		&sockets, &c.Port, &c.Superuser, &c.SystemIdentifier, &standby)
	if err != nil {
		return false, fmt.Errorf("ask the cluster in %s who it is: %w", c.Pgdata, err)
	}
	c.SocketDir = socketDir(sockets, c.Pgdata)
	return standby, nil
}
