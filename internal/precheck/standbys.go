package precheck

import "github.com/pgleap/pgleap/internal/upgrade"

// standbys: a physical standby follows one major version only.
var standbys = Check{
	ID: "standbys", Title: "The source has standbys, or others that stream its WAL",
	Severity: upgrade.Blocker, Modes: withPgUpgrade(), Scope: PerCluster, Acceptable: true,
	Why: "A standby follows its primary within a major version: the old ones stay with the source. The switchover takes LOGIN from the source's roles, " +
		"a change that standbys replay, so from then on read replicas refuse new sessions, and what they show grows old. " +
		"Tools for high availability (Patroni, repmgr) may take the fenced source for a failed one and promote a standby. pg_upgrade does not carry physical slots over.",
	Remedy: "Plan that every reader of a standby goes elsewhere from the switchover on, and that standbys are built anew from the target. " +
		"Pause tools for high availability for the time of the upgrade. Then accept each by name. Drop slots that nobody uses.",
	Find: query(`
		SELECT coalesce(nullif(application_name, ''), 'process ' || pid), host(client_addr), NULL
		FROM pg_stat_replication r
		WHERE application_name NOT LIKE 'pgleap%' AND application_name <> 'pg_basebackup'
			AND NOT EXISTS (SELECT FROM pg_replication_slots s WHERE s.active_pid = r.pid AND (NOT s.temporary OR s.slot_type = 'logical'))
		UNION ALL
		SELECT 'slot ' || slot_name, CASE WHEN NOT active THEN 'inactive' END, NULL
		FROM pg_replication_slots
		WHERE slot_type = 'physical' AND NOT temporary AND slot_name <> 'pgleap_base_backup'
		ORDER BY 1`),
}
