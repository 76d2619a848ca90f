package precheck

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// writtenBodies are the routines whose bodies are kept as text and parsed when they run.
const writtenBodies = `
	SELECT format('%I.%I(%s)', n.nspname, p.proname, pg_get_function_identity_arguments(p.oid)) AS name, l.lanname AS language, p.prosrc AS body
	FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace JOIN pg_language l ON l.oid = p.prolang
	WHERE p.oid >= 16384 AND l.lanname NOT IN ('internal', 'c') AND n.nspname <> 'pgleap'
		AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')`

// removedInBodies: bodies that are text come over as they are, and fail when they are run.
var removedInBodies = Check{
	ID: "removed-in-bodies", Title: "Bodies of functions name what the target does not have",
	Severity: upgrade.Warning, Modes: everyMode(), Scope: PerDatabase, Acceptable: true,
	Why: "The text of a function is not looked at during an upgrade. If it calls a function of the server, or reads a column of a system view, " +
		"that the target does not have, the function comes over and fails when it is called.",
	Remedy: "Rewrite the function so that it works in both versions, or make the target's version of it after the upgrade. " +
		"Where the name stands in a comment, or is another thing's, accept the function by name. plpgsql_check finds more.",
	Find: func(ctx context.Context, f *Facts, s Session) ([]Found, error) {
		names, err := f.removedNames(ctx, s)
		if err != nil {
			return nil, err
		}
		columns, err := f.removedColumns(ctx, s)
		if err != nil || len(names)+len(columns) == 0 {
			return nil, err
		}
		var relations, attributes []string
		for _, c := range columns {
			parts := strings.Split(c.name, ".")
			relations, attributes = append(relations, parts[1]), append(attributes, parts[2])
		}
		return s.query(ctx, `
			WITH bodies AS (`+writtenBodies+`
			), uses AS (
				SELECT name, language, 'function ' || lower(m.found[1]) AS what
				FROM bodies CROSS JOIN regexp_matches(body, $1, 'gi') AS m (found)
				WHERE $1 <> ''
				UNION
				SELECT name, language, concat_ws('.', relation, attribute)
				FROM bodies JOIN unnest($2::text[], $3::text[]) AS removed (relation, attribute)
					ON body ~* concat('\m', relation, '\M') AND body ~* concat('\m', attribute, '\M')
			)
			SELECT name, concat(language, ' with ', string_agg(what, ', ' ORDER BY what)), NULL
			FROM uses
			GROUP BY name, language
			ORDER BY name`, callOf(names), relations, attributes)
	},
}

// callOf is a regular expression for a call of any of the functions.
func callOf(names []string) string {
	if len(names) == 0 {
		return ""
	}
	return `\m(` + strings.Join(names, "|") + `)\s*\(`
}

