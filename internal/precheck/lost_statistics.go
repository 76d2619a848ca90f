package precheck

import (
	"context"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// lostCounters: pg_upgrade copies no pg_stat and no pg_commit_ts directory.
var lostCounters = Check{
	ID: "lost-counters", Title: "Counters and times do not come over",
	Severity: upgrade.Info, Modes: everyMode(), Scope: PerCluster,
	Why: "Statistics of activity begin anew on the target: pg_stat_* views, what pg_stat_statements has gathered, and with it what tells unused indexes and slow queries. " +
		"Times of commits (track_commit_timestamp) are lost for all rows that are there; conflict resolution that compares them begins anew.",
	Remedy: "Save what is still wanted, such as a copy of pg_stat_statements. Whoever reads the times of commits must do without those before the upgrade.",
	Find: func(_ context.Context, f *Facts, _ Session) ([]Found, error) {
		var found []Found
		if f.Settings.Text("track_commit_timestamp") == "on" {
			found = append(found, Found{Object: "track_commit_timestamp = on", Severity: upgrade.Warning})
		}
		for _, library := range libraryNames(f.Settings.Text("shared_preload_libraries")) {
			if library == "pg_stat_statements" || library == "pg_stat_kcache" || library == "pg_qualstats" {
				found = append(found, Found{Object: library})
			}
		}
		return found, nil
	},
}

// extendedStatistics: 18 carries the statistics of columns over, 19 those of CREATE STATISTICS too.
var extendedStatistics = Check{
	ID: "extended-statistics", Title: "Extended statistics are gathered anew",
	Severity: upgrade.Info, Modes: withPgUpgrade(), Scope: PerDatabase,
	Why: "The definitions of CREATE STATISTICS come over, their contents do so from a target of version 19 on. Until the tables are analyzed, " +
		"queries that depend on them may get bad plans. pgleap analyzes the target before it hands it over.",
	Remedy: "Nothing has to be done. If an application sets default_statistics_target in its sessions for ANALYZE, run its ANALYZE again on the target.",
	Find: func(ctx context.Context, f *Facts, s Session) ([]Found, error) {
		if f.Plan.Target.Version.Major() >= 19 {
			return nil, nil
		}
		return s.query(ctx, `
			SELECT format('%I.%I', n.nspname, x.stxname), x.stxrelid::regclass::text, NULL
			FROM pg_statistic_ext x JOIN pg_namespace n ON n.oid = x.stxnamespace
			ORDER BY 1`)
	},
}

// replicationOrigins: pg_upgrade carries those of subscriptions over, from 17 on, and no others.
var replicationOrigins = Check{
	ID: "replication-origins", Title: "Replication origins do not come over",
	Severity: upgrade.Warning, Modes: withPgUpgrade(), Scope: PerCluster, Acceptable: true,
	Why: "A replication origin remembers how far something from elsewhere has been applied. Those that are not of a subscription, such as those of pglogical, BDR or a program of your own, " +
		"are not carried over: what applies by them would begin from the start, or fail.",
	Remedy: "Note the position (pg_replication_origin_status), make the origin anew on the target (pg_replication_origin_create) and set it there (pg_replication_origin_advance). Drop by hand those that nobody uses: its position goes with it.",
	Find: query(`
		SELECT quote_literal(o.roname), 'applied up to ' || p.remote_lsn, NULL
		FROM pg_replication_origin o LEFT JOIN pg_replication_origin_status p ON p.local_id = o.roident
		WHERE o.roname !~ '^pgleap' AND o.roname !~ '^pg_[0-9]+(_[0-9]+_sync_[0-9]+)?$' AND o.roname !~ '^pg_[0-9]+_[0-9]+$'
		ORDER BY 1`),
}
