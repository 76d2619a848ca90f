package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgleap/pgleap/internal/pgbin"
	"github.com/pgleap/pgleap/internal/postmaster"
	"github.com/pgleap/pgleap/internal/run"
	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/internal/upgrade/step"
	"github.com/pgleap/pgleap/internal/work/onhost"
	"github.com/pgleap/pgleap/test/harness"
)

// stage is a source that is down, of which each contestant has copies.
type stage struct {
	options
	dir      string
	user     run.User
	runner   *run.Runner
	log      *slog.Logger
	from, to string // bindirs
	port     int
	upgrades int64
	steps    [][]upgrade.StepDuration // of our outages
}

// startTimeout is how long a cluster may take to start or to stop.
const startTimeout = time.Minute

func setUp(ctx context.Context, o options) (s *stage, err error) {
	log := slog.New(slog.DiscardHandler)
	s = &stage{options: o, runner: run.New(log), log: log}
	name := "postgres"
	if os.Geteuid() != 0 {
		name = os.Getenv("USER")
	}
	if s.user, err = run.LookupUser(name); err != nil {
		return nil, err
	}
	if s.from, err = harness.FindBindir(o.from); err != nil {
		return nil, err
	}
	if s.to, err = harness.FindBindir(o.to); err != nil {
		return nil, err
	}
	if s.port, err = harness.FreePort(); err != nil {
		return nil, err
	}
	if s.dir, err = os.MkdirTemp("", "pgleap-bench-"); err != nil {
		return nil, err
	}
	if err := s.user.Chown(s.dir); err != nil {
		return s, err
	}
	return s, s.makeSource(ctx)
}

func (s *stage) clear() error { return os.RemoveAll(s.dir) }

func (s *stage) as() pgbin.Caller { return pgbin.Caller{Runner: s.runner, As: s.user} }

func (s *stage) base() string   { return filepath.Join(s.dir, "base") }
func (s *stage) source() string { return filepath.Join(s.dir, "source") }
func (s *stage) target() string { return filepath.Join(s.dir, "target") }

