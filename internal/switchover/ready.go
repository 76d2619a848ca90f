package switchover

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/pgleap/pgleap/internal/endpoint"
	"github.com/pgleap/pgleap/internal/postgres"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// maxDrain is how long a marker may take to the target for a switchover to begin.
const maxDrain = time.Second

// retryReady is the pause between two looks at what may pass by itself.
const retryReady = 250 * time.Millisecond

// ready refuses a switchover that would fail, and prepares the rest. What may pass by itself, such
// as lag or a long transaction, is waited for until ctx ends.
func (s *section) ready(ctx context.Context) error {
	if err := s.wait(ctx, s.passing); err != nil {
		return err
	}
	if err := s.inEach(ctx, s.databaseReady); err != nil {
		return err
	}
	if err := s.consumersReady(ctx); err != nil {
		return err
	}
	if err := s.warm(ctx); err != nil {
		return err
	}
	if err := s.aim(ctx); err != nil {
		return err
	}
	admitted, err := postgres.LoginRoles(ctx, s.databases[0].target)
	if err != nil {
		return err
	}
	s.shutOut = slices.DeleteFunc(slices.Clone(s.intent.LoginRoles), func(role string) bool { return slices.Contains(admitted, role) })
	return nil
}

// sourceReady wants the endpoint to lead to the source, its processes to be seen, and nobody to go around.
func (s *section) sourceReady(ctx context.Context) error {
	if err := s.endpointReady(ctx); err != nil {
		return err
	}
	if _, err := s.children(); err != nil {
		return err
	}
	return s.directSessionsReady(ctx)
}

// aim prepares the endpoint for the move, and writes down what is about to be done.
func (s *section) aim(ctx context.Context) error {
	if err := s.pauses.Prepare(ctx, s.to); err != nil {
		return fmt.Errorf("prepare endpoint: %w", err)
	}
	state, err := s.Endpoint.Describe(ctx)
	if err != nil {
		return fmt.Errorf("endpoint: %w", err)
	}
	s.pooled = state.ServerPIDs()
	roles, err := postgres.LoginRoles(ctx, s.control)
	if err != nil {
		return err
	}
	s.intent.Plan, s.intent.LoginRoles = s.Plan, roles
	s.intent.SourceHost, s.intent.TargetHost = s.from.Host, s.to.Host
	return nil
}

// endpointReady wants the endpoint to lead to the source, whole.
func (s *section) endpointReady(ctx context.Context) error {
	if err := s.Endpoint.Check(ctx); err != nil {
		return fmt.Errorf("endpoint: %w", err)
	}
	state, err := s.Endpoint.Describe(ctx)
	if err != nil {
		return fmt.Errorf("endpoint: %w", err)
	}
	if len(state.Databases) == 0 {
		return &upgrade.Refused{Reason: "the endpoint has no database of this instance", Remedy: "add its databases to PgBouncer's configuration"}
	}
	s.from = state.Databases[0].Address
	if !state.At(s.from) {
		return &upgrade.Refused{
			Reason: "the endpoint's databases lead to different addresses",
			Remedy: "write the same host and port for each of them in PgBouncer's configuration",
		}
	}
	if s.from.Port != s.Plan.Source.Port {
		return &upgrade.Refused{
			Reason: fmt.Sprintf("the endpoint leads to %s, not to the source (port %d)", s.from, s.Plan.Source.Port),
			Remedy: "let PgBouncer's databases lead to the source",
		}
	}
	s.to = endpoint.Address{Host: s.from.Host, Port: s.Plan.Target.Port}
	return nil
}

// directLooks is how often a session is seen, every retryReady, before it counts as direct. On a busy machine the
// pooler may be a while in learning which backend it has got, and a backend in leaving that the pooler has let go of.
const directLooks = 6

// directSessionsReady wants every client session to come through the endpoint, unless the user
// allowed to terminate the others. One counts that is not the endpoint's in any of several looks.
func (s *section) directSessionsReady(ctx context.Context) error {
	if s.Plan.Options.TerminateDirectClients {
		return nil
	}
	var direct []postgres.Backend
	for look := range directLooks {
		now, err := s.directSessions(ctx)
		if err != nil && ctx.Err() != nil && look > 0 {
			break // there is no time for another look
		}
		if err != nil {
			return err
		}
		if look > 0 {
			now = slices.DeleteFunc(now, func(b postgres.Backend) bool {
				return !slices.ContainsFunc(direct, func(seen postgres.Backend) bool { return seen.PID == b.PID })
			})
		}
		if direct = now; len(direct) == 0 {
			return nil
		}
		if sleep(ctx, retryReady) != nil {
			break
		}
	}
	said := make([]string, min(5, len(direct)))
	for i := range said {
		said[i] = direct[i].String()
	}
	return &upgrade.Refused{
		Reason: fmt.Sprintf("%d sessions do not come through the endpoint: %s", len(direct), strings.Join(said, "; ")),
		Remedy: "end them, or allow the switchover to terminate them (--terminate-direct-clients)",
	}
}

