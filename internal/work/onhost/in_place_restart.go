package onhost

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/pgleap/pgleap/internal/pgbin"
	"github.com/pgleap/pgleap/internal/precheck"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// sourceConfiguration is what the source's own program has to complain of in the files that it would start with.
func (w *Worker) sourceConfiguration(ctx context.Context, plan upgrade.Plan) ([]string, error) {
	as, err := w.caller(plan, "postgres")
	if err != nil {
		return nil, err
	}
	var settings []string
	if plan.Source.ConfigFile != "" {
		settings = append(settings, "config_file="+plan.Source.ConfigFile)
	}
	return pgbin.ConfigurationComplaints(ctx, as, plan.Source.Bindir, plan.Source.Pgdata, settings...)
}

// restartable refuses when the source would not start again: pg_upgrade has to start it, and so has who puts it back.
// What stands in the way may have come after the precheck.
func (o *outage) restartable(ctx context.Context) error {
	complaints, err := o.sourceConfiguration(ctx, o.plan)
	if err != nil {
		return err
	}
	var obstacles []precheck.Found
	err = with(ctx, o.host.Login(o.plan.Source, "postgres"), func(conn *pgx.Conn) (err error) {
		obstacles, err = precheck.RestartObstacles(ctx, conn, complaints...)
		return err
	})
	if err != nil || len(obstacles) == 0 {
		return err
	}
	var told []string
	for _, one := range obstacles {
		told = append(told, one.Object+": "+one.Note)
	}
	return &upgrade.Refused{
		Reason: fmt.Sprintf("%s would not start again: %s", o.plan.Source, strings.Join(told, "; ")),
		Remedy: "correct that, and start the upgrade again; the source serves as before",
	}
}
