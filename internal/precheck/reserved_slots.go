package precheck

import "github.com/pgleap/pgleap/internal/upgrade"

// reservedSlots: a slot of one of pgleap's names that pgleap would not have made so.
var reservedSlots = Check{
	ID: "reserved-slots", Title: "Replication slots have names that pgleap uses",
	Severity: upgrade.Blocker, Modes: withClone(), Scope: PerCluster,
	Why:    "pgleap makes a logical slot for each database, named pgleap_ and the database's oid, and a physical one named " + upgrade.BaseBackupSlot + ".",
	Remedy: "Find out who uses the slot, let it use another one, and drop this one with pg_drop_replication_slot.",
	Find: query(`
		SELECT slot_name::text, concat_ws(', ', slot_type, 'plugin ' || plugin, 'database ' || database), NULL
		FROM pg_replication_slots
		WHERE slot_name = 'pgleap_base_backup' AND slot_type <> 'physical'
			OR slot_name ~ '^pgleap_[0-9]+$'
				AND (slot_type <> 'logical' OR plugin <> 'pgoutput' OR slot_name <> 'pgleap_' || datoid)
		ORDER BY slot_name`),
}
