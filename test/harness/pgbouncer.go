package harness

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/jackc/pgx/v5"
)

// PgBouncer is one that its user set up, before there was a pgleap: with comments, settings and a
// database of somebody else in its configuration.
type PgBouncer struct {
	Port     int
	Dir      string // of its socket and its files
	Ini      string
	User     string // of its console
	Passfile string // with that user's password
}

// NewPgBouncer starts one in front of a cluster. The roles that the cluster has by now may come through.
func (w *Workplace) NewPgBouncer(ctx context.Context, c *Cluster) (*PgBouncer, error) {
	program, err := exec.LookPath("pgbouncer")
	if err != nil {
		program = "/usr/sbin/pgbouncer" // where Debian has it and few users look
	}
	dir := filepath.Join(w.Dir, "pooler")
	b := &PgBouncer{Dir: dir, Ini: filepath.Join(dir, "pgbouncer.ini"), User: "pooler_admin", Passfile: filepath.Join(dir, "pgpass")}
	if b.Port, err = FreePort(); err != nil {
		return nil, err
	}
	password := rand.Text()
	users, err := userlist(ctx, c, b.User, password)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(os.Mkdir(dir, 0o755), w.owner.own(dir)); err != nil {
		return nil, err
	}
	for path, content := range map[string]string{
		b.Ini: b.ini(c), filepath.Join(dir, "userlist.txt"): users,
		b.Passfile: fmt.Sprintf("*:*:*:%s:%s\n", b.User, password),
	} {
		if err := errors.Join(os.WriteFile(path, []byte(content), 0o600), w.owner.own(path)); err != nil {
			return nil, err
		}
	}
	return b, w.owner.run(ctx, nil, program, "-q", "-d", b.Ini)
}

func (b *PgBouncer) ini(c *Cluster) string {
	return strings.NewReplacer("DIR", b.Dir, "LISTEN", fmt.Sprint(b.Port), "PORT", fmt.Sprint(c.Port), "ADMIN", b.User).Replace(`;; The pooler of the bank and the shop.
[databases]
; Accounts and the ledger. Do not rename: the nightly batch knows it.
bank = host=127.0.0.1 port=PORT dbname=bank
shop=host=127.0.0.1   port=PORT

; Another team's.
elsewhere = host=127.0.0.1 port=1 dbname=other

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = LISTEN
unix_socket_dir = DIR
pidfile = DIR/pgbouncer.pid
logfile = DIR/pgbouncer.log
auth_type = scram-sha-256
auth_file = DIR/userlist.txt
admin_users = ADMIN
; Sessions would hold a switchover up.
pool_mode = transaction
default_pool_size = 15
max_client_conn = 200
`)
}

// userlist gives PgBouncer the secrets that the cluster has for its roles, and the console's user.
func userlist(ctx context.Context, c *Cluster, admin, password string) (string, error) {
	list := fmt.Sprintf("\"%s\" \"%s\"\n", admin, password)
	err := c.In(ctx, "postgres", func(conn *pgx.Conn) error {
		rows, err := conn.Query(ctx, `SELECT rolname, rolpassword FROM pg_authid WHERE rolname IN ($1, $2)`, BankRole, ShopRole)
		if err != nil {
			return err
		}
		var role, secret string
		_, err = pgx.ForEachRow(rows, []any{&role, &secret}, func() error {
			list += fmt.Sprintf("\"%s\" \"%s\"\n", role, secret)
			return nil
		})
		return err
	})
	return list, err
}
