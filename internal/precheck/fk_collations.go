package precheck

import "github.com/pgleap/pgleap/internal/upgrade"

// foreignKeyCollations: since 18 both sides of a foreign key must have the same collation if one of
// the two is nondeterministic (tablecmds.c, ATAddForeignKeyConstraint).
var foreignKeyCollations = Check{
	ID: "foreign-key-collations", Title: "Foreign keys compare columns of different nondeterministic collations",
	Severity: upgrade.Blocker, Modes: everyMode(), Scope: PerDatabase, Versions: Versions{Crossing: 18},
	Why: "From 18 on a foreign key between columns of different collations, one of them nondeterministic, is refused: what is equal on one side need not be on the other. " +
		"pg_upgrade --check does not see it, the restore of the database fails.",
	Remedy: "Give both columns the same collation. The table is rewritten and locked meanwhile.",
	Find: query(`
		SELECT format('%I.%I.%I', n.nspname, c.relname, k.conname),
			format('column %I: %I.%I against %I.%I', fa.attname, fn.nspname, fc.collname, pn.nspname, pc.collname),
			format('ALTER TABLE %I.%I ALTER COLUMN %I TYPE %s COLLATE %I.%I', n.nspname, c.relname, fa.attname,
				format_type(fa.atttypid, fa.atttypmod), pn.nspname, pc.collname)
		FROM pg_constraint k CROSS JOIN unnest(k.conkey, k.confkey) AS pair (referencing, referenced)
		JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
		JOIN pg_attribute fa ON fa.attrelid = k.conrelid AND fa.attnum = pair.referencing
		JOIN pg_attribute pa ON pa.attrelid = k.confrelid AND pa.attnum = pair.referenced
		JOIN pg_collation fc ON fc.oid = fa.attcollation JOIN pg_namespace fn ON fn.oid = fc.collnamespace
		JOIN pg_collation pc ON pc.oid = pa.attcollation JOIN pg_namespace pn ON pn.oid = pc.collnamespace
		WHERE k.contype = 'f' AND k.conparentid = 0 AND fc.oid <> pc.oid
			AND NOT (fc.collisdeterministic AND pc.collisdeterministic)
		ORDER BY 1, 2`),
}
