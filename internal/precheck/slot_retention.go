package precheck

import (
	"context"
	"fmt"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// slotRetention: the slots are idle while the clone is made and upgraded, and a checkpoint
// invalidates what is beyond these limits (slot.c, InvalidateObsoleteReplicationSlots).
var slotRetention = Check{
	ID: "slot-retention", Title: "The source would give up the upgrade's replication slots",
	Severity: upgrade.Blocker, Modes: withReplication(), Scope: PerCluster,
	Why: "The slots wait while the clone is made and upgraded. Beyond max_slot_wal_keep_size or idle_replication_slot_timeout " +
		"the source would invalidate them, and the upgrade would have to begin again.",
	Remedy: "Set the limits as shown and reload the configuration: SELECT pg_reload_conf(). " +
		"-1 means no limit: then a slot that nobody reads can fill the disk. " +
		"pgleap itself gives the upgrade up before the slots keep more WAL than its option maxRetainedWAL allows.",
	Find: func(_ context.Context, f *Facts, _ Session) ([]Found, error) {
		var found []Found
		keep, err := f.Settings.Bytes("max_slot_wal_keep_size")
		if err != nil {
			return nil, err
		}
		if keep >= 0 && keep < f.Plan.Options.MaxRetainedWAL {
			limit := f.wanted("max_slot_wal_keep_size", fmt.Sprintf("'%dMB'", (f.Plan.Options.MaxRetainedWAL+1<<20-1)>>20))
			limit.Note = bytes(keep) + ", less than maxRetainedWAL: " + bytes(f.Plan.Options.MaxRetainedWAL)
			found = append(found, limit)
		}
		if timeout := f.Settings.Text("idle_replication_slot_timeout"); timeout != "" && timeout != "0" {
			found = append(found, f.wanted("idle_replication_slot_timeout", "0"))
		}
		return found, nil
	},
}
