package main

import (
	"context"
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

// stage is a source with many tables, and an agent that has the target's programs.
type stage struct {
	options
	place  *harness.Workplace
	source *harness.Cluster
	runner *run.Runner
	user   run.User
	worker *onhost.Worker
	plan   upgrade.Plan
}

func setUp(ctx context.Context, o options) (*stage, error) {
	log := slog.New(slog.DiscardHandler)
	s := &stage{options: o, runner: run.New(log)}
	bindir, err := harness.FindBindir(o.to)
	if err != nil {
		return nil, err
	}
	if s.place, err = harness.NewWorkplace("pgleap-bench-"); err != nil {
		return nil, err
	}
	if s.user, err = run.LookupUser(s.place.Owner()); err != nil {
		return s, err
	}
	s.source, err = s.place.NewCluster(ctx, o.from, map[string]string{"wal_level": "logical", "max_locks_per_transaction": "256"})
	if err != nil {
		return s, err
	}
	host := postmaster.New("bench", s.runner, []string{filepath.Dir(bindir)}, log)
	s.worker = onhost.New(host, s.runner, filepath.Join(s.place.Dir, "agent"), onhost.GuardCommand{}, log, time.Now)
	source, err := host.Inspect(ctx, step.InspectArgs{Pgdata: s.source.Pgdata})
	if err != nil {
		return s, err
	}
	target, err := host.ChooseTarget(ctx, step.ChooseTargetArgs{
		Source: source, Major: upgrade.Major(o.to), Pgdata: s.source.Pgdata + "-target",
	})
	if err != nil {
		return s, err
	}
	target.Bindir = bindir
	s.plan = upgrade.Plan{
		Instance: "bench", Mode: upgrade.ZeroDowntime, Source: source, Target: target,
		Endpoint: upgrade.Endpoint{Driver: upgrade.PgBouncer}, Options: upgrade.Options{}.WithDefaults(),
	}
	return s, s.fill(ctx)
}

func (s *stage) clear() error { return s.place.Clear(context.Background()) }

// fill makes the tables: the schema only, as the checks look at nothing else.
func (s *stage) fill(ctx context.Context) error {
	left := s.tables
	for i := range s.databases {
		database := fmt.Sprintf("bench%d", i)
		if err := s.source.Exec(ctx, "postgres", "CREATE DATABASE "+database); err != nil {
			return err
		}
		here := left / (s.databases - i)
		left -= here
		err := s.source.In(ctx, database, func(conn *pgx.Conn) error {
			for first := 0; first < here; first += 100 { // not all locks at once
				var sql strings.Builder
				for t := first; t < min(first+100, here); t++ {
					fmt.Fprintf(&sql, "CREATE TABLE t%d (id bigserial PRIMARY KEY, name text, doc jsonb, at timestamptz DEFAULT now()); CREATE INDEX ON t%d (name);", t, t)
				}
				if _, err := conn.Exec(ctx, sql.String()); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("fill database %s: %w", database, err)
		}
	}
	return s.source.Exec(ctx, "postgres", "CHECKPOINT")
}

// pgUpgradeCheck runs the program alone, against a target that is there already.
func (s *stage) pgUpgradeCheck(ctx context.Context) (time.Duration, error) {
	dir, err := os.MkdirTemp("/tmp", "pgleap-bench-check-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a directory below /tmp
	if err := s.user.Chown(dir); err != nil {
		return 0, err
	}
	as := pgbin.Caller{Runner: s.runner, As: s.user}
	target := filepath.Join(dir, "data")
	initdb := pgbin.Initdb{
		Bindir: s.plan.Target.Bindir, Version: s.plan.Target.Version, Pgdata: target, Superuser: s.plan.Source.Superuser,
		Encoding: "UTF8", LcCollate: "C.UTF-8", LcCtype: "C.UTF-8", NoSync: true,
	}
	if err := initdb.Run(ctx, as); err != nil {
		return 0, err
	}
	port, err := harness.FreePort()
	if err != nil {
		return 0, err
	}
	started := time.Now()
	_, err = pgbin.PgUpgrade{
		OldBindir: s.plan.Source.Bindir, NewBindir: s.plan.Target.Bindir, OldPgdata: s.plan.Source.Pgdata, NewPgdata: target,
		OldPort: s.plan.Source.Port, NewPort: port, SocketDir: dir, Superuser: s.plan.Source.Superuser,
		Transfer: pgbin.TransferCopy, Dir: dir,
	}.Check(ctx, as)
	return time.Since(started), err
}

// precheck runs all of it, as the agent does.
func (s *stage) precheck(ctx context.Context, number int64) (time.Duration, error) {
	started := time.Now()
	report, err := s.worker.Precheck(ctx, step.PrecheckArgs{Number: number, Plan: s.plan})
	took := time.Since(started)
	if err == nil && len(report.NotChecked) > 0 {
		err = fmt.Errorf("not checked: %s", strings.Join(report.NotChecked, "; "))
	}
	return took, err
}

func (s *stage) fingerprint(ctx context.Context) (time.Duration, error) {
	started := time.Now()
	taken, err := s.worker.Fingerprint(ctx, s.plan)
	if err == nil && len(taken.Parts) == 0 {
		err = fmt.Errorf("the fingerprint has no parts")
	}
	return time.Since(started), err
}
