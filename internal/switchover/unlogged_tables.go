package switchover

import (
	"context"
	"slices"

	"github.com/pgleap/pgleap/internal/postgres"
)

// findUnloggedTables lists the tables that the section copies while clients wait: neither a clone nor a
// publication has their rows. Those that the user has accepted by name are left alone.
func (s *section) findUnloggedTables(ctx context.Context, db *database) error {
	tables, err := postgres.UnloggedTables(ctx, db.source)
	if err != nil {
		return err
	}
	db.unlogged = slices.DeleteFunc(tables, func(t postgres.UnloggedTable) bool {
		return s.Plan.Options.AcceptsObject("unlogged-tables", db.name, t.Schema, t.Name)
	})
	return nil
}
