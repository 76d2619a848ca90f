package precheck

import (
	"context"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// Columns whose values are stored as numbers or in a format that the target reads otherwise
// (pg_upgrade's check.c, data_types_usage_checks). Since 17 pg_upgrade names all of them at once, before it stops
// at the first type.

const typeRemedy = "Change the column's type, to text for instance, or drop the column. What depends on it, such as a view, has to go first and be made anew. " +
	"A materialized view is made anew on the other type. Cast back where the value is read. " +
	"The SQL rewrites the table and its indexes, locked for everybody meanwhile; an index on an expression it drops."

// regTypes: the oids of functions, operators and so on are given out anew on the target.
var regTypes = Check{
	ID: "reg-types", Title: "Columns refer to objects by oids that change",
	Severity: upgrade.Blocker, Modes: withPgUpgrade(), Scope: PerDatabase,
	Why: "A value of regproc, regprocedure, regoper, regoperator, regconfig, regdictionary, regcollation or regnamespace is stored as an oid, " +
		"and pg_upgrade does not keep these oids: the value would name another object, or none.",
	Remedy:    typeRemedy,
	PgUpgrade: []string{"tables_using_reg.txt"},
	Find: columnsOf(`
		SELECT oid FROM pg_type
		WHERE typnamespace = 'pg_catalog'::regnamespace AND typname IN (
			'regcollation', 'regconfig', 'regdictionary', 'regnamespace', 'regoper', 'regoperator', 'regproc', 'regprocedure')`),
}

// systemCompositeTypes: the row type of a system catalog has an oid, and columns, of its version.
var systemCompositeTypes = Check{
	ID: "system-composite-types", Title: "Columns have the row type of a system catalog",
	Severity: upgrade.Blocker, Modes: withPgUpgrade(), Scope: PerDatabase,
	Why:       "The row types of pg_catalog and information_schema have other oids and other columns in each major version.",
	Remedy:    typeRemedy,
	PgUpgrade: []string{"tables_using_composite.txt"},
	Find: columnsOf(`
		SELECT t.oid FROM pg_type t LEFT JOIN pg_namespace n ON n.oid = t.typnamespace
		WHERE t.typtype = 'c' AND (t.oid < 16384 OR n.nspname = 'information_schema')`),
}

// aclitemTypes: privileges take 64 bits instead of 32 from 16 on (acl.h, AclItem).
var aclitemTypes = Check{
	ID: "aclitem-types", Title: "Columns are of type aclitem, whose format has changed",
	Severity: upgrade.Blocker, Modes: withPgUpgrade(), Scope: PerDatabase, Versions: Versions{Crossing: 16},
	Why:       "aclitem takes more room in PostgreSQL 16 and later: the target would misread what the source has stored.",
	Remedy:    typeRemedy,
	PgUpgrade: []string{"tables_using_aclitem.txt"},
	Find:      columnsOf(`SELECT oid FROM pg_type WHERE oid = 'pg_catalog.aclitem'::regtype`),
}

// columnsOf finds stored columns of some types, and of domains, arrays, composites and ranges made of them, however
// deep. A column that a table inherits is changed where it was declared. All that is made of types is read once,
// and then joined: a database may have tens of thousands of types, and catalogs without statistics.
func columnsOf(types string) func(context.Context, *Facts, Session) ([]Found, error) {
	return query(`
		WITH RECURSIVE making AS MATERIALIZED (
			SELECT typbasetype AS part, oid AS made FROM pg_type WHERE typtype = 'd'
			UNION ALL
			SELECT typelem, oid FROM pg_type WHERE typtype = 'b' AND typelem <> 0
			UNION ALL
			SELECT a.atttypid, c.reltype FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
			WHERE c.reltype <> 0 AND a.attnum > 0 AND NOT a.attisdropped
			UNION ALL
			SELECT rngsubtype, rngtypid FROM pg_range
		), suspect AS (
			` + types + `
			UNION
			SELECT m.made FROM suspect s JOIN making m ON m.part = s.oid
		), stored AS (
			SELECT c.oid AS relid, c.relkind, n.nspname, c.relname, a.attname, a.attnum, a.atttypid, a.atttypmod
			FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
			WHERE a.atttypid IN (SELECT oid FROM suspect) AND NOT a.attisdropped AND c.relkind IN ('r', 'm', 'i')
				AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_(toast_)?temp_'
		), line AS (
			SELECT relid, attname, relid AS ancestor FROM stored WHERE relkind = 'r'
			UNION
			SELECT l.relid, l.attname, i.inhparent
			FROM line l JOIN pg_inherits i ON i.inhrelid = l.ancestor
				JOIN pg_attribute a ON a.attrelid = i.inhparent AND a.attname = l.attname
		)
		SELECT format('%I.%I.%I', s.nspname, s.relname, s.attname),
			CASE s.relkind WHEN 'i' THEN 'index, ' WHEN 'm' THEN 'materialized view, ' ELSE '' END || format_type(s.atttypid, s.atttypmod),
			CASE s.relkind
				WHEN 'r' THEN (
					SELECT CASE WHEN NOT bool_or(c.reloftype <> 0 OR coalesce(a.attnum = ANY (p.partattrs), false)) -- these types cannot be changed
						THEN string_agg(format('ALTER TABLE %I.%I ALTER COLUMN %I TYPE text', n.nspname, c.relname, s.attname), '; ' ORDER BY c.oid)
							FILTER (WHERE a.attinhcount = 0) END
					FROM line l JOIN pg_class c ON c.oid = l.ancestor JOIN pg_namespace n ON n.oid = c.relnamespace
						JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = l.attname
						LEFT JOIN pg_partitioned_table p ON p.partrelid = c.oid
					WHERE l.relid = s.relid AND l.attname = s.attname)
				WHEN 'i' THEN (
					SELECT format('DROP INDEX %I.%I', s.nspname, s.relname)
					FROM pg_index i
					WHERE i.indexrelid = s.relid AND i.indkey[s.attnum - 1] = 0
						AND NOT EXISTS (SELECT FROM pg_constraint con WHERE con.conindid = i.indexrelid))
			END
		FROM stored s
		ORDER BY s.relkind <> 'i', 1`)
}
