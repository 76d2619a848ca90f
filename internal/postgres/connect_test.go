package postgres

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pgleap/pgleap/internal/pgtest"
	"github.com/pgleap/pgleap/internal/upgrade"
)

func overSocket(c *pgtest.Cluster) Login {
	return Login{Address: upgrade.Address{Host: c.SocketDir, Port: c.Port}, Database: "postgres", User: c.Superuser}
}

// show asks a fresh session for a setting.
func show(t *testing.T, l Login, setting string) string {
	t.Helper()
	conn, err := Connect(t.Context(), l)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	var value string
	if err := conn.QueryRow(t.Context(), "select current_setting($1)", setting).Scan(&value); err != nil {
		t.Fatal(err)
	}
	return value
}

func TestConnectIsDeafToTheEnvironment(t *testing.T) {
	cluster := pgtest.Start(t, 15)
	for name, value := range map[string]string{
		"PGHOST": "/nowhere", "PGPORT": "1", "PGUSER": "nobody", "PGDATABASE": "none", "PGSSLMODE": "require",
		"PGOPTIONS": "-c work_mem=64kB", "PGAPPNAME": "x",
	} {
		t.Setenv(name, value)
	}
	if got := show(t, overSocket(cluster), "application_name"); got != "pgleap" {
		t.Errorf("application_name is %q", got)
	}
	if got := show(t, overSocket(cluster), "work_mem"); got == "64kB" {
		t.Error("PGOPTIONS is obeyed")
	}
}

// A trigger that lets nobody in, and one that writes where a session only reads, keep pgleap out neither.
func TestConnectPassesLoginTriggers(t *testing.T) {
	cluster := pgtest.Start(t, 17)
	cluster.Exec(t, "postgres", `
		CREATE TABLE logins (at timestamptz);
		CREATE FUNCTION noted() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO public.logins VALUES (now()); END $$;
		CREATE EVENT TRIGGER noting ON login EXECUTE FUNCTION noted()`)
	readOnly := overSocket(cluster).With(map[string]string{"default_transaction_read_only": "on"})
	if got := show(t, readOnly, "event_triggers"); got != "off" {
		t.Errorf("a trigger that writes: event_triggers is %q", got)
	}
	cluster.Exec(t, "postgres", `
		CREATE FUNCTION refused() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'nobody may'; END $$;
		CREATE EVENT TRIGGER refusing ON login EXECUTE FUNCTION refused();
		ALTER EVENT TRIGGER refusing ENABLE ALWAYS; ALTER EVENT TRIGGER noting DISABLE`)
	if got := show(t, overSocket(cluster), "event_triggers"); got != "off" {
		t.Errorf("a trigger that refuses: event_triggers is %q", got)
	}
}

func TestConnectOverridesWhatTheUserSet(t *testing.T) {
	cluster := pgtest.Start(t, 17)
	cluster.Exec(t, "postgres", `
		alter role postgres set search_path = 'evil';
		alter role postgres set lock_timeout = '1s';
		alter role postgres set idle_session_timeout = '1h';
		alter role postgres set transaction_timeout = '1h';
		alter database postgres set default_transaction_read_only = on`)
	for setting, want := range map[string]string{"search_path": "pg_catalog", "lock_timeout": "0", "idle_session_timeout": "0", "transaction_timeout": "0", "default_transaction_read_only": "off", "TimeZone": "UTC"} {
		if got := show(t, overSocket(cluster), setting); got != want {
			t.Errorf("%s is %q, want %q", setting, got, want)
		}
	}
	login := overSocket(cluster)
	login.Settings = map[string]string{"work_mem": "64kB", "lock_timeout": "2s"}
	if got := show(t, login, "work_mem"); got != "64kB" {
		t.Errorf("work_mem is %q", got)
	}
	if got := show(t, login, "lock_timeout"); got != "2s" {
		t.Errorf("lock_timeout is %q", got)
	}
}

// Root is seen as the owner for the length of one connect, and by no thread afterwards.
func TestConnectAsPeer(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can be seen as somebody else")
	}
	cluster := pgtest.Start(t, 15, pgtest.HBA("local all postgres peer\n"))
	login := overSocket(cluster)
	if conn, err := Connect(t.Context(), login); err == nil {
		conn.Close(t.Context())
		t.Error("root is let in as postgres")
	}
	info, err := os.Stat(cluster.Pgdata)
	if err != nil {
		t.Fatal(err)
	}
	login.PeerUID = ownerUID(t, info)
	var group sync.WaitGroup
	for range 30 {
		group.Go(func() {
			conn, err := Connect(t.Context(), login)
			if err != nil {
				t.Error(err)
				return
			}
			conn.Close(t.Context())
		})
	}
	group.Wait()
	threads, err := filepath.Glob("/proc/self/task/*/status")
	if err != nil {
		t.Fatal(err)
	}
	for _, thread := range threads {
		content, err := os.ReadFile(thread)
		if err == nil && !strings.Contains(string(content), "\nUid:\t0\t0\t0\t0\n") {
			t.Errorf("%s is not root any more", thread)
		}
	}
}

func TestConnectWithPassfile(t *testing.T) {
	cluster := pgtest.Start(t, 17, pgtest.HBA("local all postgres trust\nhost all all 127.0.0.1/32 scram-sha-256\n"))
	admin, err := Connect(t.Context(), overSocket(cluster))
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close(t.Context())
	if _, err := admin.Exec(t.Context(), `create role app login password 'se:cret'`); err != nil {
		t.Fatal(err)
	}
	passfile := filepath.Join(t.TempDir(), "pass file")
	line := fmt.Sprintf("127.0.0.1:%d:*:app:se\\:cret\n", cluster.Port)
	if err := os.WriteFile(passfile, []byte(line), 0o600); err != nil {
		t.Fatal(err)
	}
	login := Login{Address: upgrade.Address{Host: "127.0.0.1", Port: cluster.Port}, Database: "postgres", User: "app", Passfile: passfile}
	if got := show(t, login, "session_authorization"); got != "app" {
		t.Errorf("connected as %q", got)
	}
	if got := show(t, login.In("template1"), "session_authorization"); got != "app" {
		t.Errorf("connected as %q", got)
	}
	login.Passfile = ""
	_, err = Connect(t.Context(), login)
	if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("connect to 127.0.0.1:%d, database \"postgres\", as \"app\"", cluster.Port)) || strings.Contains(err.Error(), "cret") {
		t.Errorf("without a password: %v", err)
	}
}

func TestConnInfo(t *testing.T) {
	login := Login{Address: upgrade.Address{Host: "127.0.0.1", Port: 5432}, Database: `it's \ here`, User: "two words", Passfile: "/no/such file"}
	config, err := pgx.ParseConfig(login.ConnInfo("pgleap_1"))
	if err != nil {
		t.Fatal(err)
	}
	if config.Database != login.Database || config.User != login.User || config.RuntimeParams["application_name"] != "pgleap_1" || config.TLSConfig != nil {
		t.Errorf("read back: %+v", config)
	}
}

func FuzzQuote(f *testing.F) {
	f.Add(`it's \ here`)
	f.Add("")
	f.Fuzz(func(t *testing.T, value string) {
		if strings.ContainsRune(value, 0) || value == "" {
			return
		}
		config, err := pgx.ParseConfig("host=127.0.0.1 passfile=/dev/null user=u dbname=" + quote(value))
		if err != nil || config.Database != value {
			t.Errorf("%q became %q, %v", value, config.Database, err)
		}
	})
}
