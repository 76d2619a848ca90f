package pgbouncer

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/pgleap/pgleap/internal/endpoint"
)

// Console is how PgBouncer's admin console is reached.
type Console struct {
	// Host is an address or the directory of the Unix socket; there the user "pgbouncer" needs no
	// password when this process runs as the same operating system user as PgBouncer.
	Host string
	Port int
	User string
	// Password is used as it is; otherwise it is looked up in Passfile, or in ~/.pgpass.
	Password string
	Passfile string
	// DSN, if set, is used instead of all else: a libpq connection string or URL.
	DSN string
}

// String tells where the console is, without the password.
func (c Console) String() string {
	if c.DSN != "" {
		if cfg, err := pgconn.ParseConfig(c.DSN); err == nil {
			return endpoint.Address{Host: cfg.Host, Port: int(cfg.Port)}.String()
		}
		return "the configured connection string"
	}
	return endpoint.Address{Host: c.Host, Port: c.Port}.String()
}

func (c Console) config() (*pgconn.Config, error) {
	dsn := c.DSN
	if dsn == "" {
		var b strings.Builder
		for _, p := range [][2]string{
			{"host", c.Host},
			{"port", strconv.Itoa(c.Port)},
			{"user", c.User},
			{"password", c.Password},
			{"passfile", c.Passfile},
			{"sslmode", "prefer"},
			{"connect_timeout", "5"},
		} {
			if p[1] != "" {
				fmt.Fprintf(&b, "%s='%s' ", p[0], strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(p[1]))
			}
		}
		dsn = b.String()
	}
	cfg, err := pgconn.ParseConfig(dsn)
	if err != nil {
		return nil, fmt.Errorf("read connection string of PgBouncer's console: %w", err)
	}
	cfg.Database = "pgbouncer"
	cfg.RuntimeParams = map[string]string{"application_name": "pgleap"} // the console refuses what it does not know
	return cfg, nil
}

// console is one connection to the admin console. It speaks the simple protocol only, and can
// send several commands in one write: PgBouncer, being one thread, carries them out without
// serving anybody in between.
type console struct {
	conn     net.Conn
	frontend *pgproto3.Frontend
}

// reply is the answer to one command.
type reply struct {
	columns []string
	rows    [][]string
	err     error // what the console said against it
}

func openConsole(ctx context.Context, at Console) (*console, error) {
	cfg, err := at.config()
	if err != nil {
		return nil, err
	}
	conn, err := pgconn.ConnectConfig(ctx, cfg)
	if err != nil {
		return nil, unreachable(at, err)
	}
	hijacked, err := conn.Hijack()
	if err != nil {
		return nil, fmt.Errorf("open PgBouncer's console: %w", err)
	}
	return &console{conn: hijacked.Conn, frontend: hijacked.Frontend}, nil
}

func unreachable(at Console, err error) error {
	remedy := "start PgBouncer, or correct the address of its console"
	if refused, is := errors.AsType[*pgconn.PgError](err); is {
		err = refused
		remedy = "name a user of admin_users, and give its password by a password file"
	} else if failed, is := errors.AsType[*pgconn.ConnectError](err); is {
		err = failed.Unwrap()
	}
	return &endpoint.Unreachable{Endpoint: "PgBouncer's console at " + at.String(), Remedy: remedy, Err: err}
}

// run sends commands in one write and reads their replies. An error means that the connection is
// of no use any more; what the console refuses is in the reply.
func (c *console) run(ctx context.Context, commands ...string) ([]reply, error) {
	return c.runUntil(ctx, nil, commands...)
}

// runUntil is run, but that it reads no further and closes the connection as soon as a reply is enough.
func (c *console) runUntil(ctx context.Context, enough func(reply) bool, commands ...string) ([]reply, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	for _, command := range commands {
		c.frontend.SendQuery(&pgproto3.Query{String: command})
	}
	stop := context.AfterFunc(ctx, func() { _ = c.conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if err := c.frontend.Flush(); err != nil {
		return nil, c.broken(ctx, err)
	}
	replies := make([]reply, len(commands))
	for i := range replies {
		if err := c.read(&replies[i]); err != nil {
			return nil, c.broken(ctx, err)
		}
		if enough != nil && enough(replies[i]) {
			c.close() // there is an answer under way that nobody waits for
			return replies[:i+1], nil
		}
	}
	if !stop() { // too late: the deadline is set, and nothing can be read any more
		c.close()
	}
	return replies, nil
}

// broken closes the connection: there may be answers under way that nobody waits for.
func (c *console) broken(ctx context.Context, err error) error {
	c.close()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

func (c *console) read(r *reply) error {
	for {
		message, err := c.frontend.Receive()
		if err != nil {
			return err
		}
		switch m := message.(type) {
		case *pgproto3.RowDescription:
			for _, f := range m.Fields {
				r.columns = append(r.columns, string(f.Name))
			}
		case *pgproto3.DataRow:
			row := make([]string, len(m.Values))
			for i, v := range m.Values {
				row[i] = string(v)
			}
			r.rows = append(r.rows, row)
		case *pgproto3.ErrorResponse:
			r.err = pgconn.ErrorResponseToPgError(m)
			if m.Severity == "FATAL" {
				return r.err
			}
		case *pgproto3.ReadyForQuery:
			return nil
		}
	}
}

func (c *console) close() {
	if c != nil {
		_ = c.conn.Close()
	}
}

// records gives the rows of a reply by column name: columns differ from version to version.
func (r reply) records() []map[string]string {
	out := make([]map[string]string, len(r.rows))
	for i, row := range r.rows {
		out[i] = make(map[string]string, len(row))
		for j, value := range row {
			if j < len(r.columns) {
				out[i][r.columns[j]] = value
			}
		}
	}
	return out
}

// refused is the first thing that the console said against a command.
func refused(replies []reply) error {
	for _, r := range replies {
		if r.err != nil {
			return r.err
		}
	}
	return nil
}
