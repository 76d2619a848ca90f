package pgconf

import (
	"fmt"
	"strings"
)

// edit is what a change did to the text.
type edit struct {
	access   bool     // in pg_hba.conf
	old, new []string // the lines; those of new replace those of old
}

// Diff shows what changes did to the files as a unified diff without context:
// lines that stay, and comments, are nobody's business. Values that may be
// secrets are not shown.
func Diff(changes []Change, source, target Description) string {
	var b strings.Builder
	file, grown := "", 0
	for _, c := range changes {
		if c.edit == nil {
			continue
		}
		if c.File != file {
			file, grown = c.File, 0
			fmt.Fprintf(&b, "--- %s\n+++ %s for the target\n", file, file)
		}
		c.edit.write(&b, c.Line, c.Line+grown, source, target)
		grown += len(c.edit.new) - len(c.edit.old)
	}
	return b.String()
}

func (e *edit) write(b *strings.Builder, before, after int, source, target Description) {
	fmt.Fprintf(b, "@@ -%s +%s @@\n", lineSpan(before, len(e.old)), lineSpan(after, len(e.new)))
	for _, side := range []struct {
		sign  string
		lines []string
	}{{"-", e.old}, {"+", e.new}} {
		for _, line := range side.lines {
			if e.access {
				line = hbaLineShown(line)
			} else {
				line = lineShown(line, source, target)
			}
			fmt.Fprintf(b, "%s%s\n", side.sign, line)
		}
	}
}

// lineSpan is a range of lines as diff writes it.
func lineSpan(first, count int) string {
	if count == 1 {
		return fmt.Sprint(first)
	}
	return fmt.Sprintf("%d,%d", first, count)
}
