package precheck

import "github.com/pgleap/pgleap/internal/upgrade"

// What follows has nothing that SQL could look at: pg_upgrade tells it of its own surroundings.

// pgUpgradePlace: before it looks at anything, pg_upgrade wants a directory to write to, ports and servers that are
// down (its option.c, pg_upgrade.c and server.c).
var pgUpgradePlace = Check{
	ID: "pg-upgrade-place", Title: "pg_upgrade cannot run where it was started",
	Severity: upgrade.Blocker, Modes: withPgUpgrade(), Scope: PerCluster,
	Why:    "pg_upgrade starts servers of both versions and writes files. It needs a directory of its own, two ports, and data directories that no other server uses.",
	Remedy: "See that the agent may work as the cluster's owner beside the target's data directory, and that nothing else has started a server there.",
	PgUpgrade: []string{
		"must have read and write access in the current directory", "cannot be run as root", "There seems to be a postmaster servicing",
		"has a non-local server value", "port numbers must be different", "could not access directory", "could not create directory",
		"could not open log file", "could not write to log file", "could not read permissions of directory",
	},
	Find: onlyPgUpgrade,
}
