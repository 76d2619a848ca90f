package precheck

import "github.com/pgleap/pgleap/internal/upgrade"

// invalidIndexes: pg_dump leaves them out (pg_dump.c, getIndexes), so pg_upgrade does.
var invalidIndexes = Check{
	ID: "invalid-indexes", Title: "Invalid indexes are not carried over",
	Severity: upgrade.Warning, Modes: withPgUpgrade(), Scope: PerDatabase,
	Why:    "An index that CREATE INDEX CONCURRENTLY or REINDEX CONCURRENTLY did not finish is not used by queries, and the target will not have it.",
	Remedy: "Build it anew, or drop it. A unique index that cannot be built has duplicates in its table.",
	Find: query(`
		SELECT format('%I.%I', n.nspname, c.relname), NULL, format('REINDEX INDEX CONCURRENTLY %I.%I', n.nspname, c.relname)
		FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE NOT (i.indisvalid AND i.indisready) AND c.relkind = 'i' AND n.nspname <> 'pg_toast' AND c.relpersistence <> 't'
		ORDER BY 1`),
}
