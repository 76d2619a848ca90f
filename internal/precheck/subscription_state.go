package precheck

import "github.com/pgleap/pgleap/internal/upgrade"

// subscriptionState: from 17 on pg_upgrade takes subscriptions over with their positions and the states of their
// tables, which must be settled (pg_upgrade's check.c, check_old_cluster_subscription_state).
var subscriptionState = Check{
	ID: "subscription-state", Title: "Subscriptions are not in a state that can be taken over",
	Severity: upgrade.Blocker, Modes: []upgrade.Mode{upgrade.InPlace}, Scope: PerDatabase, Versions: Versions{Sources: 17},
	Why:       "A subscription goes on at the target where its replication origin says, and a table that is being copied at the moment would be left half copied.",
	Remedy:    "Let the tables become ready. A subscription whose origin is missing has lost its position: drop it, and make it anew with its tables copied again.",
	PgUpgrade: []string{"subs_invalid.txt"},
	Find: query(`
		WITH own AS (
			SELECT s.oid, s.subname FROM pg_subscription s JOIN pg_database d ON d.oid = s.subdbid
			WHERE d.datname = current_database()
		)
		SELECT quote_ident(subname), 'its replication origin is missing', NULL
		FROM own
		WHERE NOT EXISTS (SELECT FROM pg_replication_origin WHERE roname = 'pg_' || own.oid)
		UNION ALL
		SELECT quote_ident(subname), format('table %I.%I: state %s', n.nspname, c.relname, r.srsubstate), NULL
		FROM own JOIN pg_subscription_rel r ON r.srsubid = own.oid
			JOIN pg_class c ON c.oid = r.srrelid JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE r.srsubstate NOT IN ('i', 'r')
		ORDER BY 1, 2`),
}
