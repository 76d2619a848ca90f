package cli

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"

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

// pause writes a short duration exactly enough.
func pause(d time.Duration) string {
	switch {
	case d < time.Second:
		return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond))
	case d < time.Minute:
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
	return span(d)
}

// span writes a long duration, to the second.
func span(d time.Duration) string { return d.Round(time.Second).String() }

// size writes a number of bytes.
func size(n int64) string {
	if n < 1<<10 {
		return fmt.Sprintf("%d B", n)
	}
	value, unit := float64(n), -1
	for value >= 1<<10 && unit < len(sizeUnits)-1 {
		value, unit = value/(1<<10), unit+1
	}
	return fmt.Sprintf("%.1f %s", value, sizeUnits[unit])
}

var sizeUnits = []string{"KiB", "MiB", "GiB", "TiB"}

// amount writes what a progress counts.
func amount(n int64, unit string) string {
	if unit == "bytes" {
		return size(n)
	}
	return strconv.FormatInt(n, 10)
}
