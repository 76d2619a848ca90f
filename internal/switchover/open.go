package switchover

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/pgleap/pgleap/internal/postgres"
)

// database is a database of the instance with the sessions that the section uses.
type database struct {
	name         string
	source       *pgx.Conn           // marker, sequences, then the source's snapshot
	target       *pgx.Conn           // reads the marker, sets sequences, turns the replication round
	snapshot     *pgx.Conn           // the target's snapshot; nil when nobody compares
	marker       int64               // the last one written on the source
	obstacle     string              // what keeps it from being ready, for now
	subscription uint32              // oid on the target
	sequences    []string            // names, quoted
	changed      []postgres.Sequence // since they were set on the target
	known        map[string]postgres.Sequence
	shapeMark    string // of the source when both shapes were found alike
}

// open makes all connections: none is made while clients wait.
func (s *section) open(ctx context.Context) error {
	control, err := postgres.Connect(ctx, s.Source.In("postgres"))
	if err != nil {
		return err
	}
	s.control = control
	found, err := postgres.ReplicatedDatabases(ctx, control)
	if err != nil {
		return err
	}
	for _, db := range found {
		s.databases = append(s.databases, database{name: db.Name})
		s.intent.Databases = append(s.intent.Databases, db.Name)
	}
	if err := s.inEach(ctx, s.openDatabase); err != nil {
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
	if db.source, err = postgres.Connect(ctx, s.Source.In(db.name)); err != nil {
		return err
	}
	if db.target, err = postgres.Connect(ctx, s.Target.In(db.name)); err != nil {
		return err
	}
	if s.Compare != nil {
		if db.snapshot, err = postgres.Connect(ctx, s.Target.In(db.name)); err != nil {
			return err
		}
	}
	return nil
}

// close ends every session. The endpoint's settings are put back by its own Close.
func (s *section) close() {
	ctx := context.Background()
	if s.pauses != nil {
		s.pauses.Close()
	}
	for i := range s.databases {
		db := &s.databases[i]
		for _, conn := range []*pgx.Conn{db.source, db.target, db.snapshot} {
			if conn != nil {
				_ = conn.Close(ctx)
			}
		}
	}
	if s.control != nil {
		_ = s.control.Close(ctx)
	}
}
