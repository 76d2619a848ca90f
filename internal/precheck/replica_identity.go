package precheck

import "github.com/pgleap/pgleap/internal/upgrade"

// replicaIdentity: the publication breaks updates and deletes of such tables at once, on the
// source (execReplication.c, CheckCmdReplicaIdentity).
var replicaIdentity = Check{
	ID: "replica-identity", Title: "Tables have no replica identity",
	Severity: upgrade.Blocker, Modes: withReplication(), Scope: PerPublished,
	Why: "An update or delete is replicated by the row's identity: its primary key, another unique index without NULLs, or the whole row. " +
		"As soon as a table without one is published, the source refuses to update and delete in it.",
	Remedy: "Best is a primary key. Otherwise name a unique index, or let the whole row be the identity (FULL), which is slow for large tables. " +
		"FULL is not possible with columns whose types have no equality.",
	Find: query(identitySQL + `
		SELECT name,
			concat_ws('; ',
				CASE
					WHEN identity = 'n' THEN 'REPLICA IDENTITY NOTHING'
					WHEN identity = 'i' THEN 'the index that was its identity is gone or invalid'
					WHEN deferrable_key THEN 'its primary key is deferrable'
					ELSE 'no primary key'
				END,
				CASE WHEN mend IS NULL THEN 'no equality for ' || unequal END),
			mend
		FROM identities
		WHERE NOT identified
		ORDER BY name`),
}
