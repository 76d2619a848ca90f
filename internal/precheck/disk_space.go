package precheck

import (
	"context"
	"fmt"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// diskSpace: a clone is a full copy, and the target shares its files by hard links; in place the target has copies or
// links of the source's. Either way it adds its own catalogs and pg_upgrade's dumps. What is needed is the estimate's.
var diskSpace = Check{
	ID: "disk-space", Title: "There is not enough disk space",
	Severity: upgrade.Blocker, Modes: withPgUpgrade(), Scope: PerCluster,
	Why: "The clone is a full copy of the source with its tablespaces, and needs room for WAL. pg_upgrade links the clone's files " +
		"and adds catalogs. Meanwhile the source keeps WAL for the slots, up to maxRetainedWAL. " +
		"In place pg_upgrade adds catalogs, and copies all files where they can be neither linked nor cloned, or shall not be.",
	Remedy: "Make room, choose a data directory for the target on another file system, or lower maxRetainedWAL. In place, choose a transfer that makes no copies (--transfer).",
	Find: func(ctx context.Context, f *Facts, s Session) ([]Found, error) {
		workload, err := f.Workload.Get()
		if err != nil {
			return nil, err
		}
		transfer := f.transfer()
		need := Space{Bytes: workload.DiskNeeded(f.Plan.Mode, transfer), Inodes: workload.InodesNeeded(f.Plan.Mode, transfer)}
		target, err := f.Host.TargetSpace.Get()
		if err != nil {
			return nil, fmt.Errorf("measure the target's file system: %w", err)
		}
		if f.Plan.Mode == upgrade.InPlace {
			var spaces int
			err := s.Tx.QueryRow(ctx, `SELECT count(*) FROM pg_tablespace WHERE oid >= 16384`).Scan(&spaces)
			return judgeSpaceInPlace(need, target, spaces), err
		}
		source, err := f.Host.SourceSpace.Get()
		if err != nil {
			return nil, fmt.Errorf("measure the source's file system: %w", err)
		}
		return judgeSpace(need, target, source, f.Host.SameFileSystem, f.Plan.Options.MaxRetainedWAL), nil
	},
}

// judgeSpaceInPlace is no blocker where there are tablespaces: their files are copied where they are.
func judgeSpaceInPlace(need, target Space, tablespaces int) []Found {
	found := lackingSpace(need, target)
	if tablespaces == 0 {
		return found
	}
	for i := range found {
		found[i].Severity = upgrade.Warning
		found[i].Note += fmt.Sprintf("; %d tablespaces are counted in, which have room of their own", tablespaces)
	}
	return found
}

// lackingSpace is what the file system of the target's data directory has too little of.
func lackingSpace(need, target Space) []Found {
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
	return found
}

// judgeSpace is a blocker where the clone does not fit, a warning where the WAL might not.
func judgeSpace(need, target, source Space, same bool, retained int64) []Found {
	found := lackingSpace(need, target)
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
