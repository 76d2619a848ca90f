package onhost

import (
	"context"
	"fmt"
	"regexp"
	"strconv"

	"github.com/jackc/pgx/v5"

	"github.com/pgleap/pgleap/internal/postgres"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// commitsThere refuses to lead clients back to a cluster where their commits would wait for standbys that
// have left it meanwhile. Sessions of our own wait for none, so nothing else would notice.
func (w *Worker) commitsThere(ctx context.Context, back upgrade.Plan) error {
	return with(ctx, quiet(login(back, back.Target)), func(conn *pgx.Conn) error {
		settings, err := postgres.ReadSettings(ctx, conn)
		if err != nil {
			return err
		}
		names := settings.Text("synchronous_standby_names")
		if names == "" {
			return nil
		}
		count, err := postgres.SynchronousStandbys(ctx, conn)
		if err != nil || count >= synchronousNeeded(names) {
			return err
		}
		return &upgrade.Refused{
			Reason: fmt.Sprintf("commits on %s would wait: synchronous_standby_names is %q, and %d of the %d standbys that it wants stream",
				back.Target, names, count, synchronousNeeded(names)),
			Remedy: fmt.Sprintf("start them again, or, since nobody can log in there, empty the setting in %s (or %s/postgresql.auto.conf) and reload: pg_ctl reload -D %s",
				back.Target.ConfigFile, back.Target.Pgdata, back.Target.Pgdata),
		}
	})
}

// synchronousCount is how many standbys a commit waits for, as synchronous_standby_names has it: "FIRST 2 (a, b)",
// "ANY 2 (a, b)" or "2 (a, b)". A mere list means one (syncrep_gram.y).
var synchronousCount = regexp.MustCompile(`(?i)^\s*(?:(?:first|any)\s+)?(\d+)\s*\(`)

func synchronousNeeded(names string) int {
	found := synchronousCount.FindStringSubmatch(names)
	if found == nil {
		return 1
	}
	count, err := strconv.Atoi(found[1])
	if err != nil {
		return 1
	}
	return count
}
