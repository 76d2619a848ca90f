package postgres

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// Login is who connects where.
type Login struct {
	Address  upgrade.Address
	Database string
	User     string
	// Passfile is a .pgpass file; empty when no password is needed.
	Passfile string
	// PeerUID is the operating system user to be seen as over a Unix socket, for peer
	// authentication. Only root can be seen as somebody else; 0 means: as who we are.
	PeerUID int
	// Settings are set for the session.
	Settings map[string]string
	// ConnString, when set, is a libpq connection string or URL that somebody gave for a server elsewhere. It
	// takes the place of all above but Database and Settings, and the environment and the files that
	// libpq knows of (PGPASSWORD, PGPASSFILE, PGSERVICE, ...) count.
	ConnString string
}

// In returns the same login for another database.
func (l Login) In(database string) Login {
	l.Database = database
	return l
}

// With returns the same login with more settings.
func (l Login) With(settings map[string]string) Login {
	all := map[string]string{}
	maps.Copy(all, l.Settings)
	maps.Copy(all, settings)
	l.Settings = all
	return l
}

// connectTimeout bounds one attempt.
const connectTimeout = 10 * time.Second

// Connect opens a session. Nothing of the environment (PGHOST and its like) is used, but for a ConnString.
func Connect(ctx context.Context, l Login) (*pgx.Conn, error) {
	config, err := l.config()
	if err != nil {
		return nil, err
	}
	conn, err := pgx.ConnectConfig(ctx, config)
	if firedAtLogin(err) {
		// A server before 17, which has no such triggers, refuses the setting, and 17 and later take it from superusers:
		// so it is tried second, and what the server said first counts.
		config.RuntimeParams["event_triggers"] = "off"
		if without, errWithout := pgx.ConnectConfig(ctx, config); errWithout == nil {
			conn, err = without, nil
		}
	}
	if err != nil {
		return nil, fmt.Errorf("connect to %s, database %q, as %q: %w",
			upgrade.Address{Host: config.Host, Port: int(config.Port)}, config.Database, config.User, err)
	}
	if err := liftNewerTimeouts(ctx, conn); err != nil {
		_ = conn.Close(context.WithoutCancel(ctx))
		return nil, fmt.Errorf("set up the session on %s, database %q: %w", l.Address, l.Database, err)
	}
	return conn, nil
}

// firedAtLogin tells whether what ended a login may be an event trigger of the user's (17 and later): any error but
// those of a server that lets nobody in, or not this one.
func firedAtLogin(err error) bool {
	said, ok := errors.AsType[*pgconn.PgError](err)
	if !ok || len(said.Code) != 5 {
		return false
	}
	switch said.Code {
	case "57P01", "57P02", "57P03", "57P04", "42704", "42501", "22023": // the server is starting or stopping, or refuses a setting
		return false
	}
	switch said.Code[:2] {
	case "08", "28", "3D", "53", "XX": // no connection, no such user or password, no such database, no room
		return false
	}
	return true
}

// liftNewerTimeouts switches off the timeouts that came with 14 and 17: as startup parameters older
// servers would refuse them.
func liftNewerTimeouts(ctx context.Context, conn *pgx.Conn) error {
	if strings.HasPrefix(conn.PgConn().ParameterStatus("server_version"), "13") {
		return nil
	}
	_, err := conn.Exec(ctx, `
		SELECT set_config(name, '0', false) FROM pg_settings
		WHERE name IN ('idle_session_timeout', 'transaction_timeout')`)
	return err
}

// sessionSettings hold for every session of ours: nothing that the user set for his roles or
// databases may stop or redirect our statements.
var sessionSettings = map[string]string{
	"application_name":                    "pgleap",
	"search_path":                         "pg_catalog",
	"statement_timeout":                   "0",
	"lock_timeout":                        "0",
	"idle_in_transaction_session_timeout": "0",
	"default_transaction_read_only":       "off",
	"default_transaction_isolation":       "read committed",
	"client_min_messages":                 "warning",
	"client_encoding":                     "UTF8",
	"DateStyle":                           "ISO",
	"IntervalStyle":                       "postgres",
	"TimeZone":                            "UTC",
	"extra_float_digits":                  "1",
}

