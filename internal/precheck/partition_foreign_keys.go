package precheck

import "github.com/pgleap/pgleap/internal/upgrade"

// partitionForeignKeys: DETACH PARTITION of a table with a foreign key to a partitioned one left the key without its
// part for each referenced partition until 13.17, 14.14, 15.9, 16.5 and 17.1, and a partition that was added to a table
// with a foreign key to itself got none until 13.21, 14.18, 15.13, 16.9 and 17.5 (release notes). A later minor release
// does not mend what is in the catalogs.
var partitionForeignKeys = Check{
	ID: "partition-foreign-keys", Title: "Foreign keys of partitioned tables are not enforced everywhere",
	Severity: upgrade.Warning, Modes: everyMode(), Scope: PerDatabase, Acceptable: true,
	Why: "Older minor releases left such foreign keys incomplete when a partition was detached or added: rows without a counterpart may have come in unnoticed. " +
		"The target makes the key anew and takes it for valid, without a look at the rows.",
	Remedy: "Install the latest minor release, then make the foreign key anew on the source, with the SQL. It reads both tables, and locks them meanwhile. " +
		"If it is refused, there are rows that have no counterpart: mend them first.",
	Find: query(`
		WITH parts AS ( -- what inherits from a plain table has no part in its keys
			SELECT i.inhrelid, i.inhparent FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE c.relispartition
		), keys AS (
			SELECT k.oid, k.conname, k.conrelid, k.confrelid,
				(SELECT count(*) FROM parts i WHERE i.inhparent = k.confrelid AND NOT EXISTS (
					SELECT FROM pg_constraint part
					WHERE part.conparentid = k.oid AND part.conrelid = k.conrelid AND part.confrelid = i.inhrelid)) AS referenced,
				(SELECT count(*) FROM parts i WHERE i.inhparent = k.conrelid AND NOT EXISTS (
					SELECT FROM pg_constraint part
					WHERE part.conparentid = k.oid AND part.conrelid = i.inhrelid AND part.confrelid = k.confrelid)) AS referencing
			FROM pg_constraint k
			WHERE k.contype = 'f' AND k.conparentid = 0
				AND EXISTS (SELECT FROM pg_partitioned_table p WHERE p.partrelid IN (k.conrelid, k.confrelid))
		)
		SELECT format('%I.%I.%I', n.nspname, c.relname, k.conname),
			concat_ws(', ', CASE WHEN k.referenced > 0 THEN format('not for %s of the partitions that it refers to', k.referenced) END,
				CASE WHEN k.referencing > 0 THEN format('not for %s of its own partitions', k.referencing) END),
			format('ALTER TABLE %1$I.%2$I DROP CONSTRAINT %3$I, ADD CONSTRAINT %3$I %4$s', n.nspname, c.relname, k.conname, pg_get_constraintdef(k.oid))
		FROM keys k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE k.referenced + k.referencing > 0
		ORDER BY 1`),
}
