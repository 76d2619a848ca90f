package precheck

import "github.com/pgleap/pgleap/internal/upgrade"

// targetEmpty: what initdb made must be as initdb made it (pg_upgrade's check.c, check_new_cluster_is_empty).
var targetEmpty = Check{
	ID: "target-empty", Title: "The target is not empty",
	Severity: upgrade.Blocker, Modes: withPgUpgrade(), Scope: PerCluster,
	Why:    "pg_upgrade brings everything over, roles and slots included. What is in the target already would be in the way.",
	Remedy: "Make the target's data directory anew with initdb, with no more than the install user in it.",
	PgUpgrade: []string{
		"is not empty: found relation", "Only the install user can be defined in the new cluster", "The target cluster contains prepared transactions",
		"expected 0 logical replication slots", "already exists in the new cluster",
	},
	Find: onlyPgUpgrade,
}
