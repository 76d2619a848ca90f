package main

import (
	"context"
	"crypto/rand"
	_ "embed"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgleap/pgleap/internal/endpoint"
	"github.com/pgleap/pgleap/internal/endpoint/pgbouncer"
	"github.com/pgleap/pgleap/internal/postgres"
	"github.com/pgleap/pgleap/internal/run"
	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/test/harness"
)

//go:embed schema.sql
var schema string

// role is the application's.
const role = "app"

// databases are those that clients use; all lists every one that is replicated.
var (
	databases = []string{"bank", "shop"}
	all       = []string{"postgres", "bank", "shop"}
)

// hosts are two addresses of the source: the endpoint is moved from one to the other.
var hosts = [2]string{"127.0.0.1", "127.0.0.2"}

// stage is a source and a target that are kept in step, and a PgBouncer in front of the source.
type stage struct {
	place          *harness.Workplace
	source, target *harness.Cluster
	login          postgres.Login // pgleap's role on the source
	targetLogin    postgres.Login
	secret         string // of the application's role
	pooler         pgbouncer.Own
	psql           string
	control        *pgx.Conn // on the source; lifts the fence
	at             int       // which of the hosts the endpoint leads to
	log            *slog.Logger
}

// setUp makes all of it. What it made so far is returned with an error, to be cleared.
func setUp(ctx context.Context, o options, log *slog.Logger) (*stage, error) {
	place, err := harness.NewWorkplace("pgleap-bench-")
	if err != nil {
		return nil, err
	}
	s := &stage{place: place, secret: rand.Text(), log: log}
	for _, part := range []func(context.Context, options) error{
		s.makeClusters, s.makeRoles, s.makeDatabases, s.replicate, s.startPooler,
	} {
		if err := part(ctx, o); err != nil {
			return s, err
		}
	}
	return s, s.synchronize(ctx)
}

func (s *stage) clear(ctx context.Context) error {
	if s.control != nil {
		_ = s.control.Close(ctx)
	}
	return s.place.Clear(ctx)
}

func (s *stage) makeClusters(ctx context.Context, o options) (err error) {
	settings := map[string]string{"listen_addresses": strings.Join(hosts[:], ",")}
	if s.source, err = s.place.NewCluster(ctx, o.from, settings); err != nil {
		return err
	}
	if s.target, err = s.place.NewCluster(ctx, o.to, settings); err != nil {
		return err
	}
	s.psql = filepath.Join(s.target.Bindir, "psql")
	return s.restartTarget(ctx)
}

// restartTarget starts the target in a clean environment: the one it was made in has the superuser's
// password in PGPASSWORD, and its apply workers would use that one instead of the passfile.
func (s *stage) restartTarget(ctx context.Context) error {
	user, err := run.LookupUser(s.place.Owner())
	if err != nil {
		return err
	}
	if err := s.target.Stop(ctx); err != nil {
		return err
	}
	_, err = run.New(s.log).Run(ctx, run.Command{
		Path: filepath.Join(s.target.Bindir, "pg_ctl"), As: user, Dir: "/",
		Args: []string{"start", "--pgdata", s.target.Pgdata, "--log", filepath.Join(s.place.Logs(), "target.log"), "--wait", "--silent"},
	})
	return err
}

