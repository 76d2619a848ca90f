package pgconf

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// Judge tells whether the target takes a value that the source takes, and
// whether it is still the same people who may set it; nil if all is well. It
// knows what the two servers say of the setting: what only a start can show
// (a library, a time zone, a file) it does not.
func Judge(s Setting, source, target Description) *Change {
	after, ok := target.Get(s.Name)
	if !ok {
		return nil
	}
	change := &Change{Name: s.Name, File: s.File, Line: s.Line}
	before, _ := source.Get(s.Name)
	if reason := refused(s.Value, before, after); reason != "" {
		change.Kind, change.From, change.Reason = Invalid, Shown(s.Name, s.Value, source, target), reason
		return change
	}
	if before.Context != "" && before.Context != after.Context {
		change.Kind = Context
		change.Reason = fmt.Sprintf("it could be set %s, and can be set %s now", whoSets(before.Context), whoSets(after.Context))
		return change
	}
	return nil
}

// refused says why a parameter does not take a value; empty if it may.
func refused(value string, before, after Parameter) string {
	switch after.Type {
	case "integer", "real":
		return outOfRange(value, after)
	case "bool":
		if before.Type != "bool" && !isTrue(value) && !isFalse(value) {
			return "it takes only on and off now"
		}
	case "enum":
		// A server takes more spellings than it lists (guc_tables.c, the hidden
		// entries), so only one that was listed and is not any more is refused.
		same := func(v string) bool { return strings.EqualFold(v, value) }
		if slices.ContainsFunc(before.Values, same) && !slices.ContainsFunc(after.Values, same) {
			return "it takes only " + strings.Join(after.Values, ", ")
		}
	}
	return ""
}

func outOfRange(value string, p Parameter) string {
	amount, ok := parseAmount(value, p.Unit)
	if !ok {
		return "it takes only a number" + inUnit(p.Unit)
	}
	if p.Type == "integer" {
		amount = math.RoundToEven(amount)
	}
	least, okLeast := parseNumber(p.Min)
	most, okMost := parseNumber(p.Max)
	if okLeast && amount < least || okMost && amount > most {
		return fmt.Sprintf("it takes only %s to %s", p.Display(p.Min), p.Display(p.Max))
	}
	return ""
}

func inUnit(base string) string {
	units, _ := unitsOf(base)
	if units == nil {
		return ""
	}
	var names []string
	for _, u := range slices.Backward(units) {
		names = append(names, u.name)
	}
	return ", in " + strings.Join(names, ", ")
}

// isTrue follows parse_bool in bool.c, as isFalse does.
func isTrue(value string) bool {
	value = strings.ToLower(value)
	return value == "1" || value == "on" ||
		value != "" && (strings.HasPrefix("true", value) || strings.HasPrefix("yes", value))
}

// whoSets explains a context (manual, view pg_settings).
func whoSets(context string) string {
	words := map[string]string{
		"internal":          "by nobody",
		"postmaster":        "at the start of the server only",
		"sighup":            "in the configuration files only",
		"superuser-backend": "by superusers, when they connect",
		"backend":           "by everybody, when they connect",
		"superuser":         "by superusers, at any time",
		"user":              "by everybody, at any time",
	}
	if text, ok := words[context]; ok {
		return text
	}
	return "in the context " + context
}
