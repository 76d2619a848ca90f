package onhost

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgleap/pgleap/internal/pgconf"
	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/internal/upgrade/step"
)

// FenceForGood bars everybody but pgleap's role from the plan's source by pg_hba.conf too: a role that
// is created or altered there by mistake still cannot write to it. The source is kept. PgBouncer's
// users are those of the target from now on.
func (w *Worker) FenceForGood(ctx context.Context, plan upgrade.Plan) (step.Done, error) {
	last, err := w.lastSwitched(plan)
	if err != nil {
		return step.Done{}, err
	}
	if last.OnTarget() == plan.Reversed {
		return step.Done{}, nil // clients are there: this step comes late
	}
	if err := w.closeAccess(ctx, plan, plan.Source); err != nil {
		return step.Done{}, err
	}
	serving, err := w.host.Inspect(ctx, step.InspectArgs{Pgdata: plan.Target.Pgdata, Superuser: plan.Target.Superuser})
	if err != nil {
		return step.Done{}, err
	}
	if err := w.rememberEndpoint(serving, plan.Endpoint); err != nil {
		return step.Done{}, err
	}
	return w.info(ctx, fmt.Sprintf("PostgreSQL %s at port %d is kept and fenced: its roles cannot log in, and its pg_hba.conf lets nobody in but pgleap",
		plan.Source.Version, plan.Source.Port)), nil
}

// closeAccess lets pg_hba.conf let nobody in but pgleap's role.
func (w *Worker) closeAccess(ctx context.Context, plan upgrade.Plan, cluster upgrade.Cluster) error {
	user, err := owner(plan)
	if err != nil {
		return err
	}
	lines, err := ourHBALines()
	if err != nil {
		return err
	}
	everybody := []pgconf.Token{pgconf.Keyword("all")}
	for _, l := range []pgconf.HBALine{
		{Type: "local", Databases: everybody, Users: everybody, Method: "reject"},
		{Type: "host", Databases: everybody, Users: everybody, Address: pgconf.Keyword("all"), Method: "reject"},
	} {
		line, err := l.Format()
		if err != nil {
			return err
		}
		lines = append(lines, line)
	}
	return w.setHBABlock(ctx, cluster, user, lines)
}

// openAccess undoes closeAccess, and returns when the server goes by it.
func (w *Worker) openAccess(ctx context.Context, plan upgrade.Plan, cluster upgrade.Cluster) error {
	user, err := owner(plan)
	if err != nil {
		return err
	}
	lines, err := ourHBALines()
	if err != nil {
		return err
	}
	before, err := w.configurationLoaded(ctx, plan, cluster)
	if err != nil {
		return err
	}
	if err := w.setHBABlock(ctx, cluster, user, lines); err != nil {
		return err
	}
	deadline := time.Now().Add(hbaWait)
	for {
		loaded, err := w.configurationLoaded(ctx, plan, cluster)
		if err != nil {
			return err
		}
		if loaded.After(before) {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("the server at port %d has not read %s again within %s: look at its log", cluster.Port, cluster.HBAFile, hbaWait)
		}
		if err := sleep(ctx, 20*time.Millisecond); err != nil {
			return err
		}
	}
}

// configurationLoaded is when the postmaster has last read its configuration: a new session has that
// from it. It reads pg_hba.conf right after, before it lets another session in (postmaster.c,
// process_pm_reload_request).
func (w *Worker) configurationLoaded(ctx context.Context, plan upgrade.Plan, cluster upgrade.Cluster) (at time.Time, err error) {
	err = with(ctx, login(plan, cluster), func(conn *pgx.Conn) error {
		return conn.QueryRow(ctx, "SELECT pg_conf_load_time()").Scan(&at)
	})
	return at, err
}
