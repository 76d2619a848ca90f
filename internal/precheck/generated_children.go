package precheck

import "github.com/pgleap/pgleap/internal/upgrade"

// generatedChildren: since 16 a column that is inherited is generated in parent and child, or in
// neither (tablecmds.c, MergeAttributes and MergeAttributesIntoExisting). The expression of an inherited
// column cannot be dropped (ATPrepDropExpression), so it is dropped outside the inheritance.
var generatedChildren = Check{
	ID: "generated-children", Title: "Columns are generated in a child table, but not in its parent",
	Severity: upgrade.Blocker, Modes: everyMode(), Scope: PerDatabase, Versions: Versions{Crossing: 16},
	Why: "From 16 on a column must be generated in a table and in all of its partitions and children, or in none of them. " +
		"pg_upgrade --check does not see it, the restore of the database fails.",
	Remedy: "Make the child's column a plain one, for which the child leaves its parent for a moment; a trigger can compute it then. Its values stay. " +
		"The SQL locks parent and child for everybody; to attach a partition again reads all of it, and of a default partition. " +
		"Where the parent's is the generated one, take the child out of the inheritance, or give its column the expression too.",
	Find: query(`
		SELECT format('%I.%I.%I', n.nspname, c.relname, own.attname),
			format('%s in %I.%I', CASE WHEN up.attgenerated = '' THEN 'not generated' ELSE 'generated' END, pn.nspname, p.relname),
			CASE WHEN up.attgenerated = '' THEN concat_ws('; ', 'BEGIN',
				CASE WHEN c.relispartition THEN format('ALTER TABLE %s DETACH PARTITION %s', parent, child)
					ELSE format('ALTER TABLE %s NO INHERIT %s', child, parent) END,
				format('ALTER TABLE %s ALTER COLUMN %I DROP EXPRESSION', child, own.attname),
				CASE WHEN c.relispartition THEN format('ALTER TABLE %s ATTACH PARTITION %s %s', parent, child, pg_get_expr(c.relpartbound, c.oid))
					ELSE format('ALTER TABLE %s INHERIT %s', child, parent) END,
				'COMMIT') END
		FROM pg_inherits i
		JOIN pg_class c ON c.oid = i.inhrelid JOIN pg_namespace n ON n.oid = c.relnamespace
		JOIN pg_class p ON p.oid = i.inhparent JOIN pg_namespace pn ON pn.oid = p.relnamespace
		JOIN pg_attribute own ON own.attrelid = c.oid AND own.attnum > 0 AND NOT own.attisdropped
		JOIN pg_attribute up ON up.attrelid = p.oid AND up.attnum > 0 AND up.attname = own.attname AND NOT up.attisdropped
		CROSS JOIN format('%I.%I', n.nspname, c.relname) AS child CROSS JOIN format('%I.%I', pn.nspname, p.relname) AS parent
		WHERE c.relkind IN ('r', 'p', 'f') AND (own.attgenerated = '') <> (up.attgenerated = '')
		ORDER BY 1, 2`),
}
