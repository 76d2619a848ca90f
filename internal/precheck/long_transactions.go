package precheck

import (
	"context"
	"time"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// patience is how long a transaction may have been open without being worth a word.
const patience = time.Minute

// longTransactions: the creation of a logical slot waits for every transaction that writes
// (snapbuild.c, SnapBuildWaitSnapshot), and the pause of the switchover for every one at all.
func longTransactions(longer time.Duration) Check {
	return Check{
		ID: "long-transactions", Title: "Transactions are open for long",
		Severity: upgrade.Warning, Modes: withReplication(), Scope: PerCluster,
		Why: "The hand-over waits until every transaction that was writing when it began has ended. " +
			"The switchover waits for every open transaction, at most for its time-out.",
		Remedy: "Let them end, or end them with pg_terminate_backend. Sessions that are idle in a transaction are mostly forgotten ones.",
		Find: func(ctx context.Context, _ *Facts, s Session) ([]Found, error) {
			return s.query(ctx, `
				SELECT 'process ' || pid,
					concat_ws(', ', 'role ' || quote_ident(usename), 'database ' || quote_ident(datname), state,
						'for ' || date_trunc('second', clock_timestamp() - xact_start)),
					NULL
				FROM pg_stat_activity
				WHERE xact_start < clock_timestamp() - make_interval(secs => $1)
					AND backend_type IN ('client backend', 'background worker') AND pid <> pg_backend_pid()
				ORDER BY xact_start`, longer.Seconds())
		},
	}
}
