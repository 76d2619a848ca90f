package precheck

import (
	"context"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// maintenanceSearchPath: since 17 ANALYZE, CLUSTER, CREATE INDEX, REFRESH MATERIALIZED VIEW, REINDEX and VACUUM run
// with search_path = pg_catalog, pg_temp (release notes 17, Migration; RestrictSearchPath). Bodies that were parsed
// when they were made (BEGIN ATOMIC) name what they mean.
var maintenanceSearchPath = Check{
	ID: "maintenance-search-path", Title: "Functions of indexes and materialized views have no search_path of their own",
	Severity: upgrade.Warning, Modes: everyMode(), Scope: PerDatabase, Acceptable: true,
	Why: "From 17 on ANALYZE, REINDEX, REFRESH MATERIALIZED VIEW and other maintenance look for names in pg_catalog only. " +
		"A function that they call and that names tables, types or functions without their schemas fails then: autovacuum cannot analyze the table, the view cannot be refreshed.",
	Remedy: "Let the function say where it looks: ALTER FUNCTION ... SET search_path = pg_catalog, and the schemas that it needs; or write the schemas into its body. " +
		"Accept by name those that call nothing but the server's own functions.",
	Find: func(ctx context.Context, f *Facts, s Session) ([]Found, error) {
		if !f.crosses(17) {
			return nil, nil
		}
		return s.query(ctx, `
			WITH users AS (
				SELECT d.refobjid AS function, c.oid AS relation
				FROM pg_depend d JOIN pg_class c ON c.oid = d.objid
				WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_proc'::regclass AND c.relkind IN ('i', 'I')
				UNION
				SELECT d.refobjid, c.oid
				FROM pg_depend d JOIN pg_rewrite r ON r.oid = d.objid JOIN pg_class c ON c.oid = r.ev_class
				WHERE d.classid = 'pg_rewrite'::regclass AND d.refclassid = 'pg_proc'::regclass AND c.relkind = 'm'
			)
			SELECT format('%I.%I(%s)', n.nspname, p.proname, pg_get_function_identity_arguments(p.oid)),
				concat(l.lanname, ', used by ', string_agg(DISTINCT format('%I.%I', cn.nspname, c.relname), ', ')), NULL
			FROM users u JOIN pg_proc p ON p.oid = u.function JOIN pg_namespace n ON n.oid = p.pronamespace JOIN pg_language l ON l.oid = p.prolang
				JOIN pg_class c ON c.oid = u.relation JOIN pg_namespace cn ON cn.oid = c.relnamespace
			WHERE p.oid >= 16384 AND l.lanname NOT IN ('internal', 'c') AND to_jsonb(p) ->> 'prosqlbody' IS NULL
				AND NOT EXISTS (SELECT FROM unnest(p.proconfig) AS setting WHERE setting LIKE 'search\_path=%')
				AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_proc'::regclass AND e.objid = p.oid AND e.deptype = 'e')
			GROUP BY n.nspname, p.proname, p.oid, l.lanname
			ORDER BY 1`)
	},
}
