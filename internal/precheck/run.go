package precheck

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgleap/pgleap/internal/postgres"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// Run carries out all checks of the plan's mode. The error is that of a source that cannot be
// asked at all; anything less is in the report.
func Run(ctx context.Context, subject Subject, now time.Time) (upgrade.Report, error) {
	return run(ctx, All(), subject, now)
}

// sessionSettings keep a check from waiting for the applications, or making them wait.
func sessionSettings() map[string]string {
	return map[string]string{
		"client_encoding":                     "UTF8", // else it is that of the database
		"statement_timeout":                   "60s",
		"lock_timeout":                        "3s",
		"idle_in_transaction_session_timeout": "60s",
		"default_transaction_read_only":       "on",
	}
}

func run(ctx context.Context, checks []Check, subject Subject, now time.Time) (upgrade.Report, error) {
	checks = slices.DeleteFunc(slices.Clone(checks), func(c Check) bool {
		return !slices.Contains(c.Modes, subject.Plan.Mode)
	})
	login := subject.Source
	login.Settings = maps.Clone(login.Settings)
	if login.Settings == nil {
		login.Settings = map[string]string{}
	}
	maps.Copy(login.Settings, sessionSettings())

	source, err := postgres.Connect(ctx, login)
	if err != nil {
		return upgrade.Report{}, err
	}
	defer source.Close(context.WithoutCancel(ctx)) //nolint:errcheck // nothing depends on it
	facts, err := gather(ctx, source, subject)
	if err != nil {
		return upgrade.Report{}, err
	}
	defer facts.close(context.WithoutCancel(ctx))
	facts.compared = Known(facts.compare(ctx, source))

	r := round{facts: facts, checks: checks, found: map[string][]located{}}
	r.lookIntoDatabases(ctx, login) // first: what they hold counts for the cluster
	inDatabases := r.notChecked
	r.notChecked = nil
	r.lookAtCluster(ctx, source)
	r.notChecked = append(r.notChecked, inDatabases...)
	estimate := r.estimate(ctx, source)
	r.withoutRepeats()
	r.withoutRehearsed()
	if err := ctx.Err(); err != nil {
		return upgrade.Report{}, fmt.Errorf("precheck: %w", err)
	}
	return upgrade.Report{
		Number: subject.Number, ID: subject.ID, Instance: subject.Plan.Instance, Mode: subject.Plan.Mode,
		Source: facts.Version, Target: subject.Plan.Target.Version,
		Findings: r.findings(), NotChecked: r.notChecked, Configuration: facts.configurationReport(), Estimate: estimate,
		CheckedAt: now, ValidUntil: now.Add(upgrade.ReportValidity),
	}, nil
}

// round is one run of the checks.
type round struct {
	facts      *Facts
	checks     []Check
	found      map[string][]located // by check
	notChecked []string
}

// located is what was found, and the database in which its SQL is to be run.
type located struct {
	Found
	database string
}

func (r *round) lookAtCluster(ctx context.Context, source *pgx.Conn) {
	name := source.Config().Database
	for _, check := range r.checks {
		if check.Scope == PerCluster {
			r.look(ctx, check, source, Session{Database: name})
		}
	}
}

// lookIntoDatabases opens one session after the other: a cluster may have hundreds of databases
// and few connections to spare.
func (r *round) lookIntoDatabases(ctx context.Context, login postgres.Login) {
	if !slices.ContainsFunc(r.checks, func(c Check) bool { return c.Scope != PerCluster }) {
		return
	}
	for _, database := range r.facts.Databases {
		if database.Connectable() {
			r.lookIntoDatabase(ctx, login.In(database.Name), database)
		}
	}
}

func (r *round) lookIntoDatabase(ctx context.Context, login postgres.Login, database postgres.Database) {
	conn, err := postgres.Connect(ctx, login)
	if err != nil {
		r.notChecked = append(r.notChecked, fmt.Sprintf("database %s: %v", database.Ident, err))
		return
	}
	defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // nothing depends on it
	if r.facts.Workload.Err == nil {
		r.facts.Workload.Err = measureDatabase(ctx, conn, &r.facts.Workload.Value)
	}
	published := slices.ContainsFunc(r.facts.Published, func(d postgres.ReplicatedDatabase) bool {
		return d.OID == database.OID
	})
	for _, check := range r.checks {
		if check.Scope == PerDatabase || check.Scope == PerPublished && published {
			r.look(ctx, check, conn, Session{Database: database.Name, Ident: database.Ident})
		}
	}
}

// look carries out one check in a transaction of its own, so that one which fails leaves the
// others alone.
func (r *round) look(ctx context.Context, check Check, conn *pgx.Conn, s Session) {
	found, err := inTransaction(ctx, conn, func(tx pgx.Tx) ([]Found, error) {
		s.Tx = tx
		return check.Find(ctx, r.facts, s)
	})
	if err != nil {
		where := ""
		if s.Ident != "" {
			where = " in database " + s.Ident
		}
		r.notChecked = append(r.notChecked, fmt.Sprintf("%s%s: %v", check.ID, where, err))
		return
	}
	for _, one := range found {
		switch {
		case s.Ident == "":
		case one.Object == "":
			one.Object = s.Ident
		default:
			one.Object = s.Ident + "." + one.Object
		}
		if one.Severity == "" {
			one.Severity = check.Severity
		}
		database := s.Database
		if one.In != "" {
			database = one.In
		}
		r.found[check.ID] = append(r.found[check.ID], located{one, database})
	}
}

func inTransaction(ctx context.Context, conn *pgx.Conn, do func(pgx.Tx) ([]Found, error)) ([]Found, error) {
	tx, err := conn.BeginTx(ctx, pgx.TxOptions{AccessMode: pgx.ReadOnly})
	if err != nil {
		return nil, err
	}
	defer tx.Rollback(context.WithoutCancel(ctx)) //nolint:errcheck // there is nothing to keep
	return do(tx)
}
