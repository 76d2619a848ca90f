package precheck

import "github.com/pgleap/pgleap/internal/upgrade"

// charSignedness: since 18 a cluster remembers whether char is signed where it was made, and pg_upgrade takes this
// machine's answer for an older cluster (pg_upgrade's --set-char-signedness). pg_trgm compares characters so
// (trgm_op.c, CMPCHAR).
var charSignedness = Check{
	ID: "char-signedness", Title: "Trigram indexes depend on the processor that they were built on",
	Severity: upgrade.Info, Modes: withPgUpgrade(), Scope: PerDatabase, Versions: Versions{Crossing: 18},
	Why: "pg_trgm sorts letters beyond ASCII in one way on x86 and in another on ARM. From 18 on a cluster remembers which, and pg_upgrade writes down that of this machine. " +
		"If these files were ever copied, or streamed, from a machine of the other kind, what is written down is wrong for these indexes, and queries miss rows.",
	Remedy: "Nothing has to be done where the cluster has always been on one kind of processor. Else run these statements on the target, after the upgrade and before its applications search.",
	Find: query(`
		SELECT DISTINCT format('%I.%I', n.nspname, c.relname), 'index of ' || i.indrelid::regclass,
			` + reindex + `
		FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace
		CROSS JOIN unnest(i.indclass) AS class JOIN pg_opclass o ON o.oid = class
		WHERE c.oid >= 16384 AND c.relkind = 'i' AND c.relpersistence <> 't' AND o.opcname IN ('gin_trgm_ops', 'gist_trgm_ops')
		ORDER BY 1`),
}
