package precheck

import (
	"context"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// scheduledJobs: what pg_cron runs is in its table cron.job, in one database of the cluster. The commands may have
// secrets in them and are not shown.
var scheduledJobs = Check{
	ID: "scheduled-jobs", Title: "Jobs are scheduled in the database",
	Severity: upgrade.Warning, Modes: everyMode(), Scope: PerDatabase, Acceptable: true,
	Why: "Jobs of pg_cron run by themselves, without a client: on the source during the upgrade, and on the target as soon as it is no copy any more, since its table of jobs comes along. " +
		"A job that changes the schema, such as the maintenance of partitions, stops a replication; one that works for long holds the switchover up.",
	Remedy: "Turn the jobs off for the time of the upgrade, and on again where the applications are afterwards. Accept by name those that do no harm when they run in the meantime, and on both sides.",
	Find: func(ctx context.Context, _ *Facts, s Session) ([]Found, error) {
		var there bool
		err := s.Tx.QueryRow(ctx, `
			SELECT count(*) = 4 FROM pg_attribute
			WHERE attrelid = to_regclass('cron.job') AND attname IN ('jobid', 'schedule', 'command', 'active')`).Scan(&there)
		if err != nil || !there {
			return nil, err
		}
		return s.query(ctx, `
			SELECT format('job %s', jobid), concat_ws(', ', schedule, quote_literal(to_jsonb(job) ->> 'jobname')),
				format('UPDATE cron.job SET active = false WHERE jobid = %s', jobid)
			FROM cron.job
			WHERE active
			ORDER BY jobid`)
	},
}
