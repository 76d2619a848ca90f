package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgleap/pgleap/internal/postgres"
	"github.com/pgleap/pgleap/internal/run"
	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/test/harness"
)

// template is a slot that stays where the backlog begins: each round has copies of it.
const template = "pgleap_1"

// stage is a source with a backlog, and a target that has nothing of it yet.
type stage struct {
	options
	place          *harness.Workplace
	source, target *harness.Cluster
	from, to       postgres.Login // pgleap's role
	owner          run.User
	runner         *run.Runner
	oid            uint32 // of the database on the source
	begin          postgres.LSN
	marker         int64 // arrives last
	changes        int64
	wal            int64
}

// round is what applying the backlog took.
type round struct {
	took             time.Duration
	senders, workers time.Duration // processor time
	processes        int           // that worked at it
}

// setUp makes all of it. What it made so far is returned with an error, to be cleared.
func setUp(ctx context.Context, o options) (*stage, error) {
	place, err := harness.NewWorkplace("pgleap-bench-")
	if err != nil {
		return nil, err
	}
	s := &stage{options: o, place: place, runner: run.New(slog.New(slog.DiscardHandler))}
	for _, part := range []func(context.Context) error{s.makeClusters, s.makeRole, s.makeTables, s.publish, s.makeBacklog, s.save} {
		if err := part(ctx); err != nil {
			return s, err
		}
	}
	return s, nil
}

func (s *stage) clear(ctx context.Context) error { return s.place.Clear(ctx) }

func (s *stage) makeClusters(ctx context.Context) (err error) {
	if s.owner, err = run.LookupUser(s.place.Owner()); err != nil {
		return err
	}
	settings := map[string]string{
		"shared_buffers": s.buffers, "max_wal_size": "8GB", "checkpoint_timeout": "1h", "autovacuum": "off",
		"max_replication_slots": "20", "max_wal_senders": "20", "max_logical_replication_workers": "20", "max_worker_processes": "30",
	}
	if s.source, err = s.place.NewCluster(ctx, s.options.from, settings); err != nil {
		return err
	}
	s.target, err = s.place.NewCluster(ctx, s.options.to, settings)
	return err
}

// makeRole makes pgleap's role on both sides.
func (s *stage) makeRole(ctx context.Context) error {
	password := rand.Text()
	passfile := filepath.Join(s.place.Dir, "passfile")
	line := "*:*:*:" + upgrade.Role + ":" + password + "\n" // the apply workers read it too
	if err := errors.Join(os.WriteFile(passfile, []byte(line), 0o600), s.owner.Chown(passfile)); err != nil {
		return err
	}
	s.from = postgres.Login{Address: upgrade.Address{Host: "127.0.0.1", Port: s.source.Port}, Database: "postgres", User: upgrade.Role, Passfile: passfile}
	s.to = s.from
	s.to.Address.Port = s.target.Port
	verifier, err := postgres.ScramVerifier(password)
	if err != nil {
		return err
	}
	for _, c := range []*harness.Cluster{s.source, s.target} {
		if err := c.In(ctx, "postgres", func(conn *pgx.Conn) error { return postgres.EnsureRole(ctx, conn, verifier) }); err != nil {
			return err
		}
	}
	return nil
}

