package precheck

import (
	"context"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// switchback: one apply worker and one replication origin for each published database. Until 17 origins
// have the limit of slots (origin.c, ReplicationOriginShmemSize), of which the upgrade needs more anyway.
var switchback = Check{
	ID: "switchback", Title: "The source cannot follow the target after the switchover",
	Severity: upgrade.Blocker, Modes: withReplication(), Scope: PerCluster,
	Why: "To keep the way back open the source follows the target from the switchover until the upgrade is finished. " +
		"It needs an apply worker and a replication origin for each database.",
	Remedy: "Raise the setting and restart the source; max_worker_processes must have at least the same value on its standbys before. Or do without a way back (`--no-switchback`).",
	Find: func(ctx context.Context, f *Facts, s Session) ([]Found, error) {
		if f.Plan.Options.SkipSwitchback {
			return nil, nil
		}
		const (
			none    = `SELECT 0`
			origins = `SELECT count(*) FROM pg_replication_origin`
			workers = `
				SELECT count(*) FROM pg_stat_activity
				WHERE backend_type NOT IN (
					'client backend', 'walsender', 'walreceiver', 'walwriter', 'walsummarizer', 'checkpointer', 'background writer',
					'autovacuum launcher', 'autovacuum worker', 'startup', 'archiver', 'logger', 'io worker', 'slotsync worker',
					'standalone backend', 'parallel worker')`
		)
		databases := int64(len(f.Published))
		limits := map[string]string{"max_logical_replication_workers": none, "max_worker_processes": workers}
		names := []string{"max_logical_replication_workers", "max_worker_processes"}
		if f.Version.Major() >= 18 {
			names = append(names, "max_active_replication_origins")
			limits["max_active_replication_origins"] = origins
		}
		var found []Found
		for _, name := range names {
			lacking, err := f.enough(ctx, s, name, limits[name], databases)
			if err != nil {
				return nil, err
			}
			found = append(found, lacking...)
		}
		return found, nil
	},
}
