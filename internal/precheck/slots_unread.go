package precheck

import "github.com/pgleap/pgleap/internal/upgrade"

// slotsUnread: pg_upgrade refuses a slot from which a change is still to be read, and looks only when the source is
// down (check.c, check_old_cluster_for_valid_slots, leaves it out of a check of a live cluster). Whether what is left
// is a change is looked at right before the outage, which does not begin then.
var slotsUnread = Check{
	ID: "slots-unread", Title: "Nobody reads from logical slots",
	Severity: upgrade.Warning, Modes: []upgrade.Mode{upgrade.InPlace}, Scope: PerCluster, Versions: Versions{Sources: 17},
	Why: "Logical slots go over to the target only if their consumers have read every change. " +
		"Where nobody reads, the next change in the slot's database keeps the upgrade from beginning: it is refused before the source is stopped.",
	Remedy: "Start the consumer before the upgrade and let it catch up, or drop the slot (pg_drop_replication_slot) if nobody needs it: its consumer begins anew then.",
	Find: query(`
		SELECT slot_name, format('of database %I', database), NULL::text
		FROM pg_replication_slots
		WHERE slot_type = 'logical' AND NOT temporary AND NOT active AND invalidation_reason IS NULL
			AND confirmed_flush_lsn < CASE WHEN NOT pg_is_in_recovery() THEN pg_current_wal_lsn() END
		ORDER BY slot_name`),
}
