package precheck

import "github.com/pgleap/pgleap/internal/upgrade"

// targetOrigins: from 17 on the target must have room for a replication origin of each subscription (pg_upgrade's
// check.c, check_new_cluster_subscription_configuration).
var targetOrigins = Check{
	ID: "target-origins", Title: "The target's settings leave no room for the source's subscriptions",
	Severity: upgrade.Blocker, Modes: withPgUpgrade(), Scope: PerCluster,
	Why:       "Each subscription has a replication origin, which max_replication_slots limits in 17 and max_active_replication_origins since 18.",
	Remedy:    "Raise the setting for the target, or drop subscriptions that nobody uses.",
	PgUpgrade: []string{"number of subscriptions"},
	Find:      onlyPgUpgrade,
}
