package precheck

import "github.com/pgleap/pgleap/internal/upgrade"

// targetPrograms: all programs of a directory must be of pg_upgrade's own build (its exec.c, check_exec).
var targetPrograms = Check{
	ID: "target-programs", Title: "Programs are missing, or are of another version than pg_upgrade",
	Severity: upgrade.Blocker, Modes: withPgUpgrade(), Scope: PerCluster,
	Why:    "pg_upgrade runs pg_dump, pg_restore, psql, vacuumdb and others of the target, which must be of exactly its own version, packaging included, and pg_ctl, postgres and others of the source.",
	Remedy: "Install the packages of server and clients of each version, from the same source and of the same minor release.",
	PgUpgrade: []string{
		"incorrect version", "check for \"", "binary directories are from different major versions", "could not get pg_ctl version",
		"could not get data directory using", "could not get control data using",
	},
	Find: onlyPgUpgrade,
}
