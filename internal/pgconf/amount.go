package pgconf

import (
	"math"
	"slices"
	"strconv"
	"strings"
)

// unit is a factor of what it measures.
type unit struct {
	name   string
	factor float64
}

// memoryUnits and timeUnits are those that guc.c knows
// (memory_unit_conversion_table, time_unit_conversion_table), the greatest
// first: of bytes, and of microseconds.
func memoryUnits() []unit {
	return []unit{{"TB", 1 << 40}, {"GB", 1 << 30}, {"MB", 1 << 20}, {"kB", 1 << 10}, {"B", 1}}
}

func timeUnits() []unit {
	return []unit{{"d", 86400e6}, {"h", 3600e6}, {"min", 60e6}, {"s", 1e6}, {"ms", 1e3}, {"us", 1}}
}

// unitsOf returns the units in which amounts of a parameter's unit may be
// given, and what the parameter's own is worth: 8kB is a page of 8192 bytes.
func unitsOf(base string) (units []unit, worth float64) {
	digits := strings.TrimLeft(base, "0123456789")
	count, err := strconv.ParseFloat(base[:len(base)-len(digits)], 64)
	if err != nil {
		count = 1
	}
	for _, units := range [][]unit{memoryUnits(), timeUnits()} {
		for _, u := range units {
			if u.name == digits {
				return units, count * u.factor
			}
		}
	}
	return nil, 1
}

// parseAmount reads a number as guc.c does (parse_int, parse_real), and
// returns it in the unit base. ok is false for what the server would refuse.
func parseAmount(text, base string) (amount float64, ok bool) {
	text = strings.Trim(text, " \t\n\v\f\r")
	end := len(text)
	for end > 0 && isUnitLetter(text[end-1]) && !strings.HasPrefix(strings.ToLower(text), "0x") {
		end--
	}
	number, suffix := strings.TrimRight(text[:end], " \t\n\v\f\r"), text[end:]
	if amount, ok = parseNumber(number); !ok || suffix == "" {
		return amount, ok
	}
	units, worth := unitsOf(base)
	i := slices.IndexFunc(units, func(u unit) bool { return u.name == suffix })
	if i < 0 {
		return 0, false
	}
	return amount * units[i].factor / worth, true
}

// parseNumber takes what strtol takes with any base, or else strtod.
func parseNumber(text string) (float64, bool) {
	if strings.Contains(text, "_") {
		return 0, false
	}
	if n, err := strconv.ParseInt(text, 0, 64); err == nil {
		return float64(n), true
	}
	n, err := strconv.ParseFloat(text, 64)
	return n, err == nil && !math.IsNaN(n) && !math.IsInf(n, 0)
}

// Display writes a value as people do: 16384 pages of 8kB are 128MB. What is
// no number, or has no unit, stays as it is.
func (p Parameter) Display(value string) string {
	units, worth := unitsOf(p.Unit)
	n, err := strconv.ParseInt(value, 10, 64)
	if err != nil || n <= 0 || units == nil {
		return value
	}
	total := float64(n) * worth
	for _, u := range units {
		if whole := total / u.factor; whole >= 1 && whole == math.Trunc(whole) {
			return strconv.FormatFloat(whole, 'f', -1, 64) + u.name
		}
	}
	return value
}
