package precheck

import "github.com/pgleap/pgleap/internal/upgrade"

// reservedObjects: pgleap's own schema has a comment that says so (postgres/marker.go), and belongs to its role: the
// comment alone could be anybody's, whose code in the schema would run as a superuser. A publication that is exactly
// as pgleap makes it does no harm.
var reservedObjects = Check{
	ID: "reserved-objects", Title: "A schema, publication or event trigger has a name that pgleap uses",
	Severity: upgrade.Blocker, Modes: withReplication(), Scope: PerPublished,
	Why: "For the time of an upgrade pgleap makes a schema " + upgrade.Schema + ", publications (" + upgrade.Publication + ", pgleap_group_N) " +
		"and event triggers (pgleap_ddl_...) in every database, and drops them afterwards.",
	Remedy: "Rename the object.",
	Find: query(`
		SELECT nspname, 'schema', format('ALTER SCHEMA %I RENAME TO %I', nspname, nspname || '_of_ours')
		FROM pg_namespace
		WHERE nspname = 'pgleap'
			AND (nspowner IS DISTINCT FROM (SELECT oid FROM pg_roles WHERE rolname = 'pgleap')
				OR coalesce(obj_description(oid, 'pg_namespace'), '') NOT LIKE 'pgleap:%')
		UNION ALL
		SELECT pubname, 'publication', format('ALTER PUBLICATION %I RENAME TO %I', pubname, pubname || '_of_ours')
		FROM pg_publication
		WHERE pubname = 'pgleap_forward'
			AND NOT (puballtables AND pubinsert AND pubupdate AND pubdelete AND pubtruncate AND NOT pubviaroot)
		UNION ALL
		SELECT pubname, 'publication', format('ALTER PUBLICATION %I RENAME TO %I', pubname, pubname || '_of_ours')
		FROM pg_publication
		WHERE pubname ~ '^pgleap_group_[0-9]+$' AND pubowner IS DISTINCT FROM (SELECT oid FROM pg_roles WHERE rolname = 'pgleap')
		UNION ALL
		SELECT evtname, 'event trigger', format('ALTER EVENT TRIGGER %I RENAME TO %I', evtname, 'our_' || evtname) -- the end of a long name is cut off
		FROM pg_event_trigger e JOIN pg_proc p ON p.oid = e.evtfoid JOIN pg_namespace n ON n.oid = p.pronamespace
		WHERE evtname ~ '^pgleap_ddl_' AND n.nspname <> 'pgleap'`),
}