// removedNames lists the names of the server's functions of which the target has none, whatever the
// arguments, and the user has none either. Where there is no target to ask, that is what is known to be removed
// without a word of arguments: what has some may have got others.
func (f *Facts) removedNames(ctx context.Context, s Session) ([]string, error) {
	calls, err := f.removedCalls(ctx, s, "functions", systemFunctions)
	if err != nil {
		return nil, err
	}
	left := map[string]bool{}
	for offered := range f.offered["functions"] {
		name, _, _ := strings.Cut(offered, "(")
		left[name[strings.IndexByte(name, '.')+1:]] = true
	}
	var names []string
	for _, call := range calls {
		name, _, _ := strings.Cut(call.Name, "(")
		if f.targetErr != nil && !knownRemoved(f.Version, f.Plan.Target.Version, name) {
			continue
		}
		name = name[strings.IndexByte(name, '.')+1:]
		if !left[name] && !strings.HasPrefix(name, "binary_upgrade_") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	rows, err := s.Tx.Query(ctx, `
		SELECT name FROM unnest($1::text[]) AS name
		WHERE NOT EXISTS (SELECT FROM pg_proc WHERE proname = name AND oid >= 16384)
		ORDER BY name`, slices.Compact(names))
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

// reservedWords: pg_dump quotes all names (--quote-all-identifiers), so they come over; but who
// writes them without quotes gets a syntax error, or something else.
var reservedWords = Check{
	ID: "reserved-words", Title: "Names are words of SQL that the target reserves",
	Severity: upgrade.Warning, Modes: everyMode(), Scope: PerDatabase, Acceptable: true,
	Why: "New versions of PostgreSQL reserve words that were free. What is called so comes over, since the dump quotes its name; " +
		"but queries and functions that write the name without quotes fail on the target, or mean something else.",
	Remedy: "Quote the name wherever it is written, as \"name\", which every version understands, or rename the object. Accept what is quoted everywhere by name.",
	Find: func(ctx context.Context, f *Facts, s Session) ([]Found, error) {
		words, err := f.newlyReserved(ctx, s)
		if err != nil || len(words.names)+len(words.functions) == 0 {
			return nil, err
		}
		return s.query(ctx, `
			WITH members AS (
				SELECT classid, objid FROM pg_depend WHERE deptype = 'e'
			), relations AS (
				SELECT c.oid, format('%I.%I', n.nspname, c.relname) AS name, c.relname, c.relkind
				FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
				WHERE c.oid >= 16384 AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND c.relpersistence <> 't' AND n.nspname <> 'pgleap'
					AND NOT EXISTS (SELECT FROM members m WHERE m.classid = 'pg_class'::regclass AND m.objid = c.oid)
			)
			SELECT name, 'relation', NULL FROM relations WHERE relname = ANY ($1)
			UNION ALL
			SELECT concat(r.name, '.', quote_ident(a.attname)), 'column', NULL
			FROM relations r JOIN pg_attribute a ON a.attrelid = r.oid
			WHERE a.attnum > 0 AND NOT a.attisdropped AND a.attname = ANY ($1)
			UNION ALL
			SELECT format('%I.%I(%s)', n.nspname, p.proname, pg_get_function_identity_arguments(p.oid)), 'function', NULL
			FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
			WHERE p.oid >= 16384 AND p.proname = ANY ($1 || $2)
				AND NOT EXISTS (SELECT FROM members m WHERE m.classid = 'pg_proc'::regclass AND m.objid = p.oid)
			UNION ALL
			SELECT format('%I.%I', n.nspname, t.typname), 'type', NULL
			FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
			WHERE t.oid >= 16384 AND t.typrelid = 0 AND t.typname = ANY ($1 || $2)
				AND NOT EXISTS (SELECT FROM members m WHERE m.classid = 'pg_type'::regclass AND m.objid = t.oid)
			UNION ALL
			SELECT name, concat('body in ', language, ' with ', (regexp_match(body, $3, 'i'))[1]), NULL
			FROM (`+writtenBodies+`) AS bodies
			WHERE $3 <> '' AND body ~* $3
			ORDER BY 1, 2`, words.names, words.functions, unquoted(words.names))
	},
}

// unquoted is a regular expression for any of the words where it is not quoted.
func unquoted(words []string) string {
	if len(words) == 0 {
		return ""
	}
	return `(?<!["'])\m(` + strings.Join(words, "|") + `)\M(?!["'])`
}

// reserved are words that a version reserves.
type reserved struct {
	names     []string // for everything
	functions []string // for functions and types
}

// newlyReserved lists the words that the target reserves and the source does not (kwlist.h).
func (f *Facts) newlyReserved(ctx context.Context, s Session) (reserved, error) {
	if f.targetErr != nil {
		return knownReserved(f.Version, f.Plan.Target.Version), nil
	}
	const keywords = `SELECT word, catcode::text FROM pg_get_keywords()`
	of := func(rows pgx.Rows, err error) (map[string]string, error) {
		if err != nil {
			return nil, err
		}
		words := map[string]string{}
		var word, category string
		_, err = pgx.ForEachRow(rows, []any{&word, &category}, func() error {
			words[word] = category
			return nil
		})
		return words, err
	}
	before, err := of(s.Tx.Query(ctx, keywords))
	if err != nil {
		return reserved{}, err
	}
	after, err := of(f.target.Query(ctx, keywords))
	if err != nil {
		return reserved{}, fmt.Errorf("list the target's keywords: %w", err)
	}
	var words reserved
	for word, category := range after {
		switch old := before[word]; {
		case (category == "R" || category == "T") && old != "R" && old != "T":
			words.names = append(words.names, word)
		case category == "C" && old != "C" && old != "R":
			words.functions = append(words.functions, word)
		}
	}
	slices.Sort(words.names)
	slices.Sort(words.functions)
	return words, nil
}

// knownReserved is what is known of words where there is no target to ask.
func knownReserved(source, target upgrade.VersionNum) reserved {
	var words reserved
	if source.Major() < 16 && target.Major() >= 16 {
		words.names = append(words.names, "system_user")
	}
	if source.Major() < 17 && target.Major() >= 17 {
		words.functions = []string{
			"json", "json_array", "json_arrayagg", "json_exists", "json_object", "json_objectagg", "json_query",
			"json_scalar", "json_serialize", "json_table", "json_value", "merge_action",
		}
	}
	return words
}
