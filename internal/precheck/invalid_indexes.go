package precheck

import "github.com/pgleap/pgleap/internal/upgrade"

// invalidIndexes: pg_dump leaves them out (pg_dump.c, getIndexes), so pg_upgrade does.
var invalidIndexes = Check{
	ID: "invalid-indexes", Title: "Invalid indexes are not carried over",
	Severity: upgrade.Warning, Modes: withPgUpgrade(), Scope: PerDatabase,
	Why:    "An index that CREATE INDEX CONCURRENTLY or REINDEX CONCURRENTLY did not finish is not used by queries, and the target will not have it.",
	Remedy: "Build it anew, or drop it. What REINDEX CONCURRENTLY has left over, with _ccnew or _ccold at the end of its name, has its index beside it, and is dropped. A unique index that cannot be built has duplicates in its table.",
	Find: query(`
		SELECT format('%I.%I', n.nspname, c.relname), CASE WHEN left_over THEN 'left over by REINDEX CONCURRENTLY' END,
			format('%s INDEX CONCURRENTLY %I.%I', CASE WHEN left_over THEN 'DROP' ELSE 'REINDEX' END, n.nspname, c.relname)
		FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace
			CROSS JOIN LATERAL (SELECT c.relname ~ '_cc(new|old)[0-9]*$' AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = c.oid)) AS l (left_over)
		WHERE NOT (i.indisvalid AND i.indisready) AND c.relkind = 'i' AND n.nspname <> 'pg_toast' AND c.relpersistence <> 't'
			AND NOT EXISTS (SELECT FROM pg_stat_progress_create_index p WHERE i.indexrelid = p.index_relid) -- it is being built
		ORDER BY 1`),
}
