package precheck

import (
	"context"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// slotsTakenOver: from 17 on pg_upgrade takes logical slots over (its check.c, check_old_cluster_for_valid_slots).
// Whether their consumers have caught up is slotsUnread's.
var slotsTakenOver = Check{
	ID: "slots-taken-over", Title: "Logical slots cannot be taken over",
	Severity: upgrade.Blocker, Modes: []upgrade.Mode{upgrade.InPlace}, Scope: PerCluster, Versions: Versions{Sources: 17},
	Why:       "Logical slots go over to the target. One that is invalid cannot, and since 19 the server keeps the name pg_conflict_detection for itself.",
	Remedy:    "Drop the slot: nobody can read an invalid one any more. Its consumer begins anew with another slot.",
	PgUpgrade: []string{"invalid_logical_slots.txt"},
	Find: func(ctx context.Context, f *Facts, s Session) ([]Found, error) {
		return s.query(ctx, `
			SELECT slot_name, CASE WHEN invalidation_reason IS NOT NULL THEN 'invalid: ' || invalidation_reason ELSE 'its name is reserved' END,
				format('SELECT pg_drop_replication_slot(%L)', slot_name)
			FROM pg_replication_slots
			WHERE slot_type = 'logical' AND NOT temporary
				AND (invalidation_reason IS NOT NULL OR $1 AND slot_name = 'pg_conflict_detection')
			ORDER BY slot_name`, f.crosses(19))
	},
}
