package switchover

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"github.com/pgleap/pgleap/internal/postgres"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// globalsAlike compares roles, settings and databases, which nothing replicates.
func (s *section) globalsAlike(ctx context.Context) (err error) {
	if s.globalsMark, err = postgres.ReadGlobalsMark(ctx, s.control); err != nil {
		return err
	}
	source, err := postgres.ReadGlobals(ctx, s.control, s.Barred)
	if err != nil {
		return err
	}
	target, err := postgres.ReadGlobals(ctx, s.databases[0].target, s.Barred)
	if err != nil {
		return err
	}
	return s.unlike("role or database", source, target)
}

// shapesAlike compares what is not replicated, and notes the mark under which it was alike. The printers are for
// definitions that are worded differently.
func (s *section) shapesAlike(ctx context.Context, db *database, printers ...*pgx.Conn) error {
	if err := s.definitionsReplayed(ctx, db); err != nil {
		return err
	}
	mark, err := postgres.ReadShapeMark(ctx, db.source)
	if err != nil {
		return err
	}
	source, target, err := readShapes(ctx, db)
	if err != nil {
		return err
	}
	if err := db.definitions.Reconcile(ctx, source, target, printers...); err != nil {
		return err
	}
	if err := s.unlike("schema", source, target); err != nil {
		return err
	}
	db.shapeMark = mark
	missing, err := notSubscribed(ctx, db.source, db.target, s.Plan.Follows())
	if err != nil || len(missing) == 0 {
		return err
	}
	return &upgrade.Refused{
		Reason: fmt.Sprintf("%d tables of database %s are not replicated: %s", len(missing), db.name, strings.Join(missing[:min(5, len(missing))], ", ")),
		Remedy: replicate(s.Plan),
	}
}

// readShapes reads both shapes at a time: clients may wait.
func readShapes(ctx context.Context, db *database) (source, target postgres.Shape, err error) {
	both, ctx := errgroup.WithContext(ctx)
	both.Go(func() (err error) {
		source, err = postgres.ReadShape(ctx, db.source)
		return err
	})
	both.Go(func() (err error) {
		target, err = postgres.ReadShape(ctx, db.target)
		return err
	})
	return source, target, both.Wait()
}

// definitionsReplayed wants every change of a definition that was captured to have been made on the
// target too.
func (s *section) definitionsReplayed(ctx context.Context, db *database) error {
	left, err := postgres.UnreplayedDDL(ctx, db.target)
	if err != nil || len(left) == 0 {
		return err
	}
	orElse := "cancel the upgrade"
	if s.Plan.Reversed {
		orElse = "finish the upgrade"
	}
	return &upgrade.Refused{
		Reason: fmt.Sprintf("%d changes of definitions in %s were not replayed on the other side: %s", len(left), db.name, postgres.DescribeDDL(left)),
		Remedy: "undo them where they were made, or make the same changes there and settle them (docs/definitions.md), or " + orElse,
	}
}

// notSubscribed lists the tables that one side publishes and the other does not apply. A table that was
// created on both sides since the upgrade began is one.
func notSubscribed(ctx context.Context, publisher, subscriber *pgx.Conn, subscription string) ([]string, error) {
	published, err := postgres.PublishedTables(ctx, publisher)
	if err != nil {
		return nil, err
	}
	subscribed, err := postgres.SubscribedTables(ctx, subscriber, subscription)
	if err != nil {
		return nil, err
	}
	takes := map[postgres.ReplicatedTable]bool{}
	for _, table := range subscribed {
		takes[table] = true
	}
	applied := map[string]bool{}
	for _, table := range published {
		if takes[table] {
			applied[table.Table] = true // one that both sides know, but that no group publishes, is not
		}
	}
	var missing []string
	for _, table := range published {
		if !applied[table.Table] {
			missing = append(missing, table.Table)
		}
	}
	slices.Sort(missing)
	return slices.Compact(missing), nil
}

// replicate is how a user lets tables be replicated that were made since the upgrade began.
func replicate(plan upgrade.Plan) string {
	remedy := "on the target, in that database: ALTER SUBSCRIPTION " + plan.Follows() + " REFRESH PUBLICATION"
	if plan.Options.TableGroups > 1 && !plan.Reversed {
		remedy = fmt.Sprintf("on the source, in that database: ALTER PUBLICATION %s ADD TABLE for each of them, if there is that publication; then %s",
			upgrade.GroupPublication(1), remedy)
	}
	return remedy
}

func (s *section) unlike(what string, source, target postgres.Shape) error {
	missing, extra := source.Without(target), target.Without(source)
	if len(missing)+len(extra) == 0 {
		return nil
	}
	slices.Sort(missing)
	slices.Sort(extra)
	here, there, orElse := "source", "target", "cancel the upgrade and start it again"
	if s.Plan.Reversed {
		here, there, orElse = there, here, "finish the upgrade"
	}
	var said []string
	if len(missing) > 0 {
		said = append(said, "only on the "+here+": "+inOneLine(missing))
	}
	if len(extra) > 0 {
		said = append(said, "only on the "+there+": "+inOneLine(extra))
	}
	return &upgrade.Refused{
		Reason: fmt.Sprintf("%d definitions (%s) changed since the upgrade began and are not replicated; %s",
			len(missing)+len(extra), what, strings.Join(said, "; ")),
		Remedy: "make the same change on the side that lacks it (in a session with SET session_replication_role = replica, since changes are blocked), " +
			"or " + orElse,
	}
}

// inOneLine says the first of some lines.
func inOneLine(lines []string) string {
	said := make([]string, min(5, len(lines)))
	for i := range said {
		said[i] = strings.Join(strings.Fields(lines[i]), " ")
		if short := []rune(said[i]); len(short) > maxSaid {
			said[i] = string(short[:maxSaid]) + "..."
		}
	}
	return strings.Join(said, "; ")
}

// maxSaid bounds what is said of one definition.
const maxSaid = 500
