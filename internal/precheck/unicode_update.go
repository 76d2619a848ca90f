package precheck

import (
	"context"
	"fmt"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// unicodeUpdate: the builtin provider takes its tables of letters from the server's own version of Unicode, 15.1 in
// 17, 16.0 in 18, 17.0 in 19 (pg_upgrade's check.c, check_for_unicode_update). Stored expressions show as trees whose
// calls carry their function or operator and the collation that they use.
var unicodeUpdate = Check{
	ID: "unicode-update", Title: "What is stored depends on the version of Unicode",
	Severity: upgrade.Warning, Modes: withPgUpgrade(), Scope: PerDatabase, Versions: Versions{Sources: 17},
	Why: "The target has newer tables of Unicode, so upper, lower, normalize, regular expressions and their like may give other results for characters that are new. " +
		"An index on such an expression may miss rows then, and a CHECK constraint, a materialized view or a partition may hold what it should not.",
	Remedy: "After the upgrade, on the target: REINDEX the indexes, REFRESH the materialized views, and look at the rows of the tables. " +
		"Text that uses only characters assigned in the source's version of Unicode is not affected: unicode_assigned() tells.",
	PgUpgrade: []string{"unicode_dependent_rels.txt"},
	Find: func(ctx context.Context, f *Facts, s Session) ([]Found, error) {
		same, err := f.sameUnicode(ctx, s)
		if same || err != nil {
			return nil, err
		}
		return s.query(ctx, dependOnUnicode)
	},
}

// sameUnicode compares both sides' tables. Without a scratch cluster to ask, a newer major version is taken to have
// newer ones, as each has had so far.
func (f *Facts) sameUnicode(ctx context.Context, s Session) (bool, error) {
	target, err := f.Target()
	if err != nil {
		return f.Version.Major() == f.Plan.Target.Version.Major(), nil
	}
	var own, theirs string
	if err := s.Tx.QueryRow(ctx, `SELECT unicode_version()`).Scan(&own); err != nil {
		return false, err
	}
	if err := target.QueryRow(ctx, `SELECT unicode_version()`).Scan(&theirs); err != nil {
		return false, fmt.Errorf("ask the target for its version of Unicode: %w", err)
	}
	return own == theirs, nil
}

const dependOnUnicode = `
	WITH builtin AS (
		SELECT oid FROM pg_collation WHERE collprovider = 'b' AND colllocale IN ('C.UTF-8', 'PG_UNICODE_FAST')
		UNION ALL
		SELECT 'pg_catalog."default"'::regcollation FROM pg_database
		WHERE datname = current_database() AND datlocprovider = 'b' AND datlocale IN ('C.UTF-8', 'PG_UNICODE_FAST')
	), tree AS (
		SELECT conrelid AS relid, 'CHECK constraint' AS what, conbin::text AS expression FROM pg_constraint
		UNION ALL SELECT indexrelid, 'index', indexprs::text FROM pg_index
		UNION ALL SELECT indexrelid, 'index', indpred::text FROM pg_index
		UNION ALL SELECT partrelid, 'partition key', partexprs::text FROM pg_partitioned_table
		UNION ALL SELECT ev_class, 'materialized view', ev_action::text FROM pg_rewrite JOIN pg_class c ON c.oid = ev_class WHERE c.relkind = 'm'
	), call AS (
		SELECT relid, what, part[1] AS kind, part[2]::oid AS callee, part[3]::oid AS collation
		FROM tree CROSS JOIN LATERAL regexp_matches(expression, '\{(FUNCEXPR :funcid|OPEXPR :opno) (\d+) (?::\w+ [^\s{(]+ )*:inputcollid (\d+)', 'g') AS part
		WHERE relid >= 16384
	)
	SELECT DISTINCT format('%I.%I', n.nspname, c.relname), call.what, NULL
	FROM call JOIN pg_class c ON c.oid = call.relid JOIN pg_namespace n ON n.oid = c.relnamespace
	WHERE current_setting('server_encoding') = 'UTF8' AND (
		call.kind LIKE 'FUNC%' AND EXISTS (
			SELECT FROM pg_proc p
			WHERE p.oid = call.callee AND p.pronamespace = 'pg_catalog'::regnamespace AND (
				p.proname IN ('normalize', 'is_normalized', 'unicode_assigned', 'unicode_version')
				OR call.collation IN (SELECT oid FROM builtin) AND (
					p.proname IN ('lower', 'upper', 'initcap', 'casefold') AND p.proargtypes = '25'::oidvector
					OR p.proname = 'substring' AND p.proargtypes = '25 25'::oidvector
					OR p.proname LIKE 'regexp\_%')))
		OR call.kind LIKE 'OP%' AND call.collation IN (SELECT oid FROM builtin) AND EXISTS (
			SELECT FROM pg_operator o
			WHERE o.oid = call.callee AND o.oprnamespace = 'pg_catalog'::regnamespace AND o.oprright = 'text'::regtype
				AND o.oprname IN ('~', '~*', '!~', '!~*', '~~*', '!~~*')))
	ORDER BY 1, 2`
