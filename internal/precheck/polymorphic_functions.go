package precheck

import "github.com/pgleap/pgleap/internal/upgrade"

// polymorphicFunctions: the array functions take anycompatible instead of anyelement since 14, so what was built on
// the old signatures finds no function (pg_upgrade's check.c, check_for_incompatible_polymorphics).
var polymorphicFunctions = Check{
	ID: "polymorphic-functions", Title: "Aggregates or operators are built on array functions whose signature has changed",
	Severity: upgrade.Blocker, Modes: withPgUpgrade(), Scope: PerDatabase, Versions: Versions{Crossing: 14},
	Why: "array_append, array_cat, array_prepend, array_remove, array_replace, array_position, array_positions and width_bucket take anycompatible " +
		"and anycompatiblearray in PostgreSQL 14 and later. An aggregate or operator declared with anyelement or anyarray cannot use them there.",
	Remedy:    "Drop it, and make it anew on the target with anycompatible or anycompatiblearray instead of anyelement or anyarray.",
	PgUpgrade: []string{"incompatible_polymorphics.txt"},
	Find: query(`
		WITH changed AS (
			SELECT oid FROM pg_proc
			WHERE pronamespace = 'pg_catalog'::regnamespace AND proname IN (
				'array_append', 'array_cat', 'array_prepend', 'array_remove', 'array_replace',
				'array_position', 'array_positions', 'width_bucket')
				AND proargtypes::oid[] && '{anyarray,anyelement}'::regtype[]::oid[]
		), aggregates AS (
			SELECT n.nspname, p.proname, (
				SELECT coalesce(string_agg(format_type(t, NULL), ',' ORDER BY place), '*')
				FROM unnest(p.proargtypes) WITH ORDINALITY AS a (t, place)) AS arguments
			FROM pg_aggregate a JOIN pg_proc p ON p.oid = a.aggfnoid JOIN pg_namespace n ON n.oid = p.pronamespace
			WHERE p.oid >= 16384 AND a.aggtranstype IN ('anyarray'::regtype, 'anyelement'::regtype)
				AND (a.aggtransfn IN (SELECT oid FROM changed) OR a.aggfinalfn IN (SELECT oid FROM changed))
		), operators AS (
			SELECT n.nspname, o.oprname,
				CASE o.oprleft WHEN 0 THEN 'NONE' ELSE format_type(o.oprleft, NULL) END || ',' ||
				CASE o.oprright WHEN 0 THEN 'NONE' ELSE format_type(o.oprright, NULL) END AS arguments
			FROM pg_operator o JOIN pg_namespace n ON n.oid = o.oprnamespace
			WHERE o.oid >= 16384 AND o.oprcode IN (SELECT oid FROM changed)
				AND o.oprleft IN ('anyarray'::regtype, 'anyelement'::regtype)
		)
		SELECT format('%I.%I(%s)', nspname, proname, arguments), 'aggregate', format('DROP AGGREGATE %I.%I(%s)', nspname, proname, arguments)
		FROM aggregates
		UNION ALL
		SELECT format('%I.%s(%s)', nspname, oprname, arguments), 'operator', format('DROP OPERATOR %I.%s (%s)', nspname, oprname, arguments)
		FROM operators
		ORDER BY 1`),
}
