package precheck

import (
	"context"
	"slices"
	"strings"

	"github.com/pgleap/pgleap/internal/postgres"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// targetSlots: from 17 on the target must have room for the source's logical slots and allow their plugins (pg_upgrade's
// check.c, check_new_cluster_replication_slots).
var targetSlots = Check{
	ID: "target-slots", Title: "The target's settings leave no room for the source's logical slots",
	Severity: upgrade.Blocker, Modes: []upgrade.Mode{upgrade.InPlace}, Scope: PerCluster, Versions: Versions{Sources: 17},
	Why: "The source's logical slots go over to the target, which needs wal_level, max_replication_slots and, in minor releases of August 2026 and later, " +
		"the slots' plugins in output_plugin_libraries.",
	Remedy: "Set on the source what the target takes over from it, with the SQL where it is given: it allows the plugins of all slots, beside those that are allowed already, and holds for new sessions after a reload (SELECT pg_reload_conf()). " +
		"Where the source's minor release does not know output_plugin_libraries, install the latest one. A slot that nobody uses can be dropped by hand instead.",
	PgUpgrade: []string{
		"disallowed_output_plugins.txt", `"wal_level" must be`, "number of logical replication slots", "output_plugin_libraries",
	},
	Find: func(ctx context.Context, f *Facts, s Session) ([]Found, error) {
		slots, err := postgres.ConsumerSlots(ctx, s.Tx.Conn())
		if err != nil {
			return nil, err
		}
		remedy := f.allowPlugins(slots)
		var found []Found
		for _, slot := range slots {
			note, err := f.pluginToAllow(ctx, slot.Plugin)
			if err != nil {
				return nil, err
			}
			if note != "" {
				found = append(found, Found{
					Object: slot.Name, Note: "plugin " + slot.Plugin + " is not in output_plugin_libraries",
					SQL: remedy,
				})
			}
		}
		return found, nil
	},
}

// allowPlugins is the SQL that allows the plugins of all slots on the source, and so on the target, beside what is
// allowed there; empty if the source has no such setting.
func (f *Facts) allowPlugins(slots []postgres.ConsumerSlot) string {
	allowed := f.Settings.Text("output_plugin_libraries")
	if allowed == "" {
		return ""
	}
	var words []string
	add := func(library string) {
		if word := quoteLiteral(library); !slices.Contains(words, word) {
			words = append(words, word)
		}
	}
	for library := range strings.SplitSeq(allowed, ",") {
		add(strings.Trim(strings.TrimSpace(library), `"`))
	}
	for _, slot := range slots {
		if !slices.Contains(libraryNames(allowed), slot.Plugin) {
			add(slot.Plugin)
		}
	}
	return "ALTER SYSTEM SET output_plugin_libraries = " + strings.Join(words, ", ")
}
