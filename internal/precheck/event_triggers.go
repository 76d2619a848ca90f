package precheck

import "github.com/pgleap/pgleap/internal/upgrade"

// eventTriggers: pgleap's sessions set session_replication_role = replica, in which only event
// triggers of the modes ALWAYS and REPLICA fire; pg_upgrade restores with all of them off.
var eventTriggers = Check{
	ID: "event-triggers", Title: "Event triggers fire for pgleap's statements",
	Severity: upgrade.Warning, Modes: withReplication(), Scope: PerPublished,
	Why: "pgleap makes a schema, a table and a publication in each database, and updates extensions on the target. " +
		"An event trigger that is ENABLE ALWAYS or ENABLE REPLICA fires for them. One that refuses such statements stops the upgrade.",
	Remedy: "Let it fire for the users' own sessions only, or let its function pass statements of superusers.",
	Find: query(`
		SELECT quote_ident(evtname), evtevent, format('ALTER EVENT TRIGGER %I ENABLE', evtname)
		FROM pg_event_trigger
		WHERE evtenabled IN ('A', 'R')
		ORDER BY evtname`),
}
