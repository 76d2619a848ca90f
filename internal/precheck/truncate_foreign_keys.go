package precheck

import "github.com/pgleap/pgleap/internal/upgrade"

// truncateForeignKeys: the apply worker truncates the tables that it was sent, and no others (worker.c,
// apply_handle_truncate): of a partitioned table these are the partitions (pgoutput.c, get_rel_sync_entry), of an
// unlogged one nothing. What refers to one of them must be among them (heap.c, heap_truncate_check_FKs), and to a
// partitioned table belongs a foreign key of its own, beside those of its partitions.
var truncateForeignKeys = Check{
	ID: "truncate-foreign-keys", Title: "Foreign keys of partitioned or unlogged tables keep a TRUNCATE from being replicated",
	Severity: upgrade.Warning, Modes: withReplication(), Scope: PerPublished, Acceptable: true,
	Why: "A referenced table can only be truncated together with what refers to it. Neither a partitioned table itself nor an unlogged one is replicated, " +
		"so that the target refuses what the source has accepted: TRUNCATE of both tables, or with CASCADE, or of a partitioned table that refers to itself. " +
		"The replication of the database then stops, the switchover waits, and WAL is kept on the source.",
	Remedy: "As long as the upgrade runs, and until it has finished, let applications DELETE from the table that is referred to instead of truncating it; if none truncates it, nothing has to be done. " +
		"If it has happened: as superuser on the target, with SET session_replication_role = replica, drop the foreign key, wait until the replication has gone on, and add the key again under its name. " +
		"After the switchover, the same holds for the source.",
	Find: query(`
		SELECT format('%I.%I.%I', n.nspname, c.relname, k.conname),
			format('%s, and refers to %I.%I', CASE c.relkind WHEN 'p' THEN 'partitioned' ELSE 'unlogged' END, np.nspname, p.relname),
			NULL
		FROM pg_constraint k
		JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
		JOIN pg_class p ON p.oid = k.confrelid JOIN pg_namespace np ON np.oid = p.relnamespace
		WHERE k.contype = 'f' AND k.conparentid = 0
			AND (c.relkind = 'p' OR c.relpersistence = 'u') AND p.relpersistence = 'p'
		ORDER BY 1`),
}
