package precheck

import "github.com/pgleap/pgleap/internal/upgrade"

// gistInetIndexes: btree_gist's operator classes for addresses lose entries, and 19 does not take their indexes over
// (pg_upgrade's check.c, check_for_gist_inet_ops). They are the default while btree_gist is installed, so a new index
// has to name the other class.
var gistInetIndexes = Check{
	ID: "gist-inet-indexes", Title: "Indexes use btree_gist's operator classes for inet and cidr",
	Severity: upgrade.Blocker, Modes: withPgUpgrade(), Scope: PerDatabase, Versions: Versions{Crossing: 19},
	Why:       "gist_inet_ops and gist_cidr_ops can miss rows. PostgreSQL 19 has its own inet_ops for GiST as the default, and does not take such indexes over.",
	Remedy:    "Build the index anew with inet_ops. Making it locks the table against writes; CREATE INDEX CONCURRENTLY under another name does not.",
	PgUpgrade: []string{"gist_inet_ops.txt"},
	Find: query(`
		WITH wrong AS (
			SELECT oid FROM pg_opclass WHERE opcmethod = 783 AND opcdefault AND opcname IN ('gist_inet_ops', 'gist_cidr_ops')
		), keys AS (
			SELECT i.indexrelid, i.indrelid, k.place, pg_get_indexdef(i.indexrelid, k.place, false) AS key, wrong.oid IS NOT NULL AS bad
			FROM pg_index i CROSS JOIN LATERAL generate_series(1, i.indnkeyatts) AS k (place)
				LEFT JOIN wrong ON wrong.oid = i.indclass[k.place - 1]
			WHERE EXISTS (SELECT FROM wrong WHERE wrong.oid = ANY (i.indclass))
		), indexes AS (
			SELECT indexrelid, indrelid, format(' USING gist (%s)', string_agg(key, ', ' ORDER BY place)) AS keys,
				format(' USING gist (%s)', string_agg(key || CASE WHEN bad THEN ' inet_ops' ELSE '' END, ', ' ORDER BY place)) AS mended,
				min(key) FILTER (WHERE bad) AS first, max(key) FILTER (WHERE bad) AS last, count(DISTINCT key) FILTER (WHERE bad) AS bad
			FROM keys GROUP BY indexrelid, indrelid
		), definitions AS (
			SELECT n.nspname, c.relname, i.*, con.conname, con.conrelid, pg_get_constraintdef(con.oid) AS excludes,
				replace(pg_get_indexdef(i.indexrelid), ' ON ONLY ', ' ON ') AS creates,
				EXISTS (SELECT FROM pg_inherits WHERE inhrelid = i.indexrelid) AS inherited
			FROM indexes i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace
				LEFT JOIN pg_constraint con ON con.conindid = i.indexrelid AND con.contype = 'x'
		)
		SELECT format('%I.%I', nspname, relname), CASE WHEN conname IS NOT NULL THEN 'exclusion constraint' END,
			CASE
				WHEN inherited THEN NULL
				WHEN conname IS NOT NULL AND bad <= 2 THEN (
					SELECT format('ALTER TABLE %I.%I DROP CONSTRAINT %I, ADD CONSTRAINT %I %s', n.nspname, t.relname, conname, conname,
						replace(replace(replace(replace(excludes,
							'(' || first || ' WITH ', '(' || first || ' inet_ops WITH '), ', ' || first || ' WITH ', ', ' || first || ' inet_ops WITH '),
							'(' || last || ' WITH ', '(' || last || ' inet_ops WITH '), ', ' || last || ' WITH ', ', ' || last || ' inet_ops WITH '))
					FROM pg_class t JOIN pg_namespace n ON n.oid = t.relnamespace WHERE t.oid = conrelid)
				WHEN conname IS NULL AND strpos(creates, keys) > 0 THEN format('BEGIN; DROP INDEX %I.%I; %s; COMMIT', nspname, relname,
					left(creates, strpos(creates, keys) - 1) || mended || substr(creates, strpos(creates, keys) + length(keys)))
			END
		FROM definitions
		ORDER BY 1`),
}
