package precheck

import "github.com/pgleap/pgleap/internal/upgrade"

// unloggedPartitioned: 18 does away with the state, which never had a meaning (release notes 18).
var unloggedPartitioned = Check{
	ID: "unlogged-partitioned", Title: "Partitioned tables are marked as unlogged",
	Severity: upgrade.Info, Modes: everyMode(), Scope: PerDatabase, Versions: Versions{Crossing: 18},
	Why: "From 18 on a partitioned table cannot be unlogged, its partitions can. The mark never had an effect, and new partitions did not inherit it: " +
		"the table comes over, but a script that makes it so fails.",
	Remedy: "Nothing has to be done. Take UNLOGGED out of the scripts that make partitioned tables, and give it to their partitions.",
	Find: query(`
		SELECT format('%I.%I', n.nspname, c.relname), NULL, NULL
		FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE c.relkind = 'p' AND c.relpersistence = 'u'
		ORDER BY 1`),
}
