package precheck

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// maintenanceSearchPath: since 17 ANALYZE, CLUSTER, CREATE INDEX, REFRESH MATERIALIZED VIEW, REINDEX and VACUUM run
// with search_path = pg_catalog, pg_temp (release notes 17, Migration; RestrictSearchPath).
var maintenanceSearchPath = Check{
	ID: "maintenance-search-path", Title: "Functions of indexes and materialized views have no search_path of their own",
	Severity: upgrade.Warning, Modes: everyMode(), Scope: PerDatabase, Versions: Versions{Crossing: 17}, Acceptable: true,
	Why: "From 17 on ANALYZE, REINDEX, REFRESH MATERIALIZED VIEW and other maintenance look for names in pg_catalog only. " +
		"A function that they call and that names tables, types or functions without their schemas fails then: autovacuum cannot analyze the table, the view cannot be refreshed. " +
		nothingNamed,
	Remedy: searchPathRemedy,
	Find: func(ctx context.Context, _ *Facts, s Session) ([]Found, error) {
		return s.withoutSearchPath(ctx, calledByIndexes+` UNION `+`
			SELECT d.refobjid, format('%I.%I', n.nspname, c.relname)
			FROM pg_depend d JOIN pg_rewrite r ON r.oid = d.objid JOIN pg_class c ON c.oid = r.ev_class JOIN pg_namespace n ON n.oid = c.relnamespace
			WHERE d.classid = 'pg_rewrite'::regclass AND d.refclassid = 'pg_proc'::regclass AND c.relkind = 'm'`)
	},
}

// appliedSearchPath: an apply worker looks for names in pg_catalog only (worker.c, InitializeLogRepWorker), and works out
// CHECK constraints, generated columns and indexes for each row that it writes.
var appliedSearchPath = Check{
	ID: "applied-search-path", Title: "Functions of constraints and indexes have no search_path of their own",
	Severity: upgrade.Warning, Modes: withReplication(), Scope: PerPublished, Acceptable: true,
	Why: "What is replicated is written on the target by a worker that looks for names in pg_catalog only. A function that a CHECK constraint, a generated column or an index calls for each row, " +
		"and that names tables, types or functions without their schemas, fails there, and the replication stops. " + nothingNamed,
	Remedy: searchPathRemedy,
	Find: func(ctx context.Context, f *Facts, s Session) ([]Found, error) {
		users := `
			SELECT d.refobjid AS function, CASE k.conrelid WHEN 0 THEN k.contypid::regtype::text ELSE format('%I.%I', n.nspname, c.relname) END AS name
			FROM pg_depend d JOIN pg_constraint k ON k.oid = d.objid AND k.contype = 'c'
				LEFT JOIN (pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace) ON c.oid = k.conrelid
			WHERE d.classid = 'pg_constraint'::regclass AND d.refclassid = 'pg_proc'::regclass
			UNION
			SELECT g.function, format('%I.%I', n.nspname, c.relname)
			FROM (
				SELECT d.refobjid AS function, d.objid AS relation, d.objsubid AS number
				FROM pg_depend d
				WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_proc'::regclass -- up to 14
				UNION ALL
				SELECT d.refobjid, e.adrelid, e.adnum
				FROM pg_depend d JOIN pg_attrdef e ON e.oid = d.objid
				WHERE d.classid = 'pg_attrdef'::regclass AND d.refclassid = 'pg_proc'::regclass
			) AS g JOIN pg_attribute a ON a.attrelid = g.relation AND a.attnum = g.number AND a.attgenerated = 's'
				JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace`
		if !f.crosses(17) { // else the other check tells
			users += ` UNION ` + calledByIndexes
		}
		return s.withoutSearchPath(ctx, users)
	},
}

const (
	nothingNamed = "One whose body has no word that is a name of the database's own is for your information only: " +
		"operators and types of extensions may still be found by the search_path alone."

	searchPathRemedy = "Let the function say where it looks: ALTER FUNCTION ... SET search_path = pg_catalog, and the schemas that it needs; or write the schemas into its body. " +
		"Accept by name those that call nothing but the server's own functions."

	// calledByIndexes lists functions with the indexes that call them.
	calledByIndexes = `
		SELECT d.refobjid AS function, format('%I.%I', n.nspname, c.relname) AS name
		FROM pg_depend d JOIN pg_class c ON c.oid = d.objid JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_proc'::regclass AND c.relkind IN ('i', 'I')`
)

// withoutSearchPath keeps of functions, which come with the names of what calls them, those that have no search_path of
// their own. Bodies that were parsed when they were made (BEGIN ATOMIC) name what they mean; of others the words are looked at.
func (s Session) withoutSearchPath(ctx context.Context, called string) ([]Found, error) {
	rows, err := s.Tx.Query(ctx, `
		WITH suspect AS (
			SELECT p.oid, p.prosrc, format('%I.%I(%s)', n.nspname, p.proname, pg_get_function_identity_arguments(p.oid)) AS name,
				concat(l.lanname, ', used by ', string_agg(DISTINCT u.name, ', ')) AS note
			FROM (`+called+`) AS u JOIN pg_proc p ON p.oid = u.function JOIN pg_namespace n ON n.oid = p.pronamespace JOIN pg_language l ON l.oid = p.prolang
			WHERE p.oid >= 16384 AND l.lanname NOT IN ('internal', 'c') AND to_jsonb(p) ->> 'prosqlbody' IS NULL
				AND NOT EXISTS (SELECT FROM unnest(p.proconfig) AS setting WHERE setting LIKE 'search\_path=%')
				AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_proc'::regclass AND e.objid = p.oid AND e.deptype = 'e')
			GROUP BY n.nspname, p.proname, p.oid, p.prosrc, l.lanname
		), word AS (
			SELECT DISTINCT s.oid, lower(w.found[2]) AS word
			FROM suspect s CROSS JOIN regexp_matches(s.prosrc, '(\.?)\s*"?([[:alpha:]_][[:alnum:]_$]*)', 'g') AS w (found)
			WHERE w.found[1] = '' -- no schema stands before it
		), own AS (
			SELECT relname, relnamespace FROM pg_class WHERE EXISTS (SELECT FROM suspect)
			UNION ALL SELECT proname, pronamespace FROM pg_proc WHERE EXISTS (SELECT FROM suspect)
			UNION ALL SELECT typname, typnamespace FROM pg_type WHERE EXISTS (SELECT FROM suspect)
		), names AS (
			SELECT DISTINCT w.oid
			FROM word w JOIN own AS o (name, namespace) ON lower(o.name) = w.word
			WHERE o.namespace NOT IN ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)
		)
		SELECT s.name, s.note, n.oid IS NULL
		FROM suspect s LEFT JOIN names n ON n.oid = s.oid
		ORDER BY 1`)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (found Found, err error) {
		var nothing bool
		err = row.Scan(&found.Object, &found.Note, &nothing)
		if nothing {
			found.Severity = upgrade.Info
		}
		return found, err
	})
}