// directSessions lists client sessions on the source that are not the endpoint's. One that has not been ready for a
// statement yet, which before 18 has no state at all, may be the endpoint's without its knowing.
func (s *section) directSessions(ctx context.Context) ([]postgres.Backend, error) {
	backends, err := postgres.Backends(ctx, s.control)
	if err != nil {
		return nil, err
	}
	state, err := s.Endpoint.Describe(ctx)
	if err != nil {
		return nil, fmt.Errorf("endpoint: %w", err)
	}
	return slices.DeleteFunc(backends, func(b postgres.Backend) bool {
		return !isSession(b) || b.State == "" || b.State == stateStarting || b.User == upgrade.Role || slices.Contains(state.ServerPIDs(), b.PID)
	}), nil
}

// passing looks at what may pass by itself. It returns a sentence as long as something is in the way.
func (s *section) passing(ctx context.Context) (string, error) {
	prepared, err := postgres.PreparedTransactions(ctx, s.control)
	if err != nil {
		return "", err
	}
	if prepared > 0 {
		return fmt.Sprintf("%d prepared transactions are open on the source; commit or roll them back", prepared), nil
	}
	backends, err := postgres.Backends(ctx, s.control)
	if err != nil {
		return "", err
	}
	limit := s.maxTransactionAge()
	for _, b := range backends {
		if isSession(b) && b.User != upgrade.Role && b.TransactionAge > limit {
			return fmt.Sprintf("a transaction has been open for %s, longer than %s: %s; let it end or terminate it",
				b.TransactionAge.Round(time.Second), limit, b), nil
		}
	}
	return s.notDraining(ctx)
}

// maxTransactionAge is the age from which on an open transaction is expected to outlast the deadline.
func (s *section) maxTransactionAge() time.Duration {
	return min(s.Plan.Options.SwitchoverTimeout/2, 10*time.Second)
}

// notDraining wants healthy subscriptions, and a marker through in time.
func (s *section) notDraining(ctx context.Context) (string, error) {
	probed := func(ctx context.Context, db *database) error { return probe(ctx, db, s.Plan.Follows()) }
	if err := s.inEach(ctx, probed); err != nil {
		return "", err
	}
	var obstacles []string
	for _, db := range s.databases {
		if db.obstacle != "" {
			obstacles = append(obstacles, db.obstacle)
		}
	}
	return strings.Join(obstacles, "; "), nil
}

// probe sends a marker through one database.
func probe(ctx context.Context, db *database, subscription string) error {
	db.obstacle = ""
	state, err := postgres.ReadSubscriptions(ctx, db.target, subscription)
	if err != nil {
		return err
	}
	db.subscriptions = state.OIDs
	if !state.Enabled || !state.Working || state.Pending > 0 {
		db.obstacle = "the subscription of database " + db.name + " is not working; see the target's log"
		return nil
	}
	if err := writeMarker(ctx, db); err != nil {
		return err
	}
	arrived, err := awaitMarker(ctx, db, time.Now().Add(maxDrain))
	if err == nil && !arrived {
		db.obstacle = fmt.Sprintf("database %s is more than %s behind", db.name, maxDrain)
	}
	return err
}

// databaseReady compares the shapes of both sides, prepares the way back, and sets the sequences a
// first time.
func (s *section) databaseReady(ctx context.Context, db *database) error {
	if err := s.shapesAlike(ctx, db, db.target, db.source); err != nil {
		return err
	}
	if !s.Plan.Options.SkipSwitchback {
		if err := PrepareWayBack(ctx, s.Plan, s.Target, db.source, db.target); err != nil {
			return err
		}
	}
	if err := s.findUnloggedTables(ctx, db); err != nil {
		return err
	}
	names, err := postgres.Sequences(ctx, db.source)
	if err != nil {
		return err
	}
	db.sequences, db.known = names, map[string]postgres.Sequence{}
	if db.sourceSequences, err = postgres.ReadSequences(ctx, db.source, names, db.sequencesAtOnce); err != nil {
		return err
	}
	return setSequences(ctx, db)
}

// wait asks until nothing is in the way; when ctx ends it refuses with what was.
func (s *section) wait(ctx context.Context, ask func(context.Context) (string, error)) error {
	var last string
	for {
		obstacle, err := ask(ctx)
		switch {
		case err != nil && ctx.Err() != nil && last != "":
			return &upgrade.Refused{Reason: last}
		case err != nil:
			return err
		case obstacle == "":
			return nil
		}
		last = obstacle
		s.step("ready: waiting: " + obstacle)
		if sleep(ctx, retryReady) != nil {
			return &upgrade.Refused{Reason: last}
		}
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
