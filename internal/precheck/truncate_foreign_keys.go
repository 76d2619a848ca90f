package precheck

import "github.com/pgleap/pgleap/internal/upgrade"

// truncateForeignKeys: the apply worker truncates the tables that it was sent, and no others (worker.c,
// apply_handle_truncate): of a partitioned table these are the partitions (pgoutput.c, get_rel_sync_entry), of an
// unlogged one nothing. What refers to one of them must be among them (heap.c, heap_truncate_check_FKs), and to a
// partitioned table belongs a foreign key of its own, beside those of its partitions. A table without any trigger is
// left out on both sides of that (ibid.): a foreign key that is NOT ENFORCED makes none, and is in the way where the table
// that it refers to has another, and the one that refers has not.
var truncateForeignKeys = Check{
	ID: "truncate-foreign-keys", Title: "Foreign keys keep a TRUNCATE from being replicated",
	Severity: upgrade.Warning, Modes: withReplication(), Scope: PerPublished, Acceptable: true,
	Why: "A referenced table can only be truncated together with what refers to it. Neither a partitioned table itself nor an unlogged one is replicated, " +
		"so that the target refuses what the source has accepted: TRUNCATE of both tables, or with CASCADE, or of a partitioned table that refers to itself. " +
		"From 18 on it does so, too, where a key that is NOT ENFORCED refers to a table with triggers, and the table that refers has none: there TRUNCATE with CASCADE is accepted on the source only. " +
		"The replication of the database then stops, the switchover waits, and WAL is kept on the source.",
	Remedy: "As long as the upgrade runs, and until it has finished, let applications DELETE from the table that is referred to instead of truncating it; if none truncates it, nothing has to be done. " +
		"If it has happened: as superuser on the target, with SET session_replication_role = replica, drop the foreign key, wait until the replication has gone on, and add the key again under its name. " +
		"After the switchover, the same holds for the source.",
	Find: query(`
		WITH keys AS (
			SELECT k.*, coalesce((to_jsonb(k) ->> 'conenforced')::boolean, true) AS enforced
			FROM pg_constraint k
			WHERE k.contype = 'f' AND k.conparentid = 0
		), triggered AS (
			SELECT g.tgrelid AS oid FROM pg_trigger g
			UNION
			SELECT a.relid FROM pg_trigger g CROSS JOIN pg_partition_ancestors(g.tgrelid) AS a (relid)
		)
		SELECT format('%I.%I.%I', n.nspname, c.relname, k.conname),
			format('%s, and refers to %I.%I', CASE WHEN c.relkind = 'p' THEN 'partitioned' WHEN c.relpersistence = 'u' THEN 'unlogged' ELSE 'not enforced' END,
				np.nspname, p.relname),
			NULL
		FROM keys k
		JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
		JOIN pg_class p ON p.oid = k.confrelid JOIN pg_namespace np ON np.oid = p.relnamespace
		WHERE p.relpersistence = 'p' AND CASE WHEN k.enforced THEN c.relkind = 'p' OR c.relpersistence = 'u'
			ELSE p.oid IN (SELECT t.oid FROM triggered t)
				AND (c.relkind = 'p' OR c.relpersistence = 'u' OR c.oid NOT IN (SELECT t.oid FROM triggered t)) END
		ORDER BY 1`),
}
