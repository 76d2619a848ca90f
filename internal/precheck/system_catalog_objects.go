package precheck

import (
	"context"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// systemCatalogObjects: pg_dump takes everything in these schemas for the system's own
// (pg_dump.c, selectDumpableNamespace), so it is lost without a word.
var systemCatalogObjects = Check{
	ID: "system-catalog-objects", Title: "Objects in the system's schemas would get lost",
	Severity: upgrade.Blocker, Modes: withPgUpgrade(), Scope: PerDatabase,
	Why:    "What lies in pg_catalog or information_schema and is not part of an extension is not carried over, rows included, and no error says so.",
	Remedy: "Move it into a schema of your own, or drop it.",
	Find: func(ctx context.Context, f *Facts, s Session) ([]Found, error) {
		found, err := s.query(ctx, systemCatalogQuery)
		if err != nil {
			return nil, err
		}
		collations, err := f.collationsOfTheSource(ctx, s)
		return append(found, collations...), err
	},
}

// systemCatalogQuery finds everything but collations. What an operator class makes with it depends on it, too.
const systemCatalogQuery = `
	WITH members AS (
		SELECT classid, objid FROM pg_depend WHERE deptype IN ('e', 'i', 'a')
	), of_extensions AS (
		SELECT classid, objid FROM pg_depend WHERE deptype = 'e'
	), system AS (
		SELECT oid, nspname FROM pg_namespace WHERE nspname IN ('pg_catalog', 'information_schema')
	), destination AS ( -- NULL without it: then there is no statement
		SELECT min(nspname) AS name FROM pg_namespace WHERE nspname = 'public'
	), named AS (
		SELECT tableoid, oid, oprnamespace AS namespace, 'operator' AS kind, oprname::text AS name,
			format(' (%s, %s)', coalesce(nullif(oprleft, 0)::regtype::text, 'NONE'), coalesce(nullif(oprright, 0)::regtype::text, 'NONE')) AS rest
		FROM pg_operator WHERE oprcode <> 0
		UNION ALL
		SELECT c.tableoid, c.oid, opcnamespace, 'operator class', quote_ident(opcname), format(' USING %I', m.amname) FROM pg_opclass c JOIN pg_am m ON m.oid = opcmethod
		UNION ALL
		SELECT f.tableoid, f.oid, opfnamespace, 'operator family', quote_ident(opfname), format(' USING %I', m.amname) FROM pg_opfamily f JOIN pg_am m ON m.oid = opfmethod
		UNION ALL SELECT tableoid, oid, connamespace, 'conversion', quote_ident(conname), '' FROM pg_conversion
		UNION ALL SELECT tableoid, oid, cfgnamespace, 'text search configuration', quote_ident(cfgname), '' FROM pg_ts_config
		UNION ALL SELECT tableoid, oid, dictnamespace, 'text search dictionary', quote_ident(dictname), '' FROM pg_ts_dict
		UNION ALL SELECT tableoid, oid, prsnamespace, 'text search parser', quote_ident(prsname), '' FROM pg_ts_parser
		UNION ALL SELECT tableoid, oid, tmplnamespace, 'text search template', quote_ident(tmplname), '' FROM pg_ts_template
	)
	SELECT format('%I.%I', n.nspname, c.relname), 'relation', format('ALTER TABLE %I.%I SET SCHEMA ', n.nspname, c.relname) || d.name
	FROM pg_class c JOIN system n ON n.oid = c.relnamespace LEFT JOIN destination d ON d.name IS NOT NULL
	WHERE c.oid >= 16384 AND c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f')
		AND NOT EXISTS (SELECT FROM members m WHERE m.classid = 'pg_class'::regclass AND m.objid = c.oid)
	UNION ALL
	SELECT format('%I.%I', n.nspname, x.stxname), 'statistics', format('ALTER STATISTICS %I.%I SET SCHEMA ', n.nspname, x.stxname) || d.name
	FROM pg_statistic_ext x JOIN system n ON n.oid = x.stxnamespace LEFT JOIN destination d ON d.name IS NOT NULL
	WHERE x.oid >= 16384
		AND NOT EXISTS (SELECT FROM of_extensions m WHERE m.classid = 'pg_statistic_ext'::regclass AND m.objid = x.oid)
	UNION ALL
	SELECT signature, 'routine', 'ALTER ROUTINE ' || signature || ' SET SCHEMA ' || d.name
	FROM pg_proc p JOIN system n ON n.oid = p.pronamespace LEFT JOIN destination d ON d.name IS NOT NULL
	CROSS JOIN LATERAL concat(CASE n.nspname WHEN 'pg_catalog' THEN 'pg_catalog.' END, p.oid::regprocedure) AS signature -- that schema is not written
	WHERE p.oid >= 16384
		AND NOT EXISTS (SELECT FROM members m WHERE m.classid = 'pg_proc'::regclass AND m.objid = p.oid)
	UNION ALL
	SELECT format('%I.%I', n.nspname, t.typname), 'type', format('ALTER TYPE %I.%I SET SCHEMA ', n.nspname, t.typname) || d.name
	FROM pg_type t JOIN system n ON n.oid = t.typnamespace LEFT JOIN destination d ON d.name IS NOT NULL
	WHERE t.oid >= 16384
		AND (t.typrelid = 0 OR EXISTS (SELECT FROM pg_class c WHERE c.oid = t.typrelid AND c.relkind = 'c'))
		AND NOT EXISTS (SELECT FROM members m WHERE m.classid = 'pg_type'::regclass AND m.objid = t.oid)
	UNION ALL
	SELECT concat(n.nspname, '.', o.name, CASE o.kind WHEN 'operator' THEN o.rest END), o.kind,
		format('ALTER %s %s.%s%s SET SCHEMA ', upper(o.kind), n.nspname, o.name, o.rest) || d.name
	FROM named o JOIN system n ON n.oid = o.namespace LEFT JOIN destination d ON d.name IS NOT NULL
	WHERE o.oid >= 16384
		AND NOT EXISTS (SELECT FROM of_extensions m WHERE m.classid = o.tableoid AND m.objid = o.oid)
	ORDER BY 1`

// collationsOfTheSource are those in the system's schemas that the target does not make by itself. Initdb and
// pg_import_system_collations() put those of the operating system there.
func (f *Facts) collationsOfTheSource(ctx context.Context, s Session) ([]Found, error) {
	own, err := s.query(ctx, `
		SELECT format('%I.%I', n.nspname, c.collname), 'collation',
			format('ALTER COLLATION %I.%I SET SCHEMA ', n.nspname, c.collname) || (SELECT nspname FROM pg_namespace WHERE nspname = 'public')
		FROM pg_collation c JOIN pg_namespace n ON n.oid = c.collnamespace
		WHERE c.oid >= 16384 AND n.nspname IN ('pg_catalog', 'information_schema')
			AND c.collencoding IN (-1, (SELECT encoding FROM pg_database WHERE datname = current_database()))
			AND NOT EXISTS (SELECT FROM pg_depend WHERE classid = 'pg_collation'::regclass AND objid = c.oid AND deptype = 'e')
		ORDER BY 1`)
	if err != nil || len(own) == 0 {
		return nil, err
	}
	target, err := f.Target()
	if err != nil {
		return nil, err
	}
	var found []Found
	for _, collation := range own {
		var there bool
		err := target.QueryRow(ctx, `
			SELECT EXISTS (
				SELECT FROM pg_collation c JOIN pg_namespace n ON n.oid = c.collnamespace
				WHERE format('%I.%I', n.nspname, c.collname) = $1
			)`, collation.Object).Scan(&there)
		if err != nil {
			return nil, err
		}
		if !there {
			found = append(found, collation)
		}
	}
	return found, nil
}
