package precheck

import "github.com/pgleap/pgleap/internal/upgrade"

// orphanedTemporary: a live session's temporary table has a file that is younger than the session.
// What is older than every session of the database belongs to none (pg_temp_N tells the session's
// slot, which is used again).
var orphanedTemporary = Check{
	ID: "orphaned-temporary", Title: "Temporary tables are left of sessions that crashed",
	Severity: upgrade.Info, Modes: withPgUpgrade(), Scope: PerDatabase,
	Why: "Temporary tables of sessions that did not end properly stay until somebody removes them. They hold up the age of transaction ids, " +
		"and they do not come over: pg_upgrade leaves temporary tables out.",
	Remedy: "Drop them: the sessions whose rows they have are gone.",
	Find: query(`
		SELECT format('%I.%I', n.nspname, c.relname), NULL, format('DROP TABLE %I.%I', n.nspname, c.relname)
		FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE c.relpersistence = 't' AND c.relkind = 'r' AND n.nspname ~ '^pg_temp_[0-9]+$'
			AND coalesce((pg_stat_file(pg_relation_filepath(c.oid), true)).modification, '-infinity') + interval '2 seconds' < ( -- it is told in whole seconds
				SELECT coalesce(min(a.backend_start), 'infinity') FROM pg_stat_activity a
				WHERE a.datid = (SELECT oid FROM pg_database WHERE datname = current_database())
			)
		ORDER BY 1`),
}
