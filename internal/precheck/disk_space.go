package precheck

import (
	"context"
	"fmt"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// diskSpace: a clone is a full copy, and the target shares its files by hard links; in place the target has copies or
// links of the source's, those of a tablespace beside them. Either way it adds its own catalogs and pg_upgrade's dumps.
// What is needed is the estimate's.
var diskSpace = Check{
	ID: "disk-space", Title: "There is not enough disk space",
	Severity: upgrade.Blocker, Modes: withPgUpgrade(), Scope: PerCluster,
	Why: "The clone is a full copy of the source with its tablespaces, logs and all else in its data directory, and needs room for WAL. pg_upgrade links the clone's files " +
		"and adds catalogs. Meanwhile the source keeps WAL for the slots, up to maxRetainedWAL. " +
		"In place pg_upgrade adds catalogs, and copies all files where they can be neither linked nor cloned, or shall not be: those of a tablespace on its own file system.",
	Remedy: "Make room, choose a data directory for the target on another file system, or lower maxRetainedWAL. In place, choose a transfer that makes no copies (--transfer).",
	Find: func(_ context.Context, f *Facts, _ Session) ([]Found, error) {
		workload, err := f.Workload.Get()
		if err != nil {
			return nil, err
		}
		target, err := f.Host.TargetSpace.Get()
		if err != nil {
			return nil, fmt.Errorf("measure the target's file system: %w", err)
		}
		if f.Plan.Mode == upgrade.InPlace {
			copied, err := f.Host.Copied.Get()
			if err != nil {
				return nil, fmt.Errorf("measure the file systems of tablespaces: %w", err)
			}
			return judgeSpaceInPlace(spaceNeeded(workload, upgrade.InPlace, upgrade.TransferLink), target, copied), nil
		}
		source, err := f.Host.SourceSpace.Get()
		if err != nil {
			return nil, fmt.Errorf("measure the source's file system: %w", err)
		}
		if err := f.Host.OtherBytes.Err; err != nil {
			return nil, err
		}
		need := spaceNeeded(workload, f.Plan.Mode, f.transfer())
		return judgeSpace(need, target, source, f.Host.SameFileSystem, f.Plan.Options.MaxRetainedWAL), nil
	},
}

func spaceNeeded(w upgrade.Workload, mode upgrade.Mode, transfer upgrade.Transfer) Space {
	return Space{Bytes: w.DiskNeeded(mode, transfer), Inodes: w.InodesNeeded(mode, transfer)}
}

// judgeSpaceInPlace takes what the target needs if nothing is copied, and what is copied, which goes to the file systems
// of the tablespaces, too.
func judgeSpaceInPlace(bare, target Space, copied Copied) []Found {
	found := lackingSpace(bare.Plus(copied.ToTarget), target, "the target's data directory")
	for _, room := range copied.Elsewhere {
		found = append(found, lackingSpace(room.Need, room.Free, "the tablespace at "+room.Dir)...)
	}
	return found
}

// lackingSpace is what a file system, called by what is there, has too little of.
func lackingSpace(need, free Space, of string) []Found {
	var found []Found
	if free.Bytes < need.Bytes {
		found = append(found, Found{
			Object: "file system of " + of,
			Note:   fmt.Sprintf("%s free, %s needed", bytes(free.Bytes), bytes(need.Bytes)),
		})
	}
	if free.Inodes > 0 && free.Inodes < need.Inodes {
		found = append(found, Found{
			Object: "inodes of the file system of " + of,
			Note:   fmt.Sprintf("%d free, about %d needed", free.Inodes, need.Inodes),
		})
	}
	return found
}

// judgeSpace is a blocker where the clone does not fit, a warning where the WAL might not.
func judgeSpace(need, target, source Space, same bool, retained int64) []Found {
	found := lackingSpace(need, target, "the target's data directory")
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
