package precheck

import "github.com/pgleap/pgleap/internal/upgrade"

// triggers: apply runs with session_replication_role = replica, where triggers of the modes
// ALWAYS and REPLICA fire, and with an empty search_path (worker.c, InitializeLogRepWorker).
var triggers = Check{
	ID: "triggers", Title: "Triggers would fire for replicated changes",
	Severity: upgrade.Blocker, Modes: withReplication(), Scope: PerPublished, Acceptable: true,
	Why: "A trigger that is ENABLE ALWAYS or ENABLE REPLICA fires again on the target for every change that comes from the source: " +
		"what it writes, or counts, is there twice. If its function names tables without their schema, the replication stops.",
	Remedy: "Let it fire for origin changes only, at least until the switchover; or accept it by name if firing twice does no harm.",
	Find: query(`
		SELECT format('%I.%I.%I', n.nspname, c.relname, t.tgname),
			CASE t.tgenabled WHEN 'A' THEN 'ENABLE ALWAYS' ELSE 'ENABLE REPLICA' END,
			format('ALTER TABLE %I.%I ENABLE TRIGGER %I', n.nspname, c.relname, t.tgname)
		FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE t.tgenabled IN ('A', 'R') AND NOT t.tgisinternal AND c.relpersistence = 'p' AND n.nspname <> 'pgleap'
		ORDER BY 1`),
}
