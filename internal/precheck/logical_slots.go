package precheck

import "github.com/pgleap/pgleap/internal/upgrade"

// logicalSlots: pg_basebackup leaves slots out (basebackup.c, excludeDirContents), so the clone
// has none, whatever the version.
var logicalSlots = Check{
	ID: "logical-slots", Title: "Others consume the source's changes",
	Severity: upgrade.Warning, Modes: withClone(), Scope: PerCluster,
	Why:    "Logical slots are not carried over to the target: change data capture and subscribers stop at the switchover.",
	Remedy: "Plan for each consumer how it goes on at the target: a new slot there before writes begin, or a fresh copy. Drop slots that nobody uses.",
	Find: query(`
		SELECT slot_name::text, concat_ws(', ', 'database ' || quote_ident(database), 'plugin ' || plugin, CASE WHEN NOT active THEN 'inactive' END), NULL
		FROM pg_replication_slots
		WHERE slot_type = 'logical' AND slot_name !~ '^pgleap_[0-9]+$'
		ORDER BY slot_name`),
}
