package postgres

import (
	"context"
	"regexp"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// Definition is a line of a Shape that ends with SQL as the server prints it. The same definition can be printed
// in different ways: by another version (since 16 a view of one table does not qualify its columns), and after
// pg_dump has carried it over (ARRAY['a'::varchar]::text[] comes back as ARRAY['a'::varchar::text]). So text
// that differs is printed again by one server, before it counts as different; see Reconciler.
//
// The zero value is a line that says everything in words that all versions share.
type Definition struct {
	What string // what the line begins with, before ": "
	Kind string // by which it is printed again; empty if it is not
	Of   string // what it belongs to: a table, the type that a domain is made of, or a function's schema
	Text string
	// Hidden is compared, and never shown: a digest of what may hold a password.
	Hidden string
}

// line is the definition's line in a shape.
func (d Definition) line() string { return d.What + ": " + Plain(d.Text) }

var (
	// A constant is one piece of text, whatever is quoted in it.
	quotedIdentifier = regexp.MustCompile(`'(?:[^']|'')*'|"(?:[^"]|"")*"`)
	plainIdentifier  = regexp.MustCompile(`^"[a-z_][a-z0-9_$]*"$`)
)

// Plain takes the quotes from identifiers that need none but for being reserved words: versions do not agree on those
// (a column named json is quoted since 17), nor, when all are quoted, on whether the name of a type is.
func Plain(text string) string {
	if !strings.Contains(text, `"`) {
		return text
	}
	return quotedIdentifier.ReplaceAllStringFunc(text, func(identifier string) string {
		if plainIdentifier.MatchString(identifier) {
			return identifier[1 : len(identifier)-1]
		}
		return identifier
	})
}

// definitions are those whose printing takes no locks on other tables.
const definitions = ofUsers + `, relations AS (
		SELECT c.oid, format('%I.%I', s.nspname, c.relname) AS name, c.relkind, c.relpartbound
		FROM pg_class c JOIN schemas s ON s.oid = c.relnamespace
		WHERE c.relpersistence <> 't'
			AND NOT EXISTS (SELECT FROM members m WHERE m.classid = 'pg_class'::regclass AND m.objid = c.oid)
	), domains AS (
		SELECT t.oid, format('%I.%I', s.nspname, t.typname) AS name, format_type(t.typbasetype, t.typtypmod) AS base, t.typdefaultbin
		FROM pg_type t JOIN schemas s ON s.oid = t.typnamespace
		WHERE t.typtype = 'd'
			AND NOT EXISTS (SELECT FROM members m WHERE m.classid = 'pg_type'::regclass AND m.objid = t.oid)
	)
	SELECT format('default of %s.%I', r.name, a.attname) AS what, 'expression' AS kind, r.name AS of, pg_get_expr(d.adbin, d.adrelid) AS text
	FROM relations r JOIN pg_attrdef d ON d.adrelid = r.oid JOIN pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum
	UNION ALL
	-- Those of partitions, with names of their own, come with the parent's.
	SELECT format('constraint %I on %s', k.conname, r.name), CASE k.contype WHEN 'f' THEN '' ELSE 'constraint' END, r.name, pg_get_constraintdef(k.oid)
	FROM relations r JOIN pg_constraint k ON k.conrelid = r.oid
	WHERE k.contype IN ('c', 'x') OR k.contype = 'f' AND k.conparentid = 0
	UNION ALL
	SELECT format('index %s', i.name), 'index', r.name,
		replace(pg_get_indexdef(x.indexrelid), concat(' ', x.indrelid::regclass, ' USING '), concat(' ', r.name, ' USING '))
	FROM pg_index x JOIN relations i ON i.oid = x.indexrelid JOIN relations r ON r.oid = x.indrelid
	UNION ALL
	SELECT format('trigger %I on %s', t.tgname, r.name), 'trigger', r.name, pg_get_triggerdef(t.oid)
	FROM relations r JOIN pg_trigger t ON t.tgrelid = r.oid
	WHERE NOT t.tgisinternal AND t.tgparentid = 0
	UNION ALL
	SELECT format('partition %s', name), '', '', pg_get_expr(relpartbound, oid) FROM relations WHERE relpartbound IS NOT NULL AND relkind IN ('r', 'p', 'f')
	UNION ALL
	SELECT format('partitions of %s', name), 'partition key', name, pg_get_partkeydef(oid) FROM relations WHERE relkind = 'p'
	UNION ALL
	SELECT format('default of domain %s', name), '', '', pg_get_expr(typdefaultbin, 0) FROM domains WHERE typdefaultbin IS NOT NULL
	UNION ALL
	SELECT format('constraint %I on domain %s', k.conname, d.name), 'domain constraint', d.base, pg_get_constraintdef(k.oid)
	FROM domains d JOIN pg_constraint k ON k.contypid = d.oid
	WHERE k.contype = 'c'
	UNION ALL
	-- Without its first words, which name it.
	SELECT format('statistics %I.%I', s.nspname, x.stxname), 'statistics', r.name,
		substr(pg_get_statisticsobjdef(x.oid), length(format('CREATE STATISTICS %I.%I ', s.nspname, x.stxname)) + 1)
	FROM pg_statistic_ext x JOIN schemas s ON s.oid = x.stxnamespace JOIN relations r ON r.oid = x.stxrelid
	WHERE ('pg_statistic_ext'::regclass, x.oid) NOT IN (SELECT * FROM members)
	{15:UNION ALL
	SELECT format('publication %I of %s', p.pubname, r.name), 'expression', r.name, pg_get_expr(x.prqual, x.prrelid)
	FROM pg_publication_rel x JOIN pg_publication p ON p.oid = x.prpubid JOIN relations r ON r.oid = x.prrelid
	WHERE p.pubname !~ '^pgleap_' AND x.prqual IS NOT NULL|}`

// queries lists what is made of queries. Who prints them locks each table of each (ruleutils.c, get_query_def).
const queries = ofUsers + `, relations AS (
		SELECT c.oid, c.relkind
		FROM pg_class c JOIN schemas s ON s.oid = c.relnamespace
		WHERE c.relpersistence <> 't'
			AND NOT EXISTS (SELECT FROM members m WHERE m.classid = 'pg_class'::regclass AND m.objid = c.oid)
	)
	SELECT oid FROM relations WHERE relkind IN ('v', 'm')
	UNION ALL
	SELECT w.oid FROM relations r JOIN pg_rewrite w ON w.ev_class = r.oid WHERE w.rulename <> '_RETURN'
	UNION ALL
	SELECT p.oid FROM relations r JOIN pg_policy p ON p.polrelid = r.oid
	UNION ALL
	SELECT p.oid
	FROM pg_proc p JOIN schemas s ON s.oid = p.pronamespace
	WHERE p.prokind IN ('f', 'p') AND (p.proargdefaults IS NOT NULL OR {14:p.prosqlbody IS NOT NULL|false})
		AND NOT EXISTS (SELECT FROM members m WHERE m.classid = 'pg_proc'::regclass AND m.objid = p.oid)`

// queriesAtOnce bounds the locks of one statement.
const queriesAtOnce = 50

// queryDefinitions prints some of them. An oid may belong to one of each kind: it is unique in a catalog only.
const queryDefinitions = `
	WITH relations AS (
		SELECT c.oid, format('%I.%I', n.nspname, c.relname) AS name, c.relkind
		FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast', 'pgleap')
	)
	SELECT format('%s %s', CASE relkind WHEN 'm' THEN 'materialized view' ELSE 'view' END, name) AS what, 'query' AS kind,
		'' AS of, pg_get_viewdef(oid) AS text
	FROM relations WHERE oid = ANY ($1) AND relkind IN ('v', 'm')
	UNION ALL
	SELECT format('rule %I on %s', w.rulename, r.name), 'rule', r.name, pg_get_ruledef(w.oid)
	FROM pg_rewrite w JOIN relations r ON r.oid = w.ev_class
	WHERE w.oid = ANY ($1) AND w.rulename <> '_RETURN'
	UNION ALL
	SELECT format('policy %I on %s: using', p.polname, r.name), 'expression', r.name, pg_get_expr(p.polqual, p.polrelid)
	FROM pg_policy p JOIN relations r ON r.oid = p.polrelid
	WHERE p.oid = ANY ($1) AND p.polqual IS NOT NULL
	UNION ALL
	SELECT format('policy %I on %s: check', p.polname, r.name), 'expression', r.name, pg_get_expr(p.polwithcheck, p.polrelid)
	FROM pg_policy p JOIN relations r ON r.oid = p.polrelid
	WHERE p.oid = ANY ($1) AND p.polwithcheck IS NOT NULL
	UNION ALL
	SELECT format('function %I.%I(%s)', n.nspname, p.proname, oidvectortypes(p.proargtypes)), 'function',
		quote_ident(n.nspname), pg_get_functiondef(p.oid)
	FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
	WHERE p.oid = ANY ($1) AND p.prokind IN ('f', 'p') AND (p.proargdefaults IS NOT NULL OR {14:p.prosqlbody IS NOT NULL|false})`

func readDefinitions(ctx context.Context, conn *pgx.Conn) ([]Definition, error) {
	read, err := collectDefinitions(conn.Query(ctx, thatAreLeft(knownTo(conn, definitions))))
	if err != nil {
		return nil, err
	}
	rows, err := conn.Query(ctx, knownTo(conn, queries))
	if err != nil {
		return nil, err
	}
	oids, err := pgx.CollectRows(rows, pgx.RowTo[uint32])
	if err != nil {
		return nil, err
	}
	for some := range slices.Chunk(oids, queriesAtOnce) {
		err := withoutLocks(ctx, conn, func() error {
			part, err := collectDefinitions(conn.Query(ctx, thatAreLeft(knownTo(conn, queryDefinitions)), some))
			read = append(read, part...)
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return read, nil
}

// thatAreLeft has an empty text for what was dropped since the snapshot was taken: what prints does not go by it.
func thatAreLeft(query string) string {
	return "SELECT what, kind, of, coalesce(text, '') FROM (" + query + ") AS definition"
}

// withoutLocks keeps no locks of what it does, within a transaction or without one.
func withoutLocks(ctx context.Context, conn *pgx.Conn, do func() error) error {
	if conn.PgConn().TxStatus() == 'I' {
		return do()
	}
	return Briefly(ctx, conn, do)
}

func collectDefinitions(rows pgx.Rows, err error) ([]Definition, error) {
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (Definition, error) {
		var d Definition
		err := row.Scan(&d.What, &d.Kind, &d.Of, &d.Text)
		d.What = Plain(d.What)
		return d, err
	})
}
