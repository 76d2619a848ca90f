package precheck

import (
	"context"
	"fmt"
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
		// Without statistics of the catalogs, as after a restore: subqueries are hashed, nothing is compiled.
		"work_mem": "64MB",
		"jit":      "off",
	}
}

func run(ctx context.Context, checks []Check, subject Subject, now time.Time) (upgrade.Report, error) {
	checks = of(checks, subject.Plan.Mode)
	login := subject.Source.With(sessionSettings())
	source, err := postgres.Connect(ctx, login)
	if err != nil {
		return upgrade.Report{}, err
	}
	defer disconnect(ctx, source)
	facts, err := gather(ctx, source, subject)
	if err != nil {
		return upgrade.Report{}, err
	}
	defer facts.close(context.WithoutCancel(ctx))
	facts.compared = Known(facts.compare(ctx, source))

	r := round{facts: facts, checks: checks, seen: newSeen()}
	r.lookIntoDatabases(ctx, login) // first: what they hold counts for the cluster
	inDatabases := r.notChecked
	r.notChecked = nil
	r.lookAtCluster(ctx, source)
	r.notChecked = append(r.notChecked, inDatabases...)
	r.hearPgUpgrade()
	estimate := r.estimate(ctx, source)
	r.withoutRepeats()
	r.raiseOnce()
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

// of picks the checks that concern a mode.
func of(checks []Check, mode upgrade.Mode) []Check {
	return slices.DeleteFunc(slices.Clone(checks), func(c Check) bool { return !slices.Contains(c.Modes, mode) })
}

// round is one run of the checks.
type round struct {
	seen

	facts  *Facts
	checks []Check
}

// seen is what the checks found, and what they could not look at.
type seen struct {
	found      map[string][]located // by check
	notChecked []string
	workload   Measured[upgrade.Workload]
}

func newSeen() seen { return seen{found: map[string][]located{}} }

// add takes over what was seen elsewhere.
func (s *seen) add(other seen) {
	for check, found := range other.found {
		s.found[check] = append(s.found[check], found...)
	}
	s.notChecked = append(s.notChecked, other.notChecked...)
}

// located is what was found, and the database in which its SQL is to be run.
type located struct {
	Found
	database string
}

// withoutRepeats takes the configuration's word about libraries out that are told by name already.
func (r *round) withoutRepeats() {
	if len(r.found[preloadedLibraries.ID]) > 0 {
		r.found[configurationInvalid.ID] = filter(r.found[configurationInvalid.ID], func(l located) bool { return l.Object != preload })
	}
}

// raiseOnce gives what was found in several databases the SQL of the one that needs most of a setting.
func (r *round) raiseOnce() {
	for _, found := range r.found {
		var most located
		for _, one := range found {
			if one.Raise > most.Raise {
				most = one
			}
		}
		for i := range found {
			if found[i].Raise > 0 {
				found[i].SQL, found[i].database = most.SQL, most.database
			}
		}
	}
}

func (r *round) lookAtCluster(ctx context.Context, source *pgx.Conn) {
	name := source.Config().Database
	for _, check := range r.checks {
		if check.Scope == PerCluster {
			r.look(ctx, r.facts, check, source, Session{Database: name})
		}
	}
}

// lookIntoDatabases looks into a few databases at a time. What it sees is in their order, whichever is done first.
func (r *round) lookIntoDatabases(ctx context.Context, login postgres.Login) {
	if !slices.ContainsFunc(r.checks, func(c Check) bool { return c.Scope != PerCluster }) {
		return
	}
	for _, d := range r.facts.Databases {
		if !d.Connectable() && d.Name != "template0" {
			r.notChecked = append(r.notChecked, fmt.Sprintf("database %s: not looked into, since it does not allow connections", d.Ident))
		}
	}
	databases := slices.DeleteFunc(slices.Clone(r.facts.Databases), func(d postgres.Database) bool { return !d.Connectable() })
	all := make([]seen, len(databases))
	facts := r.facts.shared()
	defer facts.close(context.WithoutCancel(ctx))
	_ = inParallel(ctx, databases, func(ctx context.Context, i int, d postgres.Database) error {
		mine := facts.take(ctx)
		defer facts.giveBack(mine)
		all[i] = r.lookIntoDatabase(ctx, mine, login.In(d.Name), d)
		return nil // what could not be looked at is in the report
	})
	for _, one := range all {
		r.add(one)
		r.facts.addWorkload(one.workload)
	}
}

func (r *round) lookIntoDatabase(ctx context.Context, facts *Facts, login postgres.Login, database postgres.Database) seen {
	here := newSeen()
	conn, err := postgres.Connect(ctx, login)
	if err != nil {
		here.notChecked = append(here.notChecked, fmt.Sprintf("database %s: %v", database.Ident, err))
		return here
	}
	defer disconnect(ctx, conn)
	here.workload = Known(facts.measureDatabase(ctx, conn))
	published := slices.ContainsFunc(facts.Published, func(d postgres.ReplicatedDatabase) bool {
		return d.OID == database.OID
	})
	for _, check := range r.checks {
		if check.Scope == PerDatabase || check.Scope == PerPublished && published {
			here.look(ctx, facts, check, conn, Session{Database: database.Name, Ident: database.Ident})
		}
	}
	return here
}

// look carries out one check in a transaction of its own, so that one which fails leaves the
// others alone.
func (s *seen) look(ctx context.Context, facts *Facts, check Check, conn *pgx.Conn, in Session) {
	begun := time.Now()
	found, err := inTransaction(ctx, conn, func(tx pgx.Tx) ([]Found, error) {
		in.Tx = tx
		return check.find(ctx, facts, in)
	})
	facts.log.DebugContext(ctx, "precheck", "check", check.ID, "database", in.Ident, "found", len(found), "took", time.Since(begun))
	if err != nil {
		where := ""
		if in.Ident != "" {
			where = " in database " + in.Ident
		}
		s.notChecked = append(s.notChecked, fmt.Sprintf("%s%s: %v", check.ID, where, err))
		return
	}
	for _, one := range found {
		switch {
		case in.Ident == "":
		case one.Object == "":
			one.Object = in.Ident
		default:
			one.Object = in.Ident + "." + one.Object
		}
		if one.Severity == "" {
			one.Severity = check.severity(facts.Plan.Mode)
		}
		one = facts.elsewhere(check, one)
		at := located{one, in.Database}
		if one.Database != "" {
			at.database = one.Database
		}
		s.found[check.ID] = append(s.found[check.ID], at)
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
