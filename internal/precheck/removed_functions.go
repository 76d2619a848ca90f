package precheck

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// removedFunctions: as with removed columns, pg_upgrade --check does not see them.
var removedFunctions = Check{
	ID: "removed-functions", Title: "Objects use functions and operators that the target does not have",
	Severity: upgrade.Blocker, Modes: everyMode(), Scope: PerDatabase,
	Why: "Functions and operators are removed between major versions. What calls one, such as a view, a default or an index, cannot be made on the target: " +
		"the restore of its database stops there, during the downtime.",
	Remedy: "Keep its definition (pg_get_viewdef, pg_dump --schema-only), rewrite it, or take it away before the upgrade and make it on the target as the target wants it. " +
		"The SQL drops the object, a materialized view with its rows: keep the definition first. " +
		"What belongs to an extension goes when the extension is updated.",
	Find: func(ctx context.Context, f *Facts, s Session) ([]Found, error) {
		functions, err := f.removedCalls(ctx, s, "functions", systemFunctions)
		if err != nil {
			return nil, err
		}
		operators, err := f.removedCalls(ctx, s, "operators", systemOperators)
		if err != nil || len(functions)+len(operators) == 0 {
			return nil, err
		}
		return s.nameUses(ctx, usesOfCalls(f.Version.Major(), functions, operators))
	},
}

// argument is the SQL for a NULL of a type. Polymorphic types stand for an example of theirs.
const argument = `
	CASE %[1]s::regtype::text
		WHEN 'anyelement' THEN 'NULL::integer' WHEN 'anynonarray' THEN 'NULL::integer' WHEN 'anycompatible' THEN 'NULL::integer'
		WHEN 'anycompatiblenonarray' THEN 'NULL::integer' WHEN 'anyarray' THEN 'NULL::integer[]' WHEN 'anycompatiblearray' THEN 'NULL::integer[]'
		WHEN 'anyrange' THEN 'NULL::int4range' WHEN 'anycompatiblerange' THEN 'NULL::int4range' WHEN '"any"' THEN 'NULL::text'
		WHEN 'record' THEN 'ROW(1)' ELSE format('NULL::%%s', %[1]s::regtype) END`

// systemFunctions and systemOperators list the server's own, each with a query that calls it with
// arguments of the very types, and its name. The queries are parsed only.
var (
	systemFunctions = fmt.Sprintf(`
		SELECT p.oid,
			format('SELECT %%I.%%I(%%s)%%s', n.nspname, p.proname, (
				SELECT string_agg(CASE WHEN p.provariadic <> 0 AND k = p.pronargs AND p.provariadic <> '"any"'::regtype THEN 'VARIADIC ' ELSE '' END || %s, ', ' ORDER BY k)
				FROM unnest(p.proargtypes) WITH ORDINALITY AS a (type, k)
			), CASE WHEN p.prokind = 'w' THEN ' OVER ()' END),
			format('%%s.%%s(%%s)', n.nspname, p.proname, (SELECT string_agg(type::regtype::text, ',' ORDER BY k) FROM unnest(p.proargtypes) WITH ORDINALITY AS a (type, k)))
		FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
		WHERE p.oid < 16384 AND n.nspname IN ('pg_catalog', 'information_schema')`, fmt.Sprintf(argument, "type"))
	systemOperators = fmt.Sprintf(`
		SELECT o.oid,
			concat('SELECT ', CASE WHEN o.oprleft <> 0 THEN %s END, ' OPERATOR(pg_catalog.', o.oprname, ') ', CASE WHEN o.oprright <> 0 THEN %s END),
			format('%%s(%%s,%%s)', o.oprname, o.oprleft::regtype, o.oprright::regtype)
		FROM pg_operator o
		WHERE o.oid < 16384`, fmt.Sprintf(argument, "o.oprleft"), fmt.Sprintf(argument, "o.oprright"))
)

// systemCall is a function or an operator of the server's own.
type systemCall struct {
	OID  uint32
	Call string // a query that calls it
	Name string // with the types of its arguments
}

