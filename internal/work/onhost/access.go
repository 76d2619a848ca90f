package onhost

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgleap/pgleap/internal/pgconf"
	"github.com/pgleap/pgleap/internal/postgres"
	"github.com/pgleap/pgleap/internal/run"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// hbaBlock names our lines in pg_hba.conf.
const hbaBlock = "upgrade"

// hbaWait is how long a server may take to read its pg_hba.conf again.
const hbaWait = 10 * time.Second

// login is pgleap's own role on a cluster of the plan, through its socket or loopback.
func login(plan upgrade.Plan, cluster upgrade.Cluster) postgres.Login {
	address := upgrade.Address{Host: cluster.SocketDir, Port: cluster.Port}
	if address.Host == "" {
		address.Host = "127.0.0.1"
	}
	return postgres.Login{Address: address, Database: "postgres", User: upgrade.Role, Passfile: plan.Passfile()}
}

// quiet is a session in which the users' own triggers and event triggers do not fire.
func quiet(l postgres.Login) postgres.Login {
	l.Settings = map[string]string{"session_replication_role": "replica"}
	return l
}

// alone is a session whose commits are on disk when they return, and wait for no standby.
func alone(l postgres.Login) postgres.Login {
	return l.With(map[string]string{"synchronous_commit": "local"})
}

// password reads the password of pgleap's role from the passfile, or makes both.
func password(plan upgrade.Plan, user run.User) (string, error) {
	content, err := user.ReadFile(plan.Passfile())
	if err == nil {
		fields := strings.Split(strings.TrimSpace(string(content)), ":")
		return fields[len(fields)-1], nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("read passfile: %w", err)
	}
	made := rand.Text()
	line := "*:*:*:" + upgrade.Role + ":" + made + "\n"
	return made, writeOwned(plan.Passfile(), []byte(line), user, 0o600)
}

// ourHBALines let pgleap's role in, from this host alone.
func ourHBALines() ([]string, error) {
	var lines []string
	for _, l := range []pgconf.HBALine{
		{Type: "local", Databases: []pgconf.Token{pgconf.Keyword("all")}},
		{Type: "local", Databases: []pgconf.Token{pgconf.Keyword("replication")}},
		{Type: "host", Databases: []pgconf.Token{pgconf.Keyword("all")}, Address: pgconf.Literal("127.0.0.1/32")},
		{Type: "host", Databases: []pgconf.Token{pgconf.Keyword("replication")}, Address: pgconf.Literal("127.0.0.1/32")},
	} {
		l.Users, l.Method = []pgconf.Token{pgconf.Literal(upgrade.Role)}, "scram-sha-256"
		line, err := l.Format()
		if err != nil {
			return nil, err
		}
		lines = append(lines, line)
	}
	return lines, nil
}

// setHBABlock puts our lines at the top of a cluster's pg_hba.conf, or takes them out (no lines),
// and has the server read it.
func (w *Worker) setHBABlock(ctx context.Context, cluster upgrade.Cluster, user run.User, lines []string) error {
	text, err := user.ReadFile(cluster.HBAFile)
	if err != nil {
		return fmt.Errorf("read pg_hba.conf: %w", err)
	}
	changed, err := pgconf.RemoveBlock(text, hbaBlock)
	if err == nil && len(lines) > 0 {
		changed, err = pgconf.PrependBlock(text, hbaBlock, lines...)
	}
	if err != nil {
		return fmt.Errorf("edit %s: %w", cluster.HBAFile, err)
	}
	if string(changed) != string(text) {
		if err := writeOwned(cluster.HBAFile, changed, user, 0o600); err != nil {
			return err
		}
	}
	if _, running := w.host.Running(cluster); !running {
		return nil
	}
	return w.host.Reload(ctx, cluster)
}

// awaitLogin waits until pgleap's role can log in.
func awaitLogin(ctx context.Context, l postgres.Login, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for {
		conn, err := postgres.Connect(ctx, l)
		if err == nil {
			return conn.Close(ctx)
		}
		if sleep(ctx, 100*time.Millisecond) != nil {
			return err
		}
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// with runs something in a session of its own.
func with(ctx context.Context, l postgres.Login, do func(*pgx.Conn) error) error {
	conn, err := postgres.Connect(ctx, l)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // nothing is lost with it
	return do(conn)
}

// inEachDatabase does the same in every replicated database of a cluster, one after the other.
func inEachDatabase(ctx context.Context, l postgres.Login, do func(*pgx.Conn, postgres.ReplicatedDatabase) error) error {
	var databases []postgres.ReplicatedDatabase
	err := with(ctx, l.In("postgres"), func(conn *pgx.Conn) (err error) {
		databases, err = postgres.ReplicatedDatabases(ctx, conn)
		return err
	})
	if err != nil {
		return err
	}
	for _, database := range databases {
		err := with(ctx, l.In(database.Name), func(conn *pgx.Conn) error { return do(conn, database) })
		if err != nil {
			return err
		}
	}
	return nil
}
