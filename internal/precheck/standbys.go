package precheck

import "github.com/pgleap/pgleap/internal/upgrade"

// standbys: a physical standby follows one major version only.
var standbys = Check{
	ID: "standbys", Title: "The source has standbys",
	Severity: upgrade.Info, Modes: withPgUpgrade(), Scope: PerCluster,
	Why:    "A standby follows its primary within a major version. pg_upgrade does not carry physical slots over.",
	Remedy: "Build new standbys from the target, best before the switchover. The old ones go on following the source.",
	Find: query(`
		SELECT coalesce(nullif(application_name, ''), 'process ' || pid), host(client_addr), NULL
		FROM pg_stat_replication r
		WHERE application_name NOT LIKE 'pgleap%'
			AND NOT EXISTS (SELECT FROM pg_replication_slots s WHERE s.active_pid = r.pid)
		UNION ALL
		SELECT 'slot ' || slot_name, CASE WHEN NOT active THEN 'inactive' END, NULL
		FROM pg_replication_slots
		WHERE slot_type = 'physical' AND slot_name <> 'pgleap_base_backup'
		ORDER BY 1`),
}