// initdb makes a data directory that takes connections from this host.
func (s *stage) initdb(ctx context.Context, bindir, pgdata string) error {
	args := []string{"--pgdata=" + pgdata, "--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8"}
	if s.options.to >= 18 && bindir == s.to {
		args = append(args, "--no-data-checksums")
	}
	if err := s.program(ctx, filepath.Join(bindir, "initdb"), args...); err != nil {
		return err
	}
	conf, err := os.OpenFile(filepath.Join(pgdata, "postgresql.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(conf, "port = %d\nlisten_addresses = '127.0.0.1'\nunix_socket_directories = '%s'\nmax_locks_per_transaction = 256\n", s.port, s.dir)
	return errors.Join(err, conf.Close())
}

func (s *stage) program(ctx context.Context, path string, args ...string) error {
	_, err := s.runner.Run(ctx, run.Command{Path: path, Args: args, As: s.user})
	return err
}

func (s *stage) start(ctx context.Context, bindir, pgdata string) error {
	return pgbin.PgCtl{Bindir: bindir, Pgdata: pgdata}.Start(ctx, s.as(), filepath.Join(s.dir, "log"), "", startTimeout)
}

func (s *stage) stop(ctx context.Context, bindir, pgdata string) error {
	return pgbin.PgCtl{Bindir: bindir, Pgdata: pgdata}.Stop(context.WithoutCancel(ctx), s.as(), pgbin.StopFast, startTimeout)
}

func (s *stage) connect(ctx context.Context) (*pgx.Conn, error) {
	return pgx.Connect(ctx, fmt.Sprintf("host=127.0.0.1 port=%d user=postgres dbname=postgres sslmode=disable", s.port))
}

func (s *stage) makeSource(ctx context.Context) error {
	if err := s.initdb(ctx, s.from, s.base()); err != nil {
		return err
	}
	if err := s.start(ctx, s.from, s.base()); err != nil {
		return err
	}
	conn, err := s.connect(ctx)
	if err == nil {
		defer conn.Close(ctx) //nolint:errcheck // nothing is lost with it
		_, err = conn.Exec(ctx, `CREATE TABLE beats (at timestamptz)`)
	}
	for first := 0; err == nil && first < s.tables; first += 100 { // not all locks at once
		var sql strings.Builder
		for i := first; i < min(first+100, s.tables); i++ {
			fmt.Fprintf(&sql, "CREATE TABLE t%d (id bigserial PRIMARY KEY, body text, at timestamptz DEFAULT now());", i)
		}
		_, err = conn.Exec(ctx, sql.String())
	}
	return errors.Join(err, s.stop(ctx, s.from, s.base()))
}

// copySource makes the source anew and starts it.
func (s *stage) copySource(ctx context.Context) error {
	if err := s.copyBase(ctx); err != nil {
		return err
	}
	return s.start(ctx, s.from, s.source())
}

// copyBase makes the source anew.
func (s *stage) copyBase(ctx context.Context) error {
	for _, pgdata := range []string{s.source(), s.target(), s.target() + ".pgleap"} {
		if err := os.RemoveAll(pgdata); err != nil {
			return err
		}
	}
	if err := s.program(ctx, "/bin/cp", "-a", s.base(), s.source()); err != nil {
		return err
	}
	return s.program(ctx, "/bin/sync", "-f", s.dir) // what is copied is not the contestants' to write
}

// ours is an upgrade by pgleap's agent.
func (s *stage) ours(ctx context.Context) (time.Duration, error) {
	if err := s.copySource(ctx); err != nil {
		return 0, err
	}
	host := postmaster.New("bench", s.runner, []string{filepath.Dir(s.to)}, s.log)
	worker := onhost.New(host, s.runner, filepath.Join(s.dir, "agent"), onhost.GuardCommand{}, s.log, time.Now)
	s.upgrades++
	plan := upgrade.Plan{Number: s.upgrades, ID: "bench", Instance: "bench", Mode: upgrade.InPlace}
	plan.Options = upgrade.Options{Jobs: s.jobs, Transfer: upgrade.TransferLink, Statistics: upgrade.StatisticsAfter}.WithDefaults()
	var err error
	if plan.Source, err = host.Inspect(ctx, step.InspectArgs{Pgdata: s.source()}); err != nil {
		return 0, err
	}
	plan.Target, err = host.ChooseTarget(ctx, step.ChooseTargetArgs{Source: plan.Source, Major: upgrade.Major(s.options.to), Pgdata: s.target()})
	if err != nil {
		return 0, err
	}
	plan.Target.Port = plan.Source.Port
	if _, err := worker.PrepareInPlace(ctx, plan); err != nil {
		return 0, err
	}
	return s.measure(ctx, func(ctx context.Context) error {
		result, err := worker.UpgradeInPlace(ctx, step.InPlaceArgs{Plan: plan})
		if err == nil && !result.Switchover.Switched {
			err = errors.New(result.Switchover.Reason)
		}
		s.steps = append(s.steps, result.Switchover.Steps)
		return err
	})
}

// script is what a careful DBA would run, with everything prepared.
const script = `
set -e
cd "$DIR"
"$OLD/pg_ctl" stop -D source -m fast -w -s
"$NEW/pg_upgrade" -b "$OLD" -B "$NEW" -d "$DIR/source" -D "$DIR/target" -U postgres --link --jobs "$JOBS" -p 50432 -P 50433 -s "$DIR" > upgrade.out
"$NEW/pg_ctl" start -D target -l log -w -s
`

// bare is an upgrade by the script.
func (s *stage) bare(ctx context.Context) (time.Duration, error) {
	if err := s.copySource(ctx); err != nil {
		return 0, err
	}
	if err := s.initdb(ctx, s.to, s.target()); err != nil {
		return 0, err
	}
	return s.measure(ctx, func(ctx context.Context) error {
		_, err := s.runner.Run(ctx, run.Command{Path: "/bin/sh", Args: []string{"-c", script}, As: s.user, Env: []string{
			"DIR=" + s.dir, "OLD=" + s.from, "NEW=" + s.to, fmt.Sprintf("JOBS=%d", s.jobs),
		}})
		return err
	})
}

// measure lets a client insert rows while something upgrades the source, and returns the longest time without
// any. The target is stopped in the end.
func (s *stage) measure(ctx context.Context, do func(context.Context) error) (time.Duration, error) {
	beating, stop := context.WithCancel(ctx)
	longest := make(chan time.Duration, 1)
	begun := make(chan struct{})
	go func() { longest <- s.beat(beating, begun) }()
	<-begun
	err := do(ctx)
	if err == nil {
		time.Sleep(200 * time.Millisecond) // the client finds the target
	}
	stop()
	return <-longest, errors.Join(err, s.stop(ctx, s.to, s.target()))
}

// beat inserts rows until ctx ends, and returns the longest time between two.
func (s *stage) beat(ctx context.Context, begun chan<- struct{}) (longest time.Duration) {
	var conn *pgx.Conn
	var last time.Time
	for ctx.Err() == nil {
		var err error
		if conn == nil {
			conn, err = s.connect(ctx)
		}
		if err == nil {
			_, err = conn.Exec(ctx, `INSERT INTO beats VALUES (now())`)
		}
		switch {
		case err == nil && last.IsZero():
			close(begun)
			last = time.Now()
		case err == nil:
			longest = max(longest, time.Since(last))
			last = time.Now()
		case conn != nil:
			_ = conn.Close(context.WithoutCancel(ctx))
			conn = nil
		}
		select {
		case <-ctx.Done():
		case <-time.After(2 * time.Millisecond):
		}
	}
	if conn != nil {
		_ = conn.Close(context.WithoutCancel(ctx))
	}
	return longest
}