func (l Login) config() (*pgx.ConnConfig, error) {
	if l.ConnString != "" {
		return l.foreignConfig()
	}
	// sslmode=disable: agents talk to clusters of their own host, over a socket or loopback.
	text := fmt.Sprintf("host=%s port=%d dbname=%s user=%s password='' sslmode=disable target_session_attrs=any connect_timeout=%d",
		quote(l.Address.Host), l.Address.Port, quote(l.Database), quote(l.User), int(connectTimeout.Seconds()))
	if l.Passfile != "" {
		text += " passfile=" + quote(l.Passfile)
	} else {
		text += " passfile=/dev/null"
	}
	config, err := pgx.ParseConfig(text)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", l.Address, err)
	}
	config.RuntimeParams = map[string]string{}
	for name, value := range sessionSettings {
		config.RuntimeParams[name] = value
	}
	for name, value := range l.Settings {
		config.RuntimeParams[name] = value
	}
	if l.PeerUID != 0 && l.PeerUID != os.Geteuid() && strings.HasPrefix(l.Address.Host, "/") {
		config.DialFunc = dialAs(l.PeerUID)
	}
	return config, nil
}

// foreignConfig is that of a ConnString. Why one cannot be read is not told: the reason may have a part of
// the password in it.
func (l Login) foreignConfig() (*pgx.ConnConfig, error) {
	config, err := pgx.ParseConfig(l.ConnString)
	if err != nil {
		return nil, &upgrade.Refused{
			Reason: "the connection string cannot be read",
			Remedy: "write it as postgres://user@host:5432/postgres, with anything but letters and digits in names as %XX, or as \"host=... user=... dbname=...\"; see that the files it names exist",
		}
	}
	for _, other := range config.Fallbacks { // there is one for each sslmode to try, too
		if other.Host != config.Host || other.Port != config.Port {
			return nil, &upgrade.Refused{Reason: "the connection string names several servers", Remedy: "name one"}
		}
	}
	if l.Database != "" {
		config.Database = l.Database
	}
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = connectTimeout
	}
	for name, value := range sessionSettings {
		config.RuntimeParams[name] = value
	}
	for name, value := range l.Settings {
		config.RuntimeParams[name] = value
	}
	return config, nil
}

// Server is the address that the login leads to, and the database it names.
func (l Login) Server() (upgrade.Address, string, error) {
	config, err := l.config()
	if err != nil {
		return upgrade.Address{}, "", err
	}
	return upgrade.Address{Host: config.Host, Port: int(config.Port)}, config.Database, nil
}

// quote writes a value for a libpq connection string.
func quote(value string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(value) + "'"
}

// ConnInfo is the libpq connection string for PostgreSQL's own use: primary_conninfo and
// CREATE SUBSCRIPTION. It names a passfile and never holds a password.
func (l Login) ConnInfo(applicationName string) string {
	return fmt.Sprintf("host=%s port=%d dbname=%s user=%s passfile=%s application_name=%s sslmode=disable",
		quote(l.Address.Host), l.Address.Port, quote(l.Database), quote(l.User), quote(l.Passfile), quote(applicationName))
}

// dialAs connects to a Unix socket as another user: the kernel notes the effective uid of the
// thread that calls connect (unix(7), SO_PEERCRED), and on Linux a raw setresuid changes that of
// one thread alone (nptl(7)). The thread is given back only if its uid was.
func dialAs(uid int) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		type dialed struct {
			conn net.Conn
			err  error
		}
		done := make(chan dialed, 1)
		go func() {
			runtime.LockOSThread()
			if err := setThreadEUID(uid); err != nil {
				done <- dialed{nil, fmt.Errorf("become uid %d: %w", uid, err)}
				return // the locked thread ends with its goroutine
			}
			var dialer net.Dialer
			conn, err := dialer.DialContext(ctx, network, address)
			if setThreadEUID(os.Getuid()) == nil {
				runtime.UnlockOSThread()
			}
			done <- dialed{conn, err}
		}()
		result := <-done
		return result.conn, result.err
	}
}

func setThreadEUID(uid int) error {
	const keep = ^uintptr(0)
	if _, _, errno := syscall.RawSyscall(syscall.SYS_SETRESUID, keep, uintptr(uid), keep); errno != 0 { //nolint:gosec // uids are not negative
		return errno
	}
	return nil
}
