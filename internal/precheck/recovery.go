package precheck

import "github.com/pgleap/pgleap/internal/upgrade"

// recovery: roles, publications and markers are written on the source, so it must be a primary.
var recovery = Check{
	ID: "recovery", Title: "The source is a standby",
	Severity: upgrade.Blocker, Modes: everyMode(), Scope: PerCluster,
	Why:    "An upgrade begins at the primary: a standby cannot be written to.",
	Remedy: "Register the primary as the instance's cluster.",
	Find:   query(`SELECT 'pg_is_in_recovery()', NULL, NULL WHERE pg_is_in_recovery()`),
}
