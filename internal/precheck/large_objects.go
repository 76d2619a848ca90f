package precheck

import "github.com/pgleap/pgleap/internal/upgrade"

// largeObjects: pg_largeobject is a system catalog, which no publication can hold.
var largeObjects = Check{
	ID: "large-objects", Title: "Changes of large objects are not replicated",
	Severity: upgrade.Blocker, Modes: withReplication(), Scope: PerDatabase, Acceptable: true,
	Why:    "Large objects come over with the clone, but logical replication does not carry what happens to them afterwards.",
	Remedy: "If nobody changes large objects during the upgrade, accept the database by name. Otherwise move them into columns of type bytea, or upgrade in another mode.",
	Find: query(`
		SELECT NULL, count(*) || ' large objects', NULL
		FROM pg_largeobject_metadata
		HAVING count(*) > 0`),
}
