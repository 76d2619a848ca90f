package precheck

import (
	"context"
	"fmt"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// diskSpace: the clone is a full copy, the target shares its files by hard links and adds its own
// catalogs and pg_upgrade's dumps. What is needed is the estimate's.
var diskSpace = Check{
	ID: "disk-space", Title: "There is not enough disk space",
	Severity: upgrade.Blocker, Modes: withClone(), Scope: PerCluster,
	Why: "The clone is a full copy of the source with its tablespaces, and needs room for WAL. pg_upgrade links the clone's files " +
		"and adds catalogs. Meanwhile the source keeps WAL for the slots, up to maxRetainedWAL.",
	Remedy: "Make room, choose a data directory for the target on another file system, or lower maxRetainedWAL.",
	Find: func(_ context.Context, f *Facts, _ Session) ([]Found, error) {
		workload, err := f.Workload.Get()
		if err != nil {
			return nil, err
		}
		need := Space{Bytes: workload.DiskNeeded(f.Plan.Mode, f.Plan.Options.Transfer), Inodes: workload.InodesNeeded()}
		target, err := f.Host.TargetSpace.Get()
		if err != nil {
			return nil, fmt.Errorf("measure the target's file system: %w", err)
		}
		source, err := f.Host.SourceSpace.Get()
		if err != nil {
			return nil, fmt.Errorf("measure the source's file system: %w", err)
		}
		return judgeSpace(need, target, source, f.Host.SameFileSystem, f.Plan.Options.MaxRetainedWAL), nil
	},
}

// judgeSpace is a blocker where the clone does not fit, a warning where the WAL might not.
func judgeSpace(need, target, source Space, same bool, retained int64) []Found {
	var found []Found
	if target.Bytes < need.Bytes {
		found = append(found, Found{
			Object: "file system of the target's data directory",
			Note:   fmt.Sprintf("%s free, %s needed", bytes(target.Bytes), bytes(need.Bytes)),
		})
	}
	if target.Inodes > 0 && target.Inodes < need.Inodes {
		found = append(found, Found{
			Object: "inodes of the target's file system",
			Note:   fmt.Sprintf("%d free, about %d needed", target.Inodes, need.Inodes),
		})
	}
	left := source.Bytes
	if same {
		left -= need.Bytes
	}
	if left < retained && len(found) == 0 {
		found = append(found, Found{
			Object: "file system of the source's WAL", Severity: upgrade.Warning,
			Note: fmt.Sprintf("%s left for WAL that the slots keep, maxRetainedWAL is %s", bytes(left), bytes(retained)),
		})
	}
	return found
}
