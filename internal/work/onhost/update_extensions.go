package onhost

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgleap/pgleap/internal/postgres"
	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/internal/upgrade/step"
)

// UpdateExtensions brings the extensions of every database of the target, template1 included, to the version that it
// has. One that cannot be updated works on as it did: that is told, and changes nothing.
func (w *Worker) UpdateExtensions(ctx context.Context, plan upgrade.Plan) (step.Done, error) {
	return whole(ctx, plan, func(ctx context.Context) (step.Done, error) { return w.updateExtensions(ctx, plan) })
}

func (w *Worker) updateExtensions(ctx context.Context, plan upgrade.Plan) (step.Done, error) {
	done := step.Done{Findings: []upgrade.OpenFinding{}}
	files, err := w.files(plan)
	if err != nil {
		return done, err
	}
	// As the superuser, since what an update adds belongs to who runs it, and pgleap's own role goes.
	superuser := quiet(w.host.Login(plan.Target, "postgres"))
	var databases []string
	err = with(ctx, superuser, func(conn *pgx.Conn) (err error) {
		databases, err = postgres.ConnectableDatabases(ctx, conn)
		return err
	})
	if err != nil {
		return done, err
	}
	for _, database := range databases {
		of, err := w.updateExtensionsOf(ctx, plan, files, superuser.In(database))
		if ctx.Err() != nil {
			return done, ctx.Err()
		}
		done.Events, done.Findings = append(done.Events, of.Events...), append(done.Findings, of.Findings...)
		if err != nil { // what there is to tell of the others is not lost over it
			done.Events = append(done.Events, w.say(ctx, upgrade.LevelWarning, fmt.Sprintf(
				"not all extensions of %s could be updated: %v; when that is mended, run ALTER EXTENSION ... UPDATE for those that pg_extension has in an older version than pg_available_extensions", database, err)))
		}
	}
	return done, nil
}

// extensionAttempts is how often the extensions of a database are looked at that cannot be reached, a second apart.
const extensionAttempts = 3

// updateExtensionsOf does so in one database. Its findings are those of the last attempt.
func (w *Worker) updateExtensionsOf(ctx context.Context, plan upgrade.Plan, files files, at postgres.Login) (done step.Done, err error) {
	for attempt := range extensionAttempts {
		if attempt > 0 && sleep(ctx, time.Second) != nil {
			return done, err
		}
		done.Findings = nil
		err = with(ctx, at, func(conn *pgx.Conn) error {
			updates, err := postgres.ExtensionUpdates(ctx, conn)
			if err != nil {
				return err
			}
			for _, u := range updates {
				progressOf(ctx).text(fmt.Sprintf("updating extension %s in %s", u.Name, at.Database))
				if err := postgres.UpdateExtension(ctx, conn, u.Name, files.noteOwnXID); err != nil {
					if conn.IsClosed() {
						return err
					}
					w.keepInMind(ctx, plan, at.Database, u, err, &done)
					continue
				}
				done.Events = append(done.Events, w.say(ctx, upgrade.LevelInfo, fmt.Sprintf("extension %s in %s updated from %s to %s", u.Name, at.Database, u.From, u.To)))
			}
			return nil
		})
		if err == nil {
			return done, nil
		}
	}
	return done, err
}

// keepInMind makes a finding of an extension that could not be updated.
func (w *Worker) keepInMind(ctx context.Context, plan upgrade.Plan, database string, u postgres.ExtensionUpdate, reason error, done *step.Done) {
	done.Events = append(done.Events, w.say(ctx, upgrade.LevelWarning,
		reason.Error()+"; it is kept in mind until it is mended, see `pgleap instance show "+plan.Instance+"`"))
	done.Findings = append(done.Findings, upgrade.OpenFinding{
		Number: plan.Number, Database: database, Extension: u.Name, From: u.From, To: u.To, Reason: reason.Error(), Since: w.now().UTC(),
	})
}
