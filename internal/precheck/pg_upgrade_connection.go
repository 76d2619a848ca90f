package precheck

import "github.com/pgleap/pgleap/internal/upgrade"

// pgUpgradeConnection: pg_upgrade talks to both clusters through their sockets (its server.c).
var pgUpgradeConnection = Check{
	ID: "pg-upgrade-connection", Title: "pg_upgrade cannot start or reach a cluster",
	Severity: upgrade.Blocker, Modes: withPgUpgrade(), Scope: PerCluster,
	Why: "pg_upgrade connects to the running source as its install user through its socket, and starts the target with its own programs. " +
		"It needs a way in that asks for no password, or the password in the agent's keeping.",
	Remedy: "Let the install user in by a line of pg_hba.conf for local connections (peer or trust for the operating system's owner of the cluster). " +
		"If a server does not start, its log says why.",
	PgUpgrade: []string{
		"could not connect to source postmaster", "could not connect to target postmaster", "pg_ctl failed to start the",
		"connection failure:", "connection to server",
	},
	Find: onlyPgUpgrade,
}
