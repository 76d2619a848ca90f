package onhost

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgleap/pgleap/internal/postgres"
	"github.com/pgleap/pgleap/internal/run"
	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/internal/upgrade/step"
)

// UpdateExtensions brings the extensions of every database of the target, template1 included, to the version that it
// has. One that cannot be updated works on as it did: that is told, and changes nothing.
func (w *Worker) UpdateExtensions(ctx context.Context, plan upgrade.Plan) (step.Done, error) {
	return whole(ctx, plan, func(ctx context.Context) (step.Done, error) { return w.updateExtensions(ctx, plan) })
}

func (w *Worker) updateExtensions(ctx context.Context, plan upgrade.Plan) (step.Done, error) {
	files, err := w.files(plan)
	if err != nil {
		return step.Done{}, err
	}
	u := &extensionUpdate{Worker: w, plan: plan, files: files, log: w.outputOf(plan.Target), tried: []upgrade.OpenFinding{}}
	if _, err := files.read(noteExtensions, &u.tried); err != nil {
		return step.Done{}, err
	}
	// As the superuser, since what an update adds belongs to who runs it, and pgleap's own role goes.
	superuser := quiet(w.host.Login(plan.Target, "postgres"))
	var databases []string
	err = with(ctx, superuser, func(conn *pgx.Conn) (err error) {
		databases, err = postgres.ConnectableDatabases(ctx, conn)
		return err
	})
	if err != nil {
		return step.Done{}, err
	}
	var events []upgrade.Event
	for _, database := range databases {
		err := u.database(ctx, superuser.In(database))
		if ctx.Err() != nil {
			return step.Done{}, ctx.Err()
		}
		if err != nil { // what there is to tell of the others is not lost over it
			events = append(events, w.say(ctx, upgrade.LevelWarning, fmt.Sprintf(
				"not all extensions of %s could be updated: %v; when that is mended, run ALTER EXTENSION ... UPDATE for those that pg_extension has in an older version than pg_available_extensions", database, err)))
		}
	}
	for _, open := range u.tried {
		events = append(events, w.say(ctx, upgrade.LevelWarning,
			open.Reason+"; it is kept in mind until it is mended, see `pgleap instance show "+plan.Instance+"`"))
	}
	return step.Done{Events: append(u.updated, events...), Findings: u.tried}, nil
}

// noteExtensions are those whose update was tried and has not succeeded. It is written before an update begins, which may
// end the server, and each is tried once: clients are at work, and lose their sessions with the server.
const noteExtensions note = "extensions.json"

// extensionUpdate is the update of a target's extensions.
type extensionUpdate struct {
	*Worker
	plan    upgrade.Plan
	files   files
	log     string                // the server's
	tried   []upgrade.OpenFinding // see noteExtensions
	updated []upgrade.Event
}

// The patience with a database that cannot be reached, and with a server that an update has ended.
const (
	extensionAttempts = 3 // a second apart
	serverBackWait    = 5 * time.Minute
)

// database updates the extensions of one database.
func (u *extensionUpdate) database(ctx context.Context, at postgres.Login) error {
	for attempt := 1; ; {
		before := len(u.tried)
		err := with(ctx, at, func(conn *pgx.Conn) error { return u.each(ctx, conn) })
		switch {
		case err == nil:
			return nil
		case len(u.tried) > before: // one has ended its session: the others are not to suffer for it
			err = u.awaitServer(ctx, u.plan.Target, u.log, at)
		default:
			attempt++
		}
		if err != nil && (attempt > extensionAttempts || sleep(ctx, time.Second) != nil) {
			return err
		}
	}
}

