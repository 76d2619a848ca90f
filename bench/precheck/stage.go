package main

import (
	"context"
	"fmt"
	"io"
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
	times  *stopwatch
}

func setUp(ctx context.Context, o options) (*stage, error) {
	tell := io.Discard
	if o.verbose {
		tell = os.Stderr
	}
	times := &stopwatch{Handler: slog.NewTextHandler(tell, &slog.HandlerOptions{Level: slog.LevelDebug})}
	log := slog.New(times)
	s := &stage{options: o, runner: run.New(slog.New(slog.DiscardHandler)), times: times}
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
	s.source, err = s.place.NewCluster(ctx, o.from, map[string]string{"wal_level": "logical", "max_locks_per_transaction": "1024"})
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

// fill makes the databases, with definitions only, as the checks look at nothing else.
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
					sql.WriteString(definitions(t))
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

// definitions makes a table with a key, a sequence and a second index. Every second one refers to the one before,
// and every tenth has a view and a trigger with a function of its own.
func definitions(t int) string {
	sql := fmt.Sprintf(`
		CREATE TABLE t%[1]d (id bigserial PRIMARY KEY, name text, doc jsonb, at timestamptz DEFAULT now());
		CREATE INDEX ON t%[1]d (name);`, t)
	if t%2 == 1 {
		sql += fmt.Sprintf(`
		ALTER TABLE t%d ADD COLUMN before bigint REFERENCES t%d;`, t, t-1)
	}
	if t%10 == 0 {
		sql += fmt.Sprintf(`
		CREATE VIEW v%[1]d AS SELECT id, lower(name) AS name, doc ->> 'kind' AS kind FROM t%[1]d WHERE at > now() - interval '1 day';
		CREATE FUNCTION f%[1]d() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.at := now(); RETURN NEW; END';
		CREATE TRIGGER touch BEFORE UPDATE ON t%[1]d FOR EACH ROW EXECUTE FUNCTION f%[1]d();`, t)
	}
	return sql
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

// round measures once: the program alone, the precheck, and the precheck with a rehearsal if it is to be.
func (s *stage) round(ctx context.Context, number int64) (r round, err error) {
	if r.alone, err = s.pgUpgradeCheck(ctx); err != nil {
		return r, err
	}
	plan := s.plan
	plan.Options.SkipSchemaRehearsal = true
	if r.whole, err = s.precheck(ctx, step.PrecheckArgs{Number: 2*number - 1, Plan: plan}); err != nil {
		return r, err
	}
	for name, took := range map[string]*time.Duration{
		onhost.StageCheck: &r.within, onhost.StageFingerprint: &r.fingerprint, onhost.StageLook: &r.checks,
	} {
		if *took = s.times.took[name]; *took == 0 {
			return r, fmt.Errorf("the precheck does not tell how long it took to %s", name)
		}
	}
	if !s.rehearsal {
		return r, nil
	}
	_, err = s.precheck(ctx, step.PrecheckArgs{Number: 2 * number, Plan: s.plan})
	r.rehearsal = s.times.took[onhost.StageRehearse]
	return r, err
}

// precheck runs all of it, as the agent does. One that could not look at everything has no time worth telling.
func (s *stage) precheck(ctx context.Context, args step.PrecheckArgs) (time.Duration, error) {
	s.times.took = map[string]time.Duration{}
	started := time.Now()
	report, err := s.worker.Precheck(ctx, args)
	took := time.Since(started)
	if err != nil {
		return took, err
	}
	if len(report.NotChecked) > 0 {
		return took, fmt.Errorf("not checked: %s", strings.Join(report.NotChecked, "; "))
	}
	for _, finding := range report.Findings {
		if finding.Check == "not-rehearsed" && !args.Plan.Options.SkipSchemaRehearsal {
			return took, fmt.Errorf("not rehearsed: %s", strings.Join(finding.Objects, "; "))
		}
	}
	return took, nil
}

// stopwatch is a handler that keeps what the log says of how long the stages of a precheck took.
type stopwatch struct {
	slog.Handler
	took map[string]time.Duration
}

// Enabled: durations are told at debug level.
func (s *stopwatch) Enabled(context.Context, slog.Level) bool { return true }

// Handle keeps durations and passes everything on.
func (s *stopwatch) Handle(ctx context.Context, record slog.Record) error {
	var name string
	var took time.Duration
	record.Attrs(func(a slog.Attr) bool {
		switch a.Key {
		case "stage":
			name = a.Value.String()
		case "took":
			took, _ = a.Value.Any().(time.Duration)
		}
		return true
	})
	if name != "" && s.took != nil {
		s.took[name] = took
	}
	return s.Handler.Handle(ctx, record)
}
