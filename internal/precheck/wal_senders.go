package precheck

import (
	"context"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// walSenders: one for each replicated database, and two for pg_basebackup, which fetches the WAL
// in a connection of its own.
var walSenders = Check{
	ID: "wal-senders", Title: "The source allows too few replication connections",
	Severity: upgrade.Blocker, Modes: withClone(), Scope: PerCluster,
	Why:    "The upgrade needs two replication connections for the base backup, and one for each database if it replicates, beside those that are in use.",
	Remedy: "Raise max_wal_senders and restart the source. Its standbys must have at least the same value before.",
	Find: func(ctx context.Context, f *Facts, s Session) ([]Found, error) {
		const others = `
			SELECT count(*) FROM pg_stat_activity
			WHERE backend_type = 'walsender' AND application_name NOT LIKE 'pgleap%'`
		more := int64(2)
		if f.replicates() {
			more += int64(len(f.Published) * max(1, f.Plan.Options.TableGroups))
		}
		return f.enough(ctx, s, "max_wal_senders", others, more)
	},
}
