package precheck

import (
	"context"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// connections: a session in each database to measure the lag, others for the cap on WAL, the
// switchover and the command line. Replication connections are counted apart (max_wal_senders).
var connections = Check{
	ID: "connections", Title: "The source has too few connections to spare",
	Severity: upgrade.Blocker, Modes: withReplication(), Scope: PerCluster,
	Why: "The upgrade keeps a session in each database of the source, and a few others, beside those of the applications. " +
		"Without them it could not measure the lag, nor watch over the WAL that its slots keep.",
	Remedy: "End sessions that nobody needs, give PgBouncer smaller pools, or raise max_connections and restart the source. Its standbys must have at least the same value before.",
	Find: func(ctx context.Context, f *Facts, s Session) ([]Found, error) {
		const others = `
			SELECT count(*) FROM pg_stat_activity
			WHERE backend_type = 'client backend' AND application_name NOT LIKE 'pgleap%'`
		return f.enough(ctx, s, "max_connections", others, int64(len(f.Published))+5)
	},
}
