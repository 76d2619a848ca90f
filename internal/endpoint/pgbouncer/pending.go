package pgbouncer

import (
	"fmt"
	"strconv"
	"strings"
)

// A RELOAD is not all or nothing: PgBouncer sets every setting to its default first and stops at the
// first line that it cannot use (libusual, cfparser.c, fill_defaults). Until 1.25 it does not even say so on
// the console. A mistake that somebody has written into the file, and not loaded yet, would so take
// effect in the middle of a switch. Therefore settings are compared with those in use beforehand.

// unusable finds settings that PgBouncer would not take: unknown ones, and words for numbers.
func (c *config) unusable(inUse map[string]string) error {
	for _, e := range c.settings {
		now, known := inUse[e.item.name]
		if !known {
			return fmt.Errorf("line %d of %s: PgBouncer has no setting %q", e.item.line, e.file.path, e.item.name)
		}
		_, isNumber := number(now)
		_, canBe := number(e.item.value)
		if isNumber && !canBe {
			return fmt.Errorf("line %d of %s: %s has to be a number, not %q", e.item.line, e.file.path, e.item.name, e.item.value)
		}
	}
	return nil
}

// pending finds a setting whose value in the file is not the one in use, as far as that can be told:
// numbers and the pool mode are; names of files, for example, may be written in several ways.
func (c *config) pending(inUse map[string]string) (line entry, now string, is bool) {
	last := map[string]entry{}
	for _, e := range c.settings {
		last[e.item.name] = e
	}
	for _, e := range c.settings {
		name := e.item.name
		if last[name] != e {
			continue
		}
		switch name {
		case "unix_socket_mode", "verbose": // octal; set on the command line too
			continue
		}
		if _, ours := overrides[name]; ours { // perhaps a session holds clients at this moment
			continue
		}
		now := inUse[name]
		if name == poolSize && now == "0" { // likewise
			continue
		}
		a, isNumber := number(now)
		b, wasNumber := number(e.item.value)
		if isNumber && wasNumber && a != b || name == "pool_mode" && !strings.EqualFold(now, e.item.value) {
			return e, now, true
		}
	}
	return entry{}, "", false
}

// number reads what PgBouncer takes for a number or for yes and no.
func number(s string) (float64, bool) {
	switch strings.ToLower(s) {
	case "yes", "on", "true", "t", "y":
		return 1, true
	case "no", "off", "false", "f", "n":
		return 0, true
	}
	if i, err := strconv.ParseInt(s, 0, 64); err == nil {
		return float64(i), true
	}
	f, err := strconv.ParseFloat(s, 64)
	return f, err == nil
}