func (s *stage) makeTables(ctx context.Context) error {
	for _, login := range []postgres.Login{s.from, s.to} {
		err := in(ctx, login, func(conn *pgx.Conn) error {
			for _, statement := range schema(s.options) {
				if _, err := conn.Exec(ctx, statement); err != nil {
					return fmt.Errorf("make the tables: %w", err)
				}
			}
			return errors.Join(postgres.EnsureMarker(ctx, conn), postgres.EnsurePublication(ctx, conn))
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// publish makes the groups on both sides, as a clone has them too, and then the slot.
func (s *stage) publish(ctx context.Context) error {
	for _, login := range []postgres.Login{s.from, s.to} {
		err := in(ctx, login, func(conn *pgx.Conn) error {
			made, err := postgres.EnsureTableGroups(ctx, conn, s.groups)
			if err == nil && made.Count != s.groups {
				err = fmt.Errorf("there are %d groups", made.Count)
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return in(ctx, s.from, func(conn *pgx.Conn) (err error) {
		if s.oid, err = postgres.DatabaseOID(ctx, conn); err != nil {
			return err
		}
		s.begin, err = postgres.EnsureLogicalSlot(ctx, conn, template)
		return err
	})
}

func (s *stage) makeBacklog(ctx context.Context) error {
	return in(ctx, s.from, func(conn *pgx.Conn) error {
		if _, err := conn.Exec(ctx, backlog(s.options)); err != nil {
			return fmt.Errorf("make the backlog: %w", err)
		}
		var err error
		if s.marker, err = postgres.AdvanceMarker(ctx, conn); err != nil {
			return err
		}
		end, err := postgres.InsertLSN(ctx, conn)
		s.wal = end.Minus(s.begin)
		s.changes = int64(s.transactions * s.span * changesEach)
		return err
	})
}

func (s *stage) saved() string { return filepath.Join(s.place.Dir, "saved") }

// save keeps the target as it is.
func (s *stage) save(ctx context.Context) error {
	if err := s.target.Stop(ctx); err != nil {
		return err
	}
	return s.program(ctx, "/bin/cp", "--archive", s.target.Pgdata, s.saved())
}

// putBack makes the target what it was, and starts it in a clean environment: in the one it was made in, the apply
// workers would find the superuser's password instead of the passfile.
func (s *stage) putBack(ctx context.Context) error {
	if err := os.RemoveAll(s.target.Pgdata); err != nil {
		return err
	}
	if err := s.program(ctx, "/bin/cp", "--archive", s.saved(), s.target.Pgdata); err != nil {
		return err
	}
	if err := s.program(ctx, "/bin/sync"); err != nil {
		return err
	}
	_, err := s.runner.Run(ctx, run.Command{
		Path: filepath.Join(s.target.Bindir, "pg_ctl"), As: s.owner, Dir: "/",
		Args: []string{"start", "--pgdata", s.target.Pgdata, "--log", filepath.Join(s.place.Logs(), "target.log"), "--wait", "--silent"},
	})
	return err
}

func (s *stage) program(ctx context.Context, path string, args ...string) error {
	_, err := s.runner.Run(ctx, run.Command{Path: path, Args: args})
	return err
}

// catchUp applies the backlog in so many groups; 0: with one subscription to all tables.
func (s *stage) catchUp(ctx context.Context, groups int) (r round, err error) {
	if err := s.putBack(ctx); err != nil {
		return r, fmt.Errorf("put the target back: %w", err)
	}
	err = in(ctx, s.to, func(target *pgx.Conn) error {
		return in(ctx, s.from, func(source *pgx.Conn) error {
			for group := min(1, groups); group <= groups; group++ {
				if err := s.subscribe(ctx, source, target, group); err != nil {
					return err
				}
			}
			if err := warm(ctx, target, s.tables); err != nil {
				return err
			}
			begun := time.Now()
			if err := postgres.EnableSubscriptions(ctx, target, upgrade.Subscription, s.begin); err != nil {
				return err
			}
			if err := s.arrived(ctx, target); err != nil {
				return err
			}
			r.took, r.processes = time.Since(begun), 2*max(1, groups)
			if r.senders, err = processorTime(ctx, source, `SELECT pid FROM pg_stat_replication`); err != nil {
				return err
			}
			r.workers, err = processorTime(ctx, target, `SELECT pid FROM pg_stat_subscription WHERE pid IS NOT NULL`)
			return err
		})
	})
	if err != nil {
		return r, err
	}
	return r, s.end(ctx, groups)
}

func (s *stage) subscribe(ctx context.Context, source, target *pgx.Conn, group int) error {
	slot := upgrade.GroupSlotName(s.oid, group)
	if _, err := source.Exec(ctx, `SELECT pg_copy_logical_replication_slot($1::text, $2::text)`, template, slot); err != nil {
		return fmt.Errorf("copy slot: %w", err)
	}
	return postgres.Subscribe(ctx, target, postgres.NewSubscription{
		Name: upgrade.GroupSubscription(group), Publication: upgrade.GroupPublication(group),
		Publisher: s.from, Slot: slot, Version: upgrade.Major(s.options.from),
	})
}

// warm reads the tables and their indexes, which lie in the page cache, into the target's memory.
func warm(ctx context.Context, conn *pgx.Conn, tables int) error {
	_, err := conn.Exec(ctx, `CREATE EXTENSION IF NOT EXISTS pg_prewarm SCHEMA public`)
	for n := range tables {
		if err == nil {
			_, err = conn.Exec(ctx, fmt.Sprintf(`
				SELECT public.pg_prewarm('public.t%[1]d'), (SELECT sum(public.pg_prewarm(indexrelid)) FROM pg_index WHERE indrelid = 'public.t%[1]d'::regclass)`, n))
		}
	}
	return err
}

// limit bounds a round.
const limit = 10 * time.Minute

// arrived waits until the marker has come in all groups.
func (s *stage) arrived(ctx context.Context, target *pgx.Conn) error {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("the backlog was not applied within %s", limit))
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		marker, err := postgres.ReadMarker(ctx, target)
		if err != nil || marker.Number >= s.marker {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
}

// ticks is what a second of processor time has in /proc (USER_HZ, proc(5)).
const ticks = 100

// processorTime sums up what processes of a server have used. They run on this machine.
func processorTime(ctx context.Context, conn *pgx.Conn, query string) (total time.Duration, err error) {
	rows, err := conn.Query(ctx, query)
	if err != nil {
		return 0, err
	}
	pids, err := pgx.CollectRows(rows, pgx.RowTo[int])
	if err != nil {
		return 0, err
	}
	for _, pid := range pids {
		content, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			return 0, err
		}
		_, rest, _ := strings.Cut(string(content), ") ")
		fields := strings.Fields(rest)
		for _, field := range fields[11:13] { // utime and stime
			count, err := strconv.Atoi(field)
			if err != nil {
				return 0, err
			}
			total += time.Duration(count) * time.Second / ticks
		}
	}
	return total, nil
}

// end looks that all is there, stops the target and drops the round's slots.
func (s *stage) end(ctx context.Context, groups int) error {
	if err := s.alike(ctx); err != nil {
		return err
	}
	if err := s.target.Stop(ctx); err != nil {
		return err
	}
	return in(ctx, s.from, func(conn *pgx.Conn) error {
		for group := min(1, groups); group <= groups; group++ {
			if err := postgres.DropSlot(ctx, conn, upgrade.GroupSlotName(s.oid, group)); err != nil {
				return err
			}
		}
		return nil
	})
}

// alike compares the rows of both sides.
func (s *stage) alike(ctx context.Context) error {
	for n := range s.tables {
		var sums [2]string
		for side, login := range []postgres.Login{s.from, s.to} {
			err := in(ctx, login, func(conn *pgx.Conn) error {
				return conn.QueryRow(ctx, fmt.Sprintf(`SELECT concat(count(*), ' ', sum(hashtextextended(t::text, 0))) FROM public.t%d t`, n)).Scan(&sums[side])
			})
			if err != nil {
				return err
			}
		}
		if sums[0] != sums[1] {
			return fmt.Errorf("table t%d differs: %s on the source, %s on the target", n, sums[0], sums[1])
		}
	}
	return nil
}

func in(ctx context.Context, l postgres.Login, do func(*pgx.Conn) error) error {
	conn, err := postgres.Connect(ctx, l)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // nothing is lost with it
	return do(conn)
}
