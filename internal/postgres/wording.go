package postgres

import (
	"regexp"
	"strings"
)

// castArray finds an array of constants that is cast as a whole, and castConstant one of its elements.
var (
	castArray    = regexp.MustCompile(`\(ARRAY\[((?:'(?:[^']|'')*'::[a-z ]+(?:, )?)+)\]\)::([a-z ]+)\[\]`)
	castConstant = regexp.MustCompile(`'(?:[^']|'')*'::[a-z ]+`)
	// In a constant there are none.
	qualifier = regexp.MustCompile(`'(?:[^']|'')*'|(?:"(?:[^"]|"")*"|\b[a-z_][a-z0-9_$]*)\.`)
)

// sameWords tells whether two definitions differ in nothing but the two ways in which most do that mean the same, so that
// no server has to be asked for thousands of them.
func sameWords(one, other Definition) bool {
	first, second := elementwise(Plain(one.Text)), elementwise(Plain(other.Text))
	if first == second {
		return true
	}
	return one.Kind == "query" && (unqualified(first, second) || unqualified(second, first))
}

// elementwise casts the elements of an array where the whole of it is cast: the parser makes one of the other
// (parse_expr.c, transformArrayExpr), so that an IN list over a varchar column comes back so from a dump.
func elementwise(text string) string {
	return castArray.ReplaceAllStringFunc(text, func(array string) string {
		parts := castArray.FindStringSubmatch(array)
		return "ARRAY[" + castConstant.ReplaceAllString(parts[1], "($0)::"+parts[2]) + "]"
	})
}

// unqualified tells whether a query is another one without the qualifiers of its only table, as 16 and later print it
// (ruleutils.c, get_query_def). If it is, both name the same table, and a column without a qualifier is that table's:
// in a subquery both would have one.
func unqualified(qualified, without string) bool {
	if len(without) >= len(qualified) {
		return false
	}
	for _, name := range uniqueOf(qualifier.FindAllString(qualified, -1)) {
		if withoutQualifier(qualified, name) == without {
			return true
		}
	}
	return false
}

// withoutQualifier takes a qualifier away where it is not the end of a longer name.
func withoutQualifier(text, name string) string {
	return qualifier.ReplaceAllStringFunc(text, func(found string) string {
		if found == name {
			return ""
		}
		return found
	})
}

func uniqueOf(names []string) []string {
	seen := map[string]bool{}
	var unique []string
	for _, name := range names {
		if !seen[name] && !strings.HasPrefix(name, "pg_") && !strings.HasPrefix(name, "'") {
			unique = append(unique, name)
		}
		seen[name] = true
	}
	return unique
}
