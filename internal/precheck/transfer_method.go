package precheck

import (
	"context"
	"fmt"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// transferMethod: pg_upgrade tries its way to transfer files with one of them (its file.c, check_file_clone,
// check_copy_file_range and check_hard_link). The one that runs in a precheck copies: its host tries the others.
var transferMethod = Check{
	ID: "transfer-method", Title: "Files cannot be transferred in the way that was chosen",
	Severity: upgrade.Blocker, Modes: withPgUpgrade(), Scope: PerCluster,
	Why: "Links and swapping take both data directories on one file system; cloning takes a file system that can (Btrfs, XFS with reflinks), copy_file_range a kernel that can. " +
		"copy_file_range came with version 17, swapping with 18.",
	Remedy: "Choose another way to transfer files (--transfer), or another place for the target.",
	PgUpgrade: []string{
		"could not clone file between old and new data directories", "could not copy file range between old and new data directories",
		"could not create hard link between old and new data directories", "not supported on this platform",
	},
	Find: func(_ context.Context, f *Facts, _ Session) ([]Found, error) {
		if f.Plan.Mode != upgrade.InPlace { // elsewhere a clone's files are linked, which lies beside the target
			return nil, nil
		}
		transfer, err := f.Host.Transfer.Get()
		if err != nil {
			return nil, fmt.Errorf("try how files can be transferred: %w", err)
		}
		if transfer.Refused == "" {
			return nil, nil
		}
		return []Found{{Object: transfer.Refused}}, nil
	},
}
