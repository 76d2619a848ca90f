package precheck

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// expressions is a query for every expression that the user's objects keep as a node tree: the
// object's address as pg_depend has it, and the tree. What the server's own objects use is not
// always in pg_depend, since most of them are pinned (dependency.c, isObjectPinned).
func expressions(source upgrade.Major) string {
	query := `
		SELECT 'pg_rewrite'::regclass AS classid, oid AS objid, concat(ev_qual::text, ' ', ev_action::text) AS tree
		FROM pg_rewrite WHERE ev_class >= 16384
		UNION ALL SELECT 'pg_attrdef'::regclass, oid, adbin::text FROM pg_attrdef WHERE adrelid >= 16384
		UNION ALL SELECT 'pg_constraint'::regclass, oid, conbin::text FROM pg_constraint WHERE conbin IS NOT NULL AND oid >= 16384
		UNION ALL SELECT 'pg_class'::regclass, indexrelid, concat(indexprs::text, ' ', indpred::text)
		FROM pg_index WHERE indexrelid >= 16384 AND (indexprs IS NOT NULL OR indpred IS NOT NULL)
		UNION ALL SELECT 'pg_class'::regclass, partrelid, partexprs::text FROM pg_partitioned_table WHERE partexprs IS NOT NULL
		UNION ALL SELECT 'pg_policy'::regclass, oid, concat(polqual::text, ' ', polwithcheck::text) FROM pg_policy
		UNION ALL SELECT 'pg_trigger'::regclass, oid, tgqual::text FROM pg_trigger WHERE tgqual IS NOT NULL
		UNION ALL SELECT 'pg_type'::regclass, oid, typdefaultbin::text FROM pg_type WHERE typdefaultbin IS NOT NULL AND oid >= 16384`
	if source < 14 {
		return query + `
		UNION ALL SELECT 'pg_proc'::regclass, oid, proargdefaults::text FROM pg_proc WHERE proargdefaults IS NOT NULL AND oid >= 16384`
	}
	query += `
		UNION ALL SELECT 'pg_proc'::regclass, oid, concat(proargdefaults::text, ' ', prosqlbody::text)
		FROM pg_proc WHERE (proargdefaults IS NOT NULL OR prosqlbody IS NOT NULL) AND oid >= 16384
		UNION ALL SELECT 'pg_statistic_ext'::regclass, oid, stxexprs::text FROM pg_statistic_ext WHERE stxexprs IS NOT NULL`
	if source >= 15 {
		query += `
		UNION ALL SELECT 'pg_publication_rel'::regclass, oid, prqual::text FROM pg_publication_rel WHERE prqual IS NOT NULL`
	}
	return query
}

// nameUses names the objects that a query found: their addresses as pg_depend has them, and what each
// uses. Most databases have none, and then it is not looked for names. Catalogs that were filled a
// moment ago have no statistics: nested loops over them would take hours.
func (s Session) nameUses(ctx context.Context, uses string, args ...any) ([]Found, error) {
	if _, err := s.Tx.Exec(ctx, "SET LOCAL enable_nestloop = off"); err != nil {
		return nil, err
	}
	rows, err := s.Tx.Query(ctx, uses, args...)
	if err != nil {
		return nil, err
	}
	var classes, objects []uint32
	var what []string
	var class, object uint32
	var used string
	_, err = pgx.ForEachRow(rows, []any{&class, &object, &used}, func() error {
		classes, objects, what = append(classes, class), append(objects, object), append(what, used)
		return nil
	})
	if err != nil || len(objects) == 0 {
		return nil, err
	}
	return s.query(ctx, nameHolders, classes, objects, what)
}

