package onhost

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/pgleap/pgleap/internal/postgres"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// formerIdentities are the tables that were given REPLICA IDENTITY FULL for the time of the upgrade, with
// what they had before, by the name of their database: the content of noteIdentities.
type formerIdentities map[string][]postgres.FormerIdentity

// giveFullIdentity gives every table that replication needs it for REPLICA IDENTITY FULL, if the user has
// asked for it. It comes before the publication, which would make updates of such a table fail. The
// note comes before the tables: what is not FULL when the upgrade ends was never reached, or somebody
// else has decided on it.
func (w *Worker) giveFullIdentity(ctx context.Context, plan upgrade.Plan) ([]upgrade.Event, error) {
	if !plan.Options.FullIdentity {
		return nil, nil
	}
	files, err := w.files(plan)
	if err != nil {
		return nil, err
	}
	noted := formerIdentities{}
	if _, err := files.read(noteIdentities, &noted); err != nil {
		return nil, err
	}
	var events []upgrade.Event
	err = inEachDatabase(ctx, quiet(w.host.Login(plan.Source, "postgres")), func(conn *pgx.Conn, db postgres.ReplicatedDatabase) error {
		found, err := postgres.TablesWithoutIdentity(ctx, conn, int(max(plan.Source.Version.Major(), plan.Target.Version.Major())))
		if err != nil {
			return err
		}
		noted.add(db.Name, found)
		if len(noted[db.Name]) == 0 {
			return nil
		}
		if err := files.write(noteIdentities, noted); err != nil {
			return err
		}
		for i, table := range found {
			progressOf(ctx).count("giving tables of "+db.Name+" REPLICA IDENTITY FULL", int64(i), int64(len(found)), "tables")
			if err := postgres.GiveFullIdentity(ctx, conn, table); err != nil {
				return err
			}
		}
		events = append(events, w.say(ctx, upgrade.LevelInfo, fmt.Sprintf(
			"%d tables of %s have REPLICA IDENTITY FULL until the upgrade ends: %s", len(noted[db.Name]), db.Name, someOf(noted[db.Name]))))
		return nil
	})
	return events, err
}

// add notes tables. Of one that is noted already, but was not reached, what it has now counts.
func (f formerIdentities) add(database string, found []postgres.FormerIdentity) {
	kept := slices.DeleteFunc(f[database], func(noted postgres.FormerIdentity) bool {
		return slices.ContainsFunc(found, func(now postgres.FormerIdentity) bool { return now.OID == noted.OID })
	})
	f[database] = append(kept, found...)
}

// someOf names the first tables of many.
func someOf(tables []postgres.FormerIdentity) string {
	const most = 5
	names := make([]string, 0, most)
	for _, table := range tables[:min(most, len(tables))] {
		names = append(names, table.String())
	}
	if more := len(tables) - most; more > 0 {
		names = append(names, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(names, ", ")
}

// restoreSourceIdentities undoes giveFullIdentity when nothing is published any more, and forgets
// about it: it comes after restoreTargetIdentities. at is a superuser of the source.
func (w *Worker) restoreSourceIdentities(ctx context.Context, plan upgrade.Plan, at postgres.Login) error {
	files, err := w.files(plan)
	if err != nil {
		return err
	}
	if err := restoreIdentities(ctx, files, at, func(*postgres.FormerIdentity) {}); err != nil {
		return err
	}
	if err := files.remove(noteIdentities); err != nil {
		return fmt.Errorf("remove note: %w", err)
	}
	return nil
}

// restoreTargetIdentities does the same on the target, to which the clone has carried FULL. Tables are
// found there by their names.
func (w *Worker) restoreTargetIdentities(ctx context.Context, plan upgrade.Plan, at postgres.Login) error {
	files, err := w.files(plan)
	if err != nil {
		return err
	}
	return restoreIdentities(ctx, files, at, func(table *postgres.FormerIdentity) { table.OID = 0 })
}

// finishIdentities restores both sides when the upgrade ends at the target. A source that the user has
// stopped meanwhile stays as it is.
func (w *Worker) finishIdentities(ctx context.Context, plan upgrade.Plan) error {
	if err := w.restoreTargetIdentities(ctx, plan, w.host.Login(plan.Target, "postgres")); err != nil {
		return err
	}
	if _, running := w.host.Running(plan.Source); !running {
		return nil
	}
	return w.restoreSourceIdentities(ctx, plan, login(plan, plan.Source))
}

func restoreIdentities(ctx context.Context, files files, at postgres.Login, adapt func(*postgres.FormerIdentity)) error {
	noted := formerIdentities{}
	found, err := files.read(noteIdentities, &noted)
	if err != nil || !found {
		return err
	}
	return inEachDatabase(ctx, quiet(at), func(conn *pgx.Conn, db postgres.ReplicatedDatabase) error {
		for i, table := range noted[db.Name] {
			progressOf(ctx).count("restoring the replica identities of "+db.Name, int64(i), int64(len(noted[db.Name])), "tables")
			adapt(&table)
			if err := postgres.RestoreIdentity(ctx, conn, table); err != nil {
				return err
			}
		}
		return nil
	})
}
