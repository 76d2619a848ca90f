package precheck

import "github.com/pgleap/pgleap/internal/upgrade"

// transferMethod: pg_upgrade tries its way to transfer files with one of them (its file.c, check_file_clone,
// check_copy_file_range and check_hard_link).
var transferMethod = Check{
	ID: "transfer-method", Title: "Files cannot be transferred in the way that was chosen",
	Severity: upgrade.Blocker, Modes: withPgUpgrade(), Scope: PerCluster,
	Why:    "Links and swapping take both data directories on one file system; cloning takes a file system that can (Btrfs, XFS with reflinks), copy_file_range a kernel that can.",
	Remedy: "Choose another way to transfer files, or another place for the target.",
	PgUpgrade: []string{
		"could not clone file between old and new data directories", "could not copy file range between old and new data directories",
		"could not create hard link between old and new data directories", "not supported on this platform",
	},
	Find: onlyPgUpgrade,
}