// nameHolders gives objects their names, and the statement that takes each away. There is none where
// that would take data along, open what a policy keeps closed, or break an extension.
const nameHolders = `
	WITH uses AS (
		SELECT * FROM unnest($1::oid[], $2::oid[], $3::text[]) AS u (classid, objid, what)
	), holders AS (
		SELECT 'pg_rewrite'::regclass AS classid, r.oid AS objid,
			CASE WHEN r.rulename = '_RETURN' THEN format('%I.%I', n.nspname, c.relname)
				ELSE format('%I.%I.%I', n.nspname, c.relname, r.rulename) END AS name,
			CASE WHEN r.rulename <> '_RETURN' THEN 'rule' WHEN c.relkind = 'm' THEN 'materialized view' ELSE 'view' END AS kind,
			CASE WHEN r.rulename <> '_RETURN' THEN format('DROP RULE %I ON %I.%I', r.rulename, n.nspname, c.relname)
				WHEN c.relkind = 'm' THEN format('DROP MATERIALIZED VIEW %I.%I', n.nspname, c.relname)
				ELSE format('DROP VIEW %I.%I', n.nspname, c.relname) END AS mend,
			CASE WHEN r.rulename = '_RETURN' THEN 'pg_class'::regclass ELSE 'pg_rewrite'::regclass END AS memberclass,
			CASE WHEN r.rulename = '_RETURN' THEN c.oid ELSE r.oid END AS member
		FROM pg_rewrite r JOIN pg_class c ON c.oid = r.ev_class JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE r.ev_class >= 16384
		UNION ALL
		SELECT 'pg_attrdef'::regclass, d.oid, format('%I.%I.%I', n.nspname, c.relname, a.attname),
			CASE WHEN a.attgenerated = '' THEN 'default' ELSE 'generated column' END,
			CASE a.attgenerated WHEN '' THEN format('ALTER TABLE %I.%I ALTER COLUMN %I DROP DEFAULT', n.nspname, c.relname, a.attname)
				WHEN 's' THEN format('ALTER TABLE %I.%I ALTER COLUMN %I DROP EXPRESSION', n.nspname, c.relname, a.attname) END,
			'pg_class'::regclass, c.oid
		FROM pg_attrdef d JOIN pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum
		JOIN pg_class c ON c.oid = d.adrelid JOIN pg_namespace n ON n.oid = c.relnamespace
		UNION ALL
		SELECT 'pg_constraint'::regclass, k.oid, format('%I.%I.%I', n.nspname, coalesce(c.relname, t.typname), k.conname), 'constraint',
			CASE WHEN c.oid IS NOT NULL THEN format('ALTER TABLE %I.%I DROP CONSTRAINT %I', n.nspname, c.relname, k.conname)
				ELSE format('ALTER DOMAIN %I.%I DROP CONSTRAINT %I', n.nspname, t.typname, k.conname) END,
			CASE WHEN c.oid IS NOT NULL THEN 'pg_class'::regclass ELSE 'pg_type'::regclass END, coalesce(c.oid, t.oid)
		FROM pg_constraint k LEFT JOIN pg_class c ON c.oid = k.conrelid LEFT JOIN pg_type t ON t.oid = k.contypid
		JOIN pg_namespace n ON n.oid = coalesce(c.relnamespace, t.typnamespace)
		UNION ALL
		SELECT 'pg_class'::regclass, c.oid, format('%I.%I', n.nspname, c.relname),
			CASE WHEN c.relkind IN ('i', 'I') THEN 'index' ELSE 'partition key' END,
			CASE WHEN c.relkind IN ('i', 'I') THEN coalesce(
				(SELECT format('ALTER TABLE %I.%I DROP CONSTRAINT %I', n.nspname, o.relname, k.conname)
				FROM pg_constraint k JOIN pg_class o ON o.oid = k.conrelid WHERE k.conindid = c.oid AND k.contype IN ('p', 'u', 'x')),
				format('DROP INDEX %I.%I', n.nspname, c.relname)) END,
			'pg_class'::regclass, c.oid
		FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE c.relkind IN ('i', 'I', 'p')
		UNION ALL
		SELECT 'pg_policy'::regclass, p.oid, format('%I.%I.%I', n.nspname, c.relname, p.polname), 'policy',
			CASE WHEN p.polpermissive THEN format('DROP POLICY %I ON %I.%I', p.polname, n.nspname, c.relname) END, 'pg_class'::regclass, c.oid
		FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid JOIN pg_namespace n ON n.oid = c.relnamespace
		UNION ALL
		SELECT 'pg_trigger'::regclass, g.oid, format('%I.%I.%I', n.nspname, c.relname, g.tgname), 'trigger',
			format('DROP TRIGGER %I ON %I.%I', g.tgname, n.nspname, c.relname), 'pg_class'::regclass, c.oid
		FROM pg_trigger g JOIN pg_class c ON c.oid = g.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
		UNION ALL
		SELECT 'pg_type'::regclass, t.oid, format('%I.%I', n.nspname, t.typname), 'default of a domain',
			format('ALTER DOMAIN %I.%I DROP DEFAULT', n.nspname, t.typname), 'pg_type'::regclass, t.oid
		FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
		WHERE t.typtype = 'd'
		UNION ALL
		SELECT 'pg_proc'::regclass, p.oid, format('%I.%I(%s)', n.nspname, p.proname, pg_get_function_identity_arguments(p.oid)), 'routine',
			format('DROP %s %I.%I(%s)', CASE p.prokind WHEN 'a' THEN 'AGGREGATE' ELSE 'ROUTINE' END, -- only the former knows ORDER BY
				n.nspname, p.proname, pg_get_function_identity_arguments(p.oid)), 'pg_proc'::regclass, p.oid
		FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
		WHERE p.oid >= 16384
		UNION ALL
		SELECT 'pg_statistic_ext'::regclass, x.oid, format('%I.%I', n.nspname, x.stxname), 'statistics',
			format('DROP STATISTICS %I.%I', n.nspname, x.stxname), 'pg_statistic_ext'::regclass, x.oid
		FROM pg_statistic_ext x JOIN pg_namespace n ON n.oid = x.stxnamespace
		UNION ALL
		SELECT 'pg_publication_rel'::regclass, x.oid, format('%I: %I.%I', p.pubname, n.nspname, c.relname), 'publication',
			format('ALTER PUBLICATION %I DROP TABLE %I.%I', p.pubname, n.nspname, c.relname), 'pg_class'::regclass, c.oid
		FROM pg_publication_rel x JOIN pg_publication p ON p.oid = x.prpubid
		JOIN pg_class c ON c.oid = x.prrelid JOIN pg_namespace n ON n.oid = c.relnamespace
		UNION ALL
		SELECT 'pg_operator'::regclass, o.oid, o.oid::regoperator::text, 'operator',
			format('DROP OPERATOR %s', o.oid::regoperator), 'pg_operator'::regclass, o.oid
		FROM pg_operator o
		WHERE o.oid >= 16384
		UNION ALL
		SELECT 'pg_cast'::regclass, k.oid, format('(%s AS %s)', k.castsource::regtype, k.casttarget::regtype), 'cast',
			format('DROP CAST (%s AS %s)', k.castsource::regtype, k.casttarget::regtype), 'pg_cast'::regclass, k.oid
		FROM pg_cast k
		WHERE k.oid >= 16384
		UNION ALL
		SELECT 'pg_conversion'::regclass, k.oid, format('%I.%I', n.nspname, k.conname), 'conversion',
			format('DROP CONVERSION %I.%I', n.nspname, k.conname), 'pg_conversion'::regclass, k.oid
		FROM pg_conversion k JOIN pg_namespace n ON n.oid = k.connamespace
		WHERE k.oid >= 16384
	)
	SELECT h.name,
		concat_ws(', ', h.kind || ' with ' || string_agg(DISTINCT u.what, ', '), 'part of extension ' || min(quote_ident(e.extname))),
		CASE WHEN min(e.extname) IS NULL THEN h.mend END
	FROM uses u JOIN holders h ON h.classid = u.classid AND h.objid = u.objid
	LEFT JOIN pg_depend d ON d.classid = h.memberclass AND d.objid = h.member AND d.objsubid = 0 AND d.deptype = 'e'
	LEFT JOIN pg_extension e ON e.oid = d.refobjid
	GROUP BY h.name, h.kind, h.mend
	ORDER BY 1, 2`
