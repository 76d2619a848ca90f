package onhost

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/pgleap/pgleap/internal/postgres"
	"github.com/pgleap/pgleap/internal/run"
	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/internal/upgrade/step"
)

// PrepareSource makes what replication needs on the source: a role of our own that pg_hba.conf lets
// in from this host, a marker and a publication in every database. The publication must be there
// before the slots: a change that is older than it cannot be sent.
func (w *Worker) PrepareSource(ctx context.Context, plan upgrade.Plan) (step.Done, error) {
	if err := w.prepareAccess(ctx, plan); err != nil {
		return step.Done{}, err
	}
	if _, err := w.lookForStandbys(ctx, plan); err != nil {
		return step.Done{}, err
	}
	events, err := w.giveFullIdentity(ctx, plan)
	if err != nil {
		return step.Done{}, err
	}
	var names []string
	err = inEachDatabase(ctx, quiet(w.host.Login(plan.Source, "postgres")), func(conn *pgx.Conn, db postgres.ReplicatedDatabase) error {
		names = append(names, db.Name)
		if err := postgres.EnsureMarker(ctx, conn); err != nil {
			return err
		}
		guard := postgres.DDLGuard{Task: plan.Number, Instance: plan.Instance, Allow: plan.Options.AllowDDL}
		if err := postgres.EnsureDDLGuard(ctx, conn, guard); err != nil {
			return err
		}
		return postgres.EnsurePublication(ctx, conn)
	})
	if err != nil {
		return step.Done{}, err
	}
	done := w.info(ctx, fmt.Sprintf("the source is prepared: role %s, and a marker and a publication in %d databases %v", upgrade.Role, len(names), names))
	done.Events = append(events, done.Events...)
	return done, nil
}

// prepareAccess makes the upgrade's directory, and a role of our own on the source that may come in from
// this host.
func (w *Worker) prepareAccess(ctx context.Context, plan upgrade.Plan) error {
	user, err := owner(plan)
	if err != nil {
		return err
	}
	files, err := w.files(plan)
	if err != nil {
		return err
	}
	if err := w.takePlace(plan, files); err != nil {
		return err
	}
	if err := files.write(noteSourcePrepared, w.now()); err != nil { // before anything is made: Discard goes by it
		return err
	}
	if err := w.makeWorkdir(plan, user); err != nil {
		return err
	}
	return w.letOurRoleIn(ctx, plan)
}

// makeWorkdir makes the upgrade's directory, and notes what had to be made above it.
func (w *Worker) makeWorkdir(plan upgrade.Plan, user run.User) error {
	files, err := w.files(plan)
	if err != nil {
		return err
	}
	made, err := makeParents(plan.Workdir(), user)
	if err != nil {
		return err
	}
	if len(made) > 0 {
		if err := files.write(noteParents, made); err != nil {
			return err
		}
	}
	return makeDir(plan.Workdir(), user)
}

func (w *Worker) letOurRoleIn(ctx context.Context, plan upgrade.Plan) error {
	user, err := owner(plan)
	if err != nil {
		return err
	}
	secret, err := password(plan, user)
	if err != nil {
		return err
	}
	verifier, err := postgres.ScramVerifier(secret)
	if err != nil {
		return err
	}
	err = with(ctx, alone(w.host.Login(plan.Source, "postgres")), func(conn *pgx.Conn) error {
		return postgres.EnsureRole(ctx, conn, verifier)
	})
	if err != nil {
		return err
	}
	lines, err := ourHBALines()
	if err != nil {
		return err
	}
	if err := w.setHBABlock(ctx, plan.Source, user, lines); err != nil {
		return err
	}
	if err := awaitLogin(ctx, login(plan, plan.Source), hbaWait); err != nil {
		return fmt.Errorf("log in to the source with pgleap's role, look at %s and the source's log: %w", plan.Source.HBAFile, err)
	}
	return nil
}