// removedCalls lists those that cannot be called on the target with arguments of the same types. One
// that has got other arguments may still be: a default is added, a polymorphic type widened. They have the
// same numbers in each database, as columns have, see removedColumns.
func (f *Facts) removedCalls(ctx context.Context, s Session, kind, list string) ([]systemCall, error) {
	if known, ok := f.lackedCalls[kind]; ok {
		return known, nil
	}
	rows, err := s.Tx.Query(ctx, list)
	if err != nil {
		return nil, err
	}
	calls, err := pgx.CollectRows(rows, pgx.RowToStructByPos[systemCall])
	if err != nil {
		return nil, err
	}
	gone, err := f.gone(ctx, kind, list)
	if err != nil {
		return nil, err
	}
	var removed []systemCall
	for _, call := range calls {
		if !gone(call.Name) {
			continue
		}
		refused, err := f.refusesCall(ctx, call)
		if err != nil {
			return nil, err
		}
		if refused {
			removed = append(removed, call)
		}
	}
	f.lackedCalls[kind] = removed
	return removed, nil
}

// refusesCall tells whether the target's parser knows of no way to make a call. What SQL cannot call
// at all, such as functions with arguments of type internal, is refused: it is named with the very types.
func (f *Facts) refusesCall(ctx context.Context, call systemCall) (bool, error) {
	if f.targetErr != nil {
		return true, nil // the embedded list said so
	}
	_, err := f.target.Prepare(ctx, "", call.Call)
	_, refused := errors.AsType[*pgconn.PgError](err)
	if err != nil && !refused {
		return false, fmt.Errorf("ask the target for %s: %w", call.Name, err)
	}
	return refused, nil
}

// usesOfCalls finds calls in node trees (primnodes.h: FuncExpr, Aggref, WindowFunc, OpExpr and its
// kin), and in what is made of functions without one.
func usesOfCalls(source upgrade.Major, functions, operators []systemCall) string {
	return fmt.Sprintf(`
	WITH functions AS (%s
	), operators AS (%s
	), removed AS (
		SELECT 'f' AS kind, oid, format('function %%s', split_part(name, 'pg_catalog.', 2)) AS what FROM functions
		UNION ALL SELECT 'o', oid, format('operator %%s', name) FROM operators
	), trees AS (%s
	)
	SELECT t.classid::oid, t.objid, r.what
	FROM trees t CROSS JOIN regexp_matches(t.tree, ':(funcid|aggfnoid|winfnoid|opno) (%s)\M', 'g') AS m (found)
	JOIN removed r ON r.oid::text = m.found[2] AND r.kind = CASE m.found[1] WHEN 'opno' THEN 'o' ELSE 'f' END
	UNION ALL
	SELECT 'pg_operator'::regclass::oid, o.oid, r.what
	FROM pg_operator o JOIN removed r ON r.kind = 'f' AND r.oid = o.oprcode WHERE o.oid >= 16384
	UNION ALL
	SELECT 'pg_proc'::regclass::oid, a.aggfnoid::oid, r.what
	FROM pg_aggregate a JOIN removed r ON r.kind = 'f' AND r.oid IN (a.aggtransfn, a.aggfinalfn, a.aggcombinefn, a.aggmtransfn, a.aggminvtransfn, a.aggmfinalfn)
	WHERE a.aggfnoid >= 16384
	UNION ALL
	SELECT 'pg_cast'::regclass::oid, k.oid, r.what
	FROM pg_cast k JOIN removed r ON r.kind = 'f' AND r.oid = k.castfunc WHERE k.oid >= 16384
	UNION ALL
	SELECT 'pg_conversion'::regclass::oid, k.oid, r.what
	FROM pg_conversion k JOIN removed r ON r.kind = 'f' AND r.oid = k.conproc
	WHERE k.oid >= 16384 AND current_setting('server_version_num')::int >= 140000 -- before, pg_upgrade --check refuses all of them`, values(functions), values(operators), expressions(source), alternatives(slices.Concat(functions, operators)))
}

// values is a query that returns the calls' numbers and names.
func values(calls []systemCall) string {
	rows := []string{"(NULL::oid, NULL::text)"}
	for _, call := range calls {
		rows = append(rows, fmt.Sprintf("(%d, %s)", call.OID, quoteLiteral(call.Name)))
	}
	return "SELECT * FROM (VALUES " + strings.Join(rows, ", ") + ") AS v (oid, name) WHERE oid IS NOT NULL"
}

// alternatives is a regular expression for any of the calls' numbers.
func alternatives(calls []systemCall) string {
	numbers := make([]string, len(calls))
	for i, call := range calls {
		numbers[i] = fmt.Sprint(call.OID)
	}
	return strings.Join(numbers, "|")
}
