package precheck

import (
	"context"
	"fmt"
	"slices"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// replicationSlots: one for the clone, and one for each replicated database.
var replicationSlots = Check{
	ID: "replication-slots", Title: "The source has too few replication slots",
	Severity: upgrade.Blocker, Modes: withClone(), Scope: PerCluster,
	Why:    "The upgrade needs a physical slot for the clone, and a logical one for each database if it replicates, beside those that are in use.",
	Remedy: "Raise max_replication_slots and restart the source.",
	Find: func(ctx context.Context, f *Facts, s Session) ([]Found, error) {
		const others = `SELECT count(*) FROM pg_replication_slots WHERE slot_name !~ '^pgleap_((back_)?[0-9]+(_[0-9]+)?|base_backup)$'`
		more := int64(1)
		if f.replicates() {
			more += int64(len(f.Published) * max(1, f.Plan.Options.TableGroups))
		}
		return f.enough(ctx, s, "max_replication_slots", others, more)
	},
}

// replicates tells whether the mode of the upgrade takes logical replication.
func (f *Facts) replicates() bool { return slices.Contains(withReplication(), f.Plan.Mode) }

// enough finds a limit that does not leave room for more beside what a query counts.
func (f *Facts) enough(ctx context.Context, s Session, name, used string, more int64) ([]Found, error) {
	var inUse int64
	if err := s.Tx.QueryRow(ctx, used).Scan(&inUse); err != nil {
		return nil, err
	}
	limit, err := f.Settings.Int(name)
	if err != nil {
		return nil, err
	}
	if limit >= inUse+more {
		return nil, nil
	}
	found := f.wanted(name, fmt.Sprint(inUse+more))
	if found.Note == "" {
		found.Note = fmt.Sprintf("%d in use, %d more needed", inUse, more)
	}
	return []Found{found}, nil
}
