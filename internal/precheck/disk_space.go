package precheck

import (
	"context"
	"fmt"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// diskSpace: the clone is a full copy, the target shares its files by hard links and adds its own
// catalogs and pg_upgrade's dumps.
var diskSpace = Check{
	ID: "disk-space", Title: "There is not enough disk space",
	Severity: upgrade.Blocker, Modes: withClone(), Scope: PerCluster,
	Why: "The clone is a full copy of the source with its tablespaces, and needs room for WAL. pg_upgrade links the clone's files " +
		"and adds catalogs. Meanwhile the source keeps WAL for the slots, up to maxRetainedWAL.",
	Remedy: "Make room, choose a data directory for the target on another file system, or lower maxRetainedWAL.",
	Find: func(ctx context.Context, f *Facts, s Session) ([]Found, error) {
		need, err := needed(ctx, f, s)
		if err != nil {
			return nil, err
		}
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

// needed estimates what clone and target take. The data itself is exact (a base backup copies
// files as they are) and gets 5 % for its growth. Then come WAL, until the clone's first
// checkpoints, and for pg_upgrade 20 MB for each database and 4 kB for each relation.
// A relation is about three files, a fresh database about a thousand.
func needed(ctx context.Context, f *Facts, s Session) (Space, error) {
	var data, files int64
	err := s.Tx.QueryRow(ctx, `SELECT sum(pg_tablespace_size(oid))::bigint FROM pg_tablespace`).Scan(&data)
	if err != nil {
		return Space{}, err
	}
	// The relations of other databases cannot be seen from here; their files can.
	err = s.Tx.QueryRow(ctx, `
		SELECT count(*)
		FROM pg_database d CROSS JOIN LATERAL pg_ls_dir('base/' || d.oid, true, false)`).Scan(&files)
	if err != nil {
		return Space{}, err
	}
	wal, err := f.Settings.Bytes("max_wal_size")
	if err != nil {
		return Space{}, err
	}
	databases := int64(len(f.Databases))
	return Space{
		Bytes:  data + data/20 + wal + databases*20<<20 + files/3*(4<<10),
		Inodes: files + databases*1000,
	}, nil
}
