package precheck

import "github.com/pgleap/pgleap/internal/upgrade"

// subscriptions: pg_upgrade from 16 or earlier makes them anew, disabled and without a position
// (pg_dump.c, dumpSubscription); and whoever applies changes on the source that another
// publisher sends must start exactly where it stopped.
var subscriptions = Check{
	ID: "subscriptions", Title: "The source subscribes to another server",
	Severity: upgrade.Blocker, Modes: withClone(), Scope: PerCluster,
	Why: "Were the subscription copied with the clone, source and clone would fetch from the same slot, and each would miss what the other got. " +
		"pgleap does not carry subscriptions over yet.",
	Remedy: "Drop the subscription before the upgrade and make it anew on the target afterwards, with its tables copied again; " +
		"or wait for a version of pgleap that carries it over.",
	Find: query(`
		SELECT format('%I.%I', datname, subname), CASE WHEN NOT subenabled THEN 'disabled' END, NULL
		FROM pg_subscription JOIN pg_database d ON d.oid = subdbid
		ORDER BY datname, subname`),
}
