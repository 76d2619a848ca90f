package precheck

import "github.com/pgleap/pgleap/internal/upgrade"

// foreignPartitions: a publication of all tables has none that is foreign (pg_publication.c, is_publishable_class).
var foreignPartitions = Check{
	ID: "foreign-partitions", Title: "Partitions are on other servers",
	Severity: upgrade.Info, Modes: withReplication(), Scope: PerPublished,
	Why: "The rows of a foreign table are elsewhere: what is written to such a partition is neither in the source's WAL nor replicated, and it is not compared when source and target are. " +
		"Source and target have the same rows in it at any time. The local partitions are replicated as other tables are; a row that an UPDATE moves from one of them to a foreign one is deleted on the target, and there once. " +
		"What is written there between switchover and switchback, or before an upgrade is given up, stays. " +
		"The statistics of the partitioned table take samples of the foreign partitions, for which the target must reach their server.",
	Remedy: "See that the target's host may log in at the other server, as the same user. Where the rows shall come along, copy them into a local partition and put it in the place of the foreign one before the upgrade.",
	Find: query(`
		SELECT format('%I.%I', n.nspname, c.relname), format('of %s, on server %I', pg_partition_root(c.oid)::regclass, s.srvname), NULL
		FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		JOIN pg_foreign_table t ON t.ftrelid = c.oid JOIN pg_foreign_server s ON s.oid = t.ftserver
		WHERE c.relkind = 'f' AND c.relispartition
		ORDER BY 1`),
}
