package switchover

import (
	"context"
	"fmt"

	"github.com/pgleap/pgleap/internal/postgres"
)

// largeObjects are those of a database, which no publication can hold. They are carried by the switchover
// itself: all that differs while nobody waits, and under the fence what was changed since. That reads
// the whole of pg_largeobject, which has no index on xmin, so the pause grows with it.
type largeObjects struct {
	carried bool   // else the user vouches for them
	since   string // xid: what older transactions did is on the target
	state   postgres.LargeObjectsState
}

// since is the xid from which on the database's large objects are looked at; empty if they are not.
func (db *database) since() string {
	if !db.largeObjects.carried {
		return ""
	}
	return db.largeObjects.since
}

// carryLargeObjects makes the target's large objects what the source's are, while clients go on. It reads all of
// them, so it is done once for all tries: later ones carry what was changed since.
func (s *section) carryLargeObjects(ctx context.Context, db *database) error {
	db.largeObjects = largeObjects{carried: !s.Plan.Options.AcceptsObject("large-objects", db.name)}
	if !db.largeObjects.carried {
		return nil
	}
	if since, carried := s.carriedSince[db.name]; carried { // by an earlier try
		db.largeObjects.since = since
		return nil
	}
	since, err := postgres.OldestRunning(ctx, db.source)
	if err != nil {
		return err
	}
	db.largeObjects.since = since
	unlike, err := postgres.UnlikeLargeObjects(ctx, db.source, db.target)
	if err != nil || len(unlike) == 0 {
		return err
	}
	s.Log.InfoContext(ctx, "carrying large objects", "database", db.name, "count", len(unlike))
	return postgres.CarryLargeObjects(ctx, db.source, db.target, unlike)
}

// largeObjectsSince are the xids from which on a later try has to look, by database.
func (s *section) largeObjectsSince() map[string]string {
	since := map[string]string{}
	for _, db := range s.databases {
		if db.largeObjects.carried {
			since[db.name] = db.largeObjects.since
		}
	}
	return since
}

// carryChangedLargeObjects carries what the look at the source has found.
func carryChangedLargeObjects(ctx context.Context, db *database) error {
	return postgres.CarryLargeObjects(ctx, db.source, db.target, db.largeObjects.state.Changed)
}

// sameLargeObjects wants both sides to have the same large objects, by the target's keys, and removes what is
// gone from the source.
func sameLargeObjects(ctx context.Context, db *database, keys string) error {
	if !db.largeObjects.carried || keys == db.largeObjects.state.Keys {
		return nil
	}
	unlike, err := postgres.UnlikeLargeObjectKeys(ctx, db.source, db.target)
	if err != nil {
		return err
	}
	if err := postgres.CarryLargeObjects(ctx, db.source, db.target, unlike); err != nil {
		return err
	}
	if keys, err = postgres.LargeObjectKeys(ctx, db.target); err == nil && keys != db.largeObjects.state.Keys {
		err = fmt.Errorf("the large objects of %s are not the same on both sides", db.name)
	}
	return err
}
