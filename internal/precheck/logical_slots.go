package precheck

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/pgleap/pgleap/internal/postgres"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// logicalSlots: pg_basebackup leaves slots out (basebackup.c, excludeDirContents), so the clone
// has none, whatever the version. A switchover makes them on the target, if the target can.
var logicalSlots = Check{
	ID: "logical-slots", Title: "Others consume the source's changes",
	Severity: upgrade.Warning, Modes: withClone(), Scope: PerCluster, Acceptable: true,
	Why: "Logical slots are those of change data capture and of subscribers, which are cut off at the switchover. " +
		"A zero-downtime upgrade makes each slot again on the target before anybody writes there, and tells the two LSNs between which the consumer changes over (docs/change-data-capture.md); " +
		"the target needs the output plugin. A blue-green upgrade does not carry slots over. " +
		"Meanwhile a consumer of all tables sees the changes of pgleap.marker too: a subscriber needs a table of that name.",
	Remedy: "Plan for each consumer how it goes on at the target. Install its output plugin for the target's version. Drop slots that nobody uses. " +
		"Accept by name those whose consumers are going to begin anew.",
	Find: func(ctx context.Context, f *Facts, s Session) ([]Found, error) {
		slots, err := postgres.ConsumerSlots(ctx, s.Tx.Conn())
		if err != nil {
			return nil, err
		}
		var found []Found
		for _, slot := range slots {
			one, err := f.consumerSlot(ctx, slot)
			if err != nil {
				return nil, err
			}
			found = append(found, one)
		}
		return found, nil
	},
}

// consumerSlot tells whether a slot can be made on the target.
func (f *Facts) consumerSlot(ctx context.Context, slot postgres.ConsumerSlot) (Found, error) {
	notes := []string{fmt.Sprintf("database %s, plugin %s", slot.Database, slot.Plugin)}
	if !slot.Active {
		notes = append(notes, "inactive")
	}
	found := Found{Object: slot.Name, Severity: upgrade.Warning}
	switch {
	case slot.Lost:
		notes = append(notes, "lost: nobody can read it any more")
	case slices.Contains(withReplication(), f.Plan.Mode):
		obstacle, err := f.slotObstacle(ctx, slot)
		if err != nil {
			return found, err
		}
		note := obstacle
		if obstacle != "" {
			found.Severity = upgrade.Blocker
		} else if note, err = f.pluginToAllow(ctx, slot.Plugin); err != nil {
			return found, err
		}
		if note != "" {
			notes = append(notes, note)
		}
	}
	found.Note = strings.Join(notes, ", ")
	return found, nil
}

// slotObstacle is why the target cannot have a slot, if it cannot.
func (f *Facts) slotObstacle(ctx context.Context, slot postgres.ConsumerSlot) (string, error) {
	if !slices.ContainsFunc(f.Published, func(d postgres.ReplicatedDatabase) bool { return d.Name == slot.Database }) {
		return "its database is not replicated", nil
	}
	if slot.TwoPhase && slot.Plugin != "pgoutput" && f.Plan.Target.Version.Major() < 18 {
		return "two_phase cannot be set on the target: it can from 18 on", nil
	}
	target, err := f.Target()
	if err != nil {
		return "", err
	}
	exists, err := libraryExists(ctx, target, "", slot.Plugin)
	if err == nil && !exists {
		return "the target does not have the plugin", nil
	}
	return "", err
}

// pluginToAllow tells what is to be set on the target before the switchover. Minors of August 2026 and later
// load the plugins only that output_plugin_libraries lists, which is carried over if the source has it.
func (f *Facts) pluginToAllow(ctx context.Context, plugin string) (string, error) {
	target, err := f.Target()
	if err != nil {
		return "", err
	}
	var list *string
	if err := target.QueryRow(ctx, `SELECT current_setting('output_plugin_libraries', true)`).Scan(&list); err != nil {
		return "", fmt.Errorf("read output_plugin_libraries: %w", err)
	}
	if list == nil {
		return "", nil
	}
	if carried := f.Settings.Text("output_plugin_libraries"); carried != "" {
		list = &carried
	}
	if slices.Contains(libraryNames(*list), plugin) {
		return "", nil
	}
	return "add the plugin to output_plugin_libraries on the target before the switchover", nil
}
