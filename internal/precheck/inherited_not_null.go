package precheck

import "github.com/pgleap/pgleap/internal/upgrade"

// inheritedNotNull: until 18 a child could take NULL where its parent could not; pg_dump and 18's own constraints
// know no such thing (pg_upgrade's check.c, check_for_not_null_inheritance).
var inheritedNotNull = Check{
	ID: "inherited-not-null", Title: "Columns take NULL which their parents' do not",
	Severity: upgrade.Blocker, Modes: withPgUpgrade(), Scope: PerDatabase,
	Why:       "A column that is NOT NULL in a table must be so in the tables that inherit from it: else making the table on the target fails.",
	Remedy:    "Give the child's column NOT NULL. If it has NULLs already, give them values first. The SQL reads the whole table, locked for everybody meanwhile.",
	PgUpgrade: []string{"not_null_inconsistent_columns.txt"},
	Find: query(`
		SELECT DISTINCT format('%I.%I.%I', n.nspname, c.relname, child.attname), NULL,
			format('ALTER TABLE %I.%I ALTER COLUMN %I SET NOT NULL', n.nspname, c.relname, child.attname)
		FROM pg_inherits i
			JOIN pg_attribute parent ON parent.attrelid = i.inhparent AND parent.attnum > 0 AND parent.attnotnull
			JOIN pg_attribute child ON child.attrelid = i.inhrelid AND child.attname = parent.attname AND NOT child.attnotnull
			JOIN pg_class c ON c.oid = i.inhrelid
			JOIN pg_namespace n ON n.oid = c.relnamespace
		ORDER BY 1`),
}
