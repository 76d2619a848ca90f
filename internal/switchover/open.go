package switchover

import (
	"context"
	"fmt"
	"maps"

	"github.com/jackc/pgx/v5"

	"github.com/pgleap/pgleap/internal/postgres"
)

// database is a database of the instance with the sessions that the section uses.
type database struct {
	name          string
	source        *pgx.Conn    // marker, sequences, then the source's snapshot
	target        *pgx.Conn    // sets sequences, and tells what was applied
	snapshot      *pgx.Conn    // the target's snapshot; nil when nobody keeps it
	marker        int64        // the last one written on the source
	written       postgres.LSN // where the source's WAL stood before that
	obstacle      string       // what keeps it from being ready, for now
	subscriptions []uint32     // oids on the target
	sequences     []string     // names, quoted
	known         map[string]postgres.Sequence
	// sequencesAtOnce bounds the locks that reading and setting them takes.
	sequencesAtOnce int
	// sourceSequences is where the source's stand, read in the pause.
	sourceSequences []postgres.Sequence
	targetSequences []postgres.Sequence      // as they stood when all was applied
	unlogged        []postgres.UnloggedTable // that are copied
	unloggedLock    *pgx.Conn                // source, nil if there are none
	unloggedLocked  bool
	largeObjects    largeObjects
	shapeMark       string // of the source when both shapes were found alike
	shapeNow        string // the same when it stood still
	definitions     postgres.Reconciler
}

// The names of our sessions. Whoever undoes a switchover ends those of the one who began it first.
const (
	sessionSection  = "pgleap switchover"
	sessionRecovery = "pgleap switchover recovery"
)

// session is a login for what must be on this cluster's own disk when it returns, at once: the
// users' default may be not to wait for the disk, or to wait for a standby that is away.
func session(l postgres.Login, name string) postgres.Login {
	settings := maps.Clone(l.Settings)
	if settings == nil {
		settings = map[string]string{}
	}
	settings["application_name"], settings["synchronous_commit"] = name, "local"
	settings["max_parallel_workers_per_gather"] = "0"                          // the comparison takes one core at most from the clients
	settings["quote_all_identifiers"], settings["bytea_output"] = "off", "hex" // pg_get_expr() goes by them
	l.Settings = settings
	return l
}

// open makes all connections: none is made while clients wait.
func (s *section) open(ctx context.Context) error {
	postmaster, err := postmasterPID(s.Plan.Source.Pgdata)
	if err != nil {
		return err
	}
	control, err := postgres.Connect(ctx, session(s.Source.In("postgres"), sessionSection))
	if err != nil {
		return err
	}
	s.postmaster, s.control = postmaster, control
	found, err := postgres.ReplicatedDatabases(ctx, control)
	if err != nil {
		return err
	}
	for _, db := range found {
		s.databases = append(s.databases, database{name: db.Name, sequencesAtOnce: postgres.SequencesAtOnce(len(found))})
		s.intent.Databases = append(s.intent.Databases, db.Name)
	}
	if err := s.inEach(ctx, s.openDatabase); err != nil {
		return err
	}
	if s.arrivals, err = postgres.Connect(ctx, session(s.Target.In("postgres"), sessionSection)); err != nil {
		return err
	}
	s.pauses, err = s.Endpoint.Open(ctx)
	if err != nil {
		return fmt.Errorf("open endpoint: %w", err)
	}
	return nil
}

func (s *section) openDatabase(ctx context.Context, db *database) error {
	var err error
	if db.source, err = postgres.Connect(ctx, session(s.Source.In(db.name), sessionSection)); err != nil {
		return err
	}
	if db.target, err = postgres.Connect(ctx, session(s.Target.In(db.name), sessionSection)); err != nil {
		return err
	}
	if s.Keep != nil {
		if db.snapshot, err = postgres.Connect(ctx, session(s.Target.In(db.name), sessionSection)); err != nil {
			return err
		}
	}
	return nil
}

// closeEndpoint lets go of the endpoint, which puts its settings back.
func (s *section) closeEndpoint() {
	if s.pauses != nil {
		s.pauses.Close()
		s.pauses = nil
	}
}

// close ends every session. The endpoint's settings are put back by its own Close.
func (s *section) close() {
	ctx := context.Background()
	s.closeEndpoint()
	for i := range s.databases {
		db := &s.databases[i]
		for _, conn := range []*pgx.Conn{db.source, db.target, db.snapshot, db.unloggedLock} {
			if conn != nil {
				_ = conn.Close(ctx)
			}
		}
	}
	for _, conn := range []*pgx.Conn{s.control, s.arrivals} {
		if conn != nil {
			_ = conn.Close(ctx)
		}
	}
}
