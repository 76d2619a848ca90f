package precheck

import "github.com/pgleap/pgleap/internal/upgrade"

// postfixOperators: 14 has none any more (pg_upgrade's check.c, check_for_user_defined_postfix_ops).
var postfixOperators = Check{
	ID: "postfix-operators", Title: "There are postfix operators",
	Severity: upgrade.Blocker, Modes: withPgUpgrade(), Scope: PerDatabase, Versions: Versions{Crossing: 14},
	Why:       "PostgreSQL 14 and later know no operators that stand behind their only operand.",
	Remedy:    "Drop the operator, and call its function, or make a prefix operator of it. What uses it has to be changed first. Keep its definition: the SQL drops it.",
	PgUpgrade: []string{"postfix_ops.txt"},
	Find: query(`
		SELECT format('%I.%s (%I.%I, NONE)', n.nspname, o.oprname, tn.nspname, t.typname), o.oprcode::text,
			format('DROP OPERATOR %I.%s (%s, NONE)', n.nspname, o.oprname, format_type(t.oid, NULL))
		FROM pg_operator o JOIN pg_namespace n ON n.oid = o.oprnamespace
			JOIN pg_type t ON t.oid = o.oprleft JOIN pg_namespace tn ON tn.oid = t.typnamespace
		WHERE o.oprright = 0 AND o.oid >= 16384
		ORDER BY 1`),
}
