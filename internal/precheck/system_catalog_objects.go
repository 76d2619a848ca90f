package precheck

import "github.com/pgleap/pgleap/internal/upgrade"

// systemCatalogObjects: pg_dump takes everything in these schemas for the system's own
// (pg_dump.c, selectDumpableNamespace), so it is lost without a word.
var systemCatalogObjects = Check{
	ID: "system-catalog-objects", Title: "Objects in the system's schemas would get lost",
	Severity: upgrade.Blocker, Modes: withPgUpgrade(), Scope: PerDatabase,
	Why:    "What lies in pg_catalog or information_schema and is not part of an extension is not carried over, rows included, and no error says so.",
	Remedy: "Move it into a schema of your own, or drop it.",
	Find: query(`
		WITH members AS (
			SELECT classid, objid FROM pg_depend WHERE deptype IN ('e', 'i', 'a')
		), system AS (
			SELECT oid, nspname FROM pg_namespace WHERE nspname IN ('pg_catalog', 'information_schema')
		), destination AS (
			SELECT min(nspname) AS name FROM pg_namespace WHERE nspname = 'public'
		)
		SELECT format('%I.%I', n.nspname, c.relname), 'relation', format('ALTER TABLE %I.%I SET SCHEMA %I', n.nspname, c.relname, d.name)
		FROM pg_class c JOIN system n ON n.oid = c.relnamespace LEFT JOIN destination d ON d.name IS NOT NULL
		WHERE c.oid >= 16384 AND c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f')
			AND NOT EXISTS (SELECT FROM members m WHERE m.classid = 'pg_class'::regclass AND m.objid = c.oid)
		UNION ALL
		SELECT signature, 'routine', format('ALTER ROUTINE %s SET SCHEMA %I', signature, d.name)
		FROM pg_proc p JOIN system n ON n.oid = p.pronamespace LEFT JOIN destination d ON d.name IS NOT NULL
		CROSS JOIN LATERAL concat(CASE n.nspname WHEN 'pg_catalog' THEN 'pg_catalog.' END, p.oid::regprocedure) AS signature -- that schema is not written
		WHERE p.oid >= 16384
			AND NOT EXISTS (SELECT FROM members m WHERE m.classid = 'pg_proc'::regclass AND m.objid = p.oid)
		UNION ALL
		SELECT format('%I.%I', n.nspname, t.typname), 'type', format('ALTER TYPE %I.%I SET SCHEMA %I', n.nspname, t.typname, d.name)
		FROM pg_type t JOIN system n ON n.oid = t.typnamespace LEFT JOIN destination d ON d.name IS NOT NULL
		WHERE t.oid >= 16384
			AND (t.typrelid = 0 OR EXISTS (SELECT FROM pg_class c WHERE c.oid = t.typrelid AND c.relkind = 'c'))
			AND NOT EXISTS (SELECT FROM members m WHERE m.classid = 'pg_type'::regclass AND m.objid = t.oid)
		ORDER BY 1`),
}
