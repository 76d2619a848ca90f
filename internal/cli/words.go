package cli

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/pgleap/pgleap/internal/report"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// How values are written for people.

func version(v upgrade.VersionNum) string {
	if v == 0 {
		return "-"
	}
	return v.String()
}

func endpoint(e upgrade.Endpoint) string {
	switch {
	case e.Driver == "":
		return "none"
	case e.Owned:
		return fmt.Sprintf("%s (%s)", e.Listen, e.Driver)
	}
	return fmt.Sprintf("%s (%s, adopted)", e.Listen, e.Driver)
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

func orDash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

func timestamp(t time.Time) string { return t.Local().Format("2006-01-02 15:04:05") }

func timestampOr(t *time.Time, none string) string {
	if t == nil {
		return none
	}
	return timestamp(*t)
}

// printable replaces what a terminal would take for a command, in texts that others have written.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return unicode.ReplacementChar
	}, text)
}

// amount writes what a progress counts.
func amount(n int64, unit string) string {
	if unit == "bytes" {
		return report.Size(n)
	}
	return strconv.FormatInt(n, 10)
}
