package upgrade

import (
	"slices"
	"strings"
)

// AcceptsObject tells whether the user takes upon himself what a check has found: the object that the parts name,
// each unquoted. Options.Accepted has them as SQL wants them, quoted where that is needed.
func (o Options) AcceptsObject(check string, parts ...string) bool {
	names := []string{check + ":"}
	for i, part := range parts {
		var longer []string
		for _, name := range names {
			if i > 0 {
				name += "."
			}
			longer = append(longer, name+part, name+`"`+strings.ReplaceAll(part, `"`, `""`)+`"`)
		}
		names = longer
	}
	return slices.ContainsFunc(names, func(name string) bool { return slices.Contains(o.Accepted, name) })
}
