package switchover

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/pgleap/pgleap/internal/postgres"
)

// warm asks everything that will be asked while clients wait, over the session that will ask it. What a session
// asks for the first time it has to parse and plan, and to read the catalogs for: 2 to 8 ms, where the second time
// takes a tenth of that. Nothing is changed by it.
func (s *section) warm(ctx context.Context) error {
	if err := s.inEach(ctx, s.warmDatabase); err != nil {
		return err
	}
	if _, err := postgres.ReadClusterState(ctx, s.control); err != nil {
		return err
	}
	if _, _, err := postgres.WritingAndSnapshot(ctx, s.control); err != nil {
		return err
	}
	if _, err := postgres.AppliedPositions(ctx, s.arrivals); err != nil {
		return err
	}
	_, err := postgres.FlushLSN(ctx, s.databases[0].target)
	return err
}

func (s *section) warmDatabase(ctx context.Context, db *database) error {
	if _, err := postgres.ReadDatabaseState(ctx, db.source, db.sequences, db.sequencesAtOnce, db.since()); err != nil {
		return err
	}
	_, err := postgres.ReadAppliedState(ctx, db.target, db.subscriptions, db.sequences, db.sequencesAtOnce, db.largeObjects.carried)
	if err != nil || s.Keep == nil {
		return err
	}
	for _, conn := range []*pgx.Conn{db.source, db.snapshot} {
		if err := postgres.BeginSnapshot(ctx, conn); err != nil {
			return err
		}
		if err := postgres.EndSnapshot(ctx, conn); err != nil {
			return err
		}
	}
	return nil
}
