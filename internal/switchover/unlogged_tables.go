package switchover

import (
	"context"
	"errors"
	"reflect"
	"slices"

	"github.com/pgleap/pgleap/internal/postgres"
)

// Neither a clone nor a publication has the rows of unlogged tables, so the section copies them while clients wait.
// That is done once, for it takes as long as it takes: from then on a lock keeps everybody from writing to them,
// while what else is written without a client, by autovacuum for example, may have everything drained again.

// findUnloggedTables lists them, and makes the session that will hold the lock.
func (s *section) findUnloggedTables(ctx context.Context, db *database) (err error) {
	if db.unlogged, err = s.unloggedTables(ctx, db); err != nil || len(db.unlogged) == 0 {
		return err
	}
	db.unloggedLock, err = postgres.Connect(ctx, session(s.Source.In(db.name), sessionSection))
	return err
}

// unloggedTables are those that are copied: not those that the user has accepted by name.
func (s *section) unloggedTables(ctx context.Context, db *database) ([]postgres.UnloggedTable, error) {
	tables, err := postgres.UnloggedTables(ctx, db.source)
	return slices.DeleteFunc(tables, func(t postgres.UnloggedTable) bool {
		return s.Plan.Options.AcceptsObject("unlogged-tables", db.name, t.Schema, t.Name)
	}), err
}

// carryUnloggedTables copies them, unless that is done.
func carryUnloggedTables(ctx context.Context, db *database) error {
	if len(db.unlogged) == 0 || db.unloggedLocked {
		return nil
	}
	db.unloggedLocked = true
	if err := postgres.LockUnloggedTables(ctx, db.unloggedLock, db.unlogged); err != nil {
		return err
	}
	return postgres.CarryUnloggedTables(ctx, db.unloggedLock, db.target, db.unlogged)
}

// unlockUnloggedTables lets everybody write to them again.
func unlockUnloggedTables(ctx context.Context, db *database) error {
	if !db.unloggedLocked {
		return nil
	}
	db.unloggedLocked = false
	return postgres.UnlockTables(ctx, db.unloggedLock)
}

// sameUnloggedTables wants those to be there still that were listed, with the same columns.
func (s *section) sameUnloggedTables(ctx context.Context, db *database) error {
	now, err := s.unloggedTables(ctx, db)
	if err == nil && !reflect.DeepEqual(now, db.unlogged) {
		err = errors.New("unlogged tables were created or altered meanwhile; try again")
	}
	return err
}
