package precheck

import (
	"context"

	"github.com/pgleap/pgleap/internal/postgres"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// targetSlots: from 17 on the target must have room for the source's logical slots and allow their plugins (pg_upgrade's
// check.c, check_new_cluster_replication_slots).
var targetSlots = Check{
	ID: "target-slots", Title: "The target's settings leave no room for the source's logical slots",
	Severity: upgrade.Blocker, Modes: []upgrade.Mode{upgrade.InPlace}, Scope: PerCluster,
	Why: "The source's logical slots go over to the target, which needs wal_level, max_replication_slots and, in minor releases of August 2026 and later, " +
		"the slots' plugins in output_plugin_libraries.",
	Remedy: "Set on the source what the target takes over from it, or drop the slots that nobody uses.",
	PgUpgrade: []string{
		"disallowed_output_plugins.txt", `"wal_level" must be`, "number of logical replication slots", "output_plugin_libraries",
	},
	Find: func(ctx context.Context, f *Facts, s Session) ([]Found, error) {
		if f.Version.Major() < 17 {
			return nil, nil
		}
		slots, err := postgres.ConsumerSlots(ctx, s.Tx.Conn())
		if err != nil {
			return nil, err
		}
		var found []Found
		for _, slot := range slots {
			note, err := f.pluginToAllow(ctx, slot.Plugin)
			if err != nil {
				return nil, err
			}
			if note != "" {
				found = append(found, Found{
					Object: slot.Name, Note: "plugin " + slot.Plugin + " is not in output_plugin_libraries",
					SQL: "SELECT pg_drop_replication_slot(" + quoteLiteral(slot.Name) + ")",
				})
			}
		}
		return found, nil
	},
}
