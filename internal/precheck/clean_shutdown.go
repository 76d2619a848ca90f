package precheck

import "github.com/pgleap/pgleap/internal/upgrade"

// cleanShutdown concerns a source that is down (pg_upgrade's controldata.c, get_control_data).
var cleanShutdown = Check{
	ID: "clean-shutdown", Title: "The cluster was not shut down cleanly",
	Severity: upgrade.Blocker, Modes: withPgUpgrade(), Scope: PerCluster,
	Why:    "Of a server that crashed, or that was a standby until it stopped, part of the data is in the WAL only, which pg_upgrade does not carry over.",
	Remedy: "Start the source and stop it again: smart or fast, not immediate. Promote a standby first.",
	PgUpgrade: []string{
		"was not shut down cleanly", "was shut down while in recovery mode", "lacks cluster state information", "database cluster state problem",
	},
	Find: onlyPgUpgrade,
}