// each updates the extensions that the database of a session has, up to one that ends the session.
func (u *extensionUpdate) each(ctx context.Context, conn *pgx.Conn) error {
	database := conn.Config().Database
	updates, err := postgres.ExtensionUpdates(ctx, conn)
	if err != nil {
		return err
	}
	// One that was tried, and is not among them, had come to its end when its agent died.
	u.tried = slices.DeleteFunc(slices.Clone(u.tried), func(f upgrade.OpenFinding) bool {
		return f.Database == database && !slices.ContainsFunc(updates, func(e postgres.ExtensionUpdate) bool { return e.Name == f.Extension })
	})
	for _, e := range updates {
		if slices.ContainsFunc(u.tried, func(f upgrade.OpenFinding) bool { return f.Database == database && f.Extension == e.Name }) {
			continue
		}
		progressOf(ctx).text(fmt.Sprintf("updating extension %s in %s", e.Name, database))
		if err := u.try(ctx, conn, e); err != nil {
			return err
		}
	}
	return nil
}

// try updates an extension. Its error is what keeps the session from going on.
func (u *extensionUpdate) try(ctx context.Context, conn *pgx.Conn, e postgres.ExtensionUpdate) error {
	database := conn.Config().Database
	finding := upgrade.OpenFinding{
		Number: u.plan.Number, Database: database, Extension: e.Name, From: e.From, To: e.To, Since: u.now().UTC(),
		Reason: fmt.Sprintf("update extension %s in %s: it was begun, and the agent ended before it; see the server's log before it is tried again", e.Name, database),
	}
	begun := false
	reason := postgres.UpdateExtension(ctx, conn, e.Name, func(xid uint64) error {
		if err := u.files.noteOwnXID(xid); err != nil {
			return err
		}
		begun = true
		u.tried = append(u.tried, finding)
		return u.files.write(noteExtensions, u.tried)
	})
	switch {
	case !begun:
		return reason
	case reason == nil || ctx.Err() != nil: // it has it, or is tried again by the next agent
		u.tried = u.tried[:len(u.tried)-1]
		if err := u.files.write(noteExtensions, u.tried); err != nil || reason != nil {
			return err
		}
		u.updated = append(u.updated, u.say(ctx, upgrade.LevelInfo, fmt.Sprintf("extension %s in %s updated from %s to %s", e.Name, database, e.From, e.To)))
		return nil
	}
	u.tried[len(u.tried)-1].Reason = reason.Error()
	if err := u.files.write(noteExtensions, u.tried); err != nil || !conn.IsClosed() {
		return err
	}
	return reason
}

// awaitServer waits until a server that has ended its sessions lets somebody in again, or says why it does not. It may be a
// moment until the server itself has noticed (postmaster.c, reaper). One that has ended with them, since
// restart_after_crash is off, is started again, writing to the same log.
func (w *Worker) awaitServer(ctx context.Context, c upgrade.Cluster, log string, at postgres.Login) error {
	ctx, cancel := context.WithTimeout(ctx, serverBackWait)
	defer cancel()
	progressOf(ctx).text("waiting until the server is back")
	for {
		if err := sleep(ctx, 300*time.Millisecond); err != nil {
			return fmt.Errorf("the server is not back: %w", err)
		}
		if _, running := w.host.Running(c); !running {
			w.log.WarnContext(ctx, "a server has ended over the update of an extension; it is started again", "cluster", c.String())
			if err := w.host.Start(ctx, c, log, serverBackWait); err != nil {
				return err
			}
		}
		err := with(ctx, at, func(*pgx.Conn) error { return nil })
		said, refused := errors.AsType[*pgconn.PgError](err)
		if err == nil || refused && said.Code != cannotConnectNow {
			return err
		}
	}
}

// outputOf is the file that a cluster's server writes its errors to, see outputOf; empty if that is not known.
func (w *Worker) outputOf(c upgrade.Cluster) string {
	pid, running := w.host.Running(c)
	user, err := run.LookupUser(c.Owner)
	if err != nil || !running {
		return ""
	}
	return outputOf(pid, user)
}

// cannotConnectNow is what a server says that is starting, or recovers.
const cannotConnectNow = "57P03"