// makeRoles makes pgleap's role and the application's, the same on both sides.
func (s *stage) makeRoles(ctx context.Context, _ options) error {
	password := rand.Text()
	passfile := filepath.Join(s.place.Dir, "passfile")
	user, err := run.LookupUser(s.place.Owner())
	if err != nil {
		return err
	}
	line := "*:*:*:" + upgrade.Role + ":" + password + "\n" // the apply workers read it too
	if err := errors.Join(os.WriteFile(passfile, []byte(line), 0o600), user.Chown(passfile)); err != nil {
		return err
	}
	s.login = postgres.Login{Address: upgrade.Address{Host: hosts[0], Port: s.source.Port}, Database: "postgres", User: upgrade.Role, Passfile: passfile}
	s.targetLogin = s.login
	s.targetLogin.Address.Port = s.target.Port
	ours, err := postgres.ScramVerifier(password)
	if err != nil {
		return err
	}
	theirs, err := postgres.ScramVerifier(s.secret)
	if err != nil {
		return err
	}
	for _, c := range []*harness.Cluster{s.source, s.target} {
		err := c.In(ctx, "postgres", func(conn *pgx.Conn) error {
			if err := postgres.EnsureRole(ctx, conn, ours); err != nil {
				return err
			}
			_, err := conn.Exec(ctx, fmt.Sprintf(`
				CREATE ROLE %s LOGIN PASSWORD '%s';
				ALTER ROLE %s PASSWORD NULL`, role, theirs, pgx.Identifier{c.Superuser}.Sanitize()))
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// makeDatabases makes the same tables with the same rows on both sides.
func (s *stage) makeDatabases(ctx context.Context, o options) error {
	for _, login := range []postgres.Login{s.login, s.targetLogin} {
		for _, name := range databases {
			if err := script(ctx, login, "CREATE DATABASE "+name); err != nil {
				return err
			}
			if err := script(ctx, login.In(name), fmt.Sprintf(schema, o.sequences)); err != nil {
				return err
			}
		}
	}
	return nil
}

// replicate subscribes the target to every database of the source. Both hold the same rows by now.
func (s *stage) replicate(ctx context.Context, o options) error {
	for _, name := range all {
		err := in(ctx, s.login.In(name), func(conn *pgx.Conn) error {
			return errors.Join(postgres.EnsureMarker(ctx, conn), postgres.EnsurePublication(ctx, conn))
		})
		if err != nil {
			return err
		}
	}
	found := map[string]uint32{}
	err := in(ctx, s.login, func(conn *pgx.Conn) error {
		list, err := postgres.ReplicatedDatabases(ctx, conn)
		for _, db := range list {
			found[db.Name] = db.OID
		}
		return err
	})
	if err != nil {
		return err
	}
	for _, name := range all {
		if err := s.subscribe(ctx, name, upgrade.SlotName(found[name]), upgrade.Major(o.from)); err != nil {
			return err
		}
	}
	return nil
}

func (s *stage) subscribe(ctx context.Context, name, slot string, source upgrade.Major) error {
	var from postgres.LSN
	err := in(ctx, s.login.In(name), func(conn *pgx.Conn) (err error) {
		from, err = postgres.EnsureLogicalSlot(ctx, conn, slot)
		return err
	})
	if err != nil {
		return err
	}
	return in(ctx, s.targetLogin.In(name), func(conn *pgx.Conn) error {
		if err := postgres.EnsureMarker(ctx, conn); err != nil {
			return err
		}
		if err := postgres.EnsurePublication(ctx, conn); err != nil { // a clone has it too
			return err
		}
		return postgres.Subscribe(ctx, conn, postgres.NewSubscription{
			Name: upgrade.Subscription, Publication: upgrade.Publication, Publisher: s.login.In(name),
			Slot: slot, Version: source, From: from,
		})
	})
}

// startPooler starts a PgBouncer as pgleap runs one, and the connection that lifts the fence.
func (s *stage) startPooler(ctx context.Context, _ options) (err error) {
	if s.control, err = postgres.Connect(ctx, s.login); err != nil {
		return err
	}
	secrets, err := postgres.RoleSecrets(ctx, s.control)
	if err != nil {
		return err
	}
	var users []pgbouncer.User
	for _, secret := range secrets {
		users = append(users, pgbouncer.User{Name: secret.Name, Secret: secret.Secret})
	}
	user, err := run.LookupUser(s.place.Owner())
	if err != nil {
		return err
	}
	binary, err := run.LookPath("pgbouncer")
	if err != nil {
		return err
	}
	port, err := harness.FreePort()
	if err != nil {
		return err
	}
	s.pooler = pgbouncer.Own{
		Dir: filepath.Join(s.place.Dir, "pgbouncer"), UID: user.UID, GID: user.GID, Binary: binary,
		Starter: starter{run.New(s.log), user}, ListenAddress: "127.0.0.1", ListenPort: port,
		Target: s.address(s.at), AuthType: pgbouncer.AuthType(users),
	}
	if err := s.pooler.Start(ctx); err != nil {
		return err
	}
	_, err = s.pooler.RefreshUsers(ctx, users)
	return err
}

type starter struct {
	runner *run.Runner
	user   run.User
}

// Start runs a program to its end.
func (s starter) Start(ctx context.Context, path string, args []string) error {
	_, err := s.runner.Run(ctx, run.Command{Path: path, Args: args, As: s.user})
	return err
}

// address is one of the source's two.
func (s *stage) address(i int) endpoint.Address {
	return endpoint.Address{Host: hosts[i], Port: s.source.Port}
}

// next is the one that the endpoint does not lead to.
func (s *stage) next() int { return 1 - s.at }

// connections counts those that PgBouncer has to the source.
func (s *stage) connections(ctx context.Context) (int, error) {
	state, err := pgbouncer.New(s.pooler.Adopt(s.address(0))).Describe(ctx)
	count := 0
	for _, db := range state.Databases {
		count += db.ServerConnections
	}
	return count, err
}

// unfence lets the application log in to the source again.
func (s *stage) unfence(ctx context.Context) error {
	return postgres.PermitLogins(ctx, s.control, []string{role, s.source.Superuser})
}

// synchronize enables the subscriptions and waits until the target has caught up.
func (s *stage) synchronize(ctx context.Context) error {
	for _, name := range all {
		target, err := postgres.Connect(ctx, s.targetLogin.In(name))
		if err != nil {
			return err
		}
		_, err = target.Exec(ctx, "ALTER SUBSCRIPTION "+upgrade.Subscription+" ENABLE") // from where it stands
		if err == nil {
			err = in(ctx, s.login.In(name), func(source *pgx.Conn) error { return arrived(ctx, source, target) })
		}
		if err := errors.Join(err, target.Close(ctx)); err != nil {
			return fmt.Errorf("synchronize %s: %w", name, err)
		}
	}
	return nil
}

// arrived sends a marker and waits for it.
func arrived(ctx context.Context, source, target *pgx.Conn) error {
	number, err := postgres.AdvanceMarker(ctx, source)
	if err != nil {
		return err
	}
	return harness.Await(ctx, 30*time.Second, "the target to catch up", func(ctx context.Context) error {
		marker, err := postgres.ReadMarker(ctx, target)
		if err == nil && marker.Number < number {
			err = fmt.Errorf("it has applied marker %d of %d", marker.Number, number)
		}
		return err
	})
}

// verify looks that every transaction that a client was told of is on both sides, once.
func (s *stage) verify(ctx context.Context, l *load) error {
	if err := s.synchronize(ctx); err != nil {
		return err
	}
	for side, login := range map[string]postgres.Login{"source": s.login, "target": s.targetLogin} {
		rows := 0
		for _, name := range databases {
			err := in(ctx, login.In(name), func(conn *pgx.Conn) error {
				var count int
				err := conn.QueryRow(ctx, `SELECT count(*)::int FROM public.history`).Scan(&count)
				rows += count
				return err
			})
			if err != nil {
				return err
			}
		}
		if acknowledged := l.acknowledged(); rows != acknowledged {
			return fmt.Errorf("%d transactions were acknowledged, the %s has %d", acknowledged, side, rows)
		}
	}
	return l.failure()
}

func in(ctx context.Context, l postgres.Login, do func(*pgx.Conn) error) error {
	conn, err := postgres.Connect(ctx, l)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // nothing is lost with it
	return do(conn)
}

func script(ctx context.Context, l postgres.Login, text string) error {
	return in(ctx, l, func(conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, text)
		return err
	})
}
