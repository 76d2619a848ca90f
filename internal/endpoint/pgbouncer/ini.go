package pgbouncer

import (
	"fmt"
	"strings"
)

// item is one thing in a configuration file: a section's start, a setting or an include directive.
// Positions are offsets in the text, so that an edit leaves every other byte alone.
type item struct {
	kind  itemKind
	name  string // section or key
	value string // as written, or the file to include
	start int    // where value starts in the text; it ends at start+len(value)
	line  int
}

type itemKind int

const (
	section itemKind = iota
	setting
	include
)

// parseINI reads a file as PgBouncer does (libusual, cfparser.c): comments are whole lines, an
// include takes the rest of its line, several items may follow a section's bracket on one line, and a
// value goes to the end of its line. Quoted names are those of versions that allow them.
func parseINI(text string) ([]item, error) {
	if strings.ContainsRune(text, 0) {
		return nil, fmt.Errorf("line %d: a NUL byte ends the file for PgBouncer", lineAt(text, strings.IndexByte(text, 0)))
	}
	var items []item
	for p := 0; ; {
		p = skip(text, p, " \t\n\v\f\r")
		if p == len(text) {
			return items, nil
		}
		found, next, err := nextItem(text, p)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", lineAt(text, p), err)
		}
		if found != nil {
			found.line = lineAt(text, p)
			items = append(items, *found)
		}
		p = next
	}
}

// nextItem reads what starts at p; a comment is no item.
func nextItem(text string, p int) (*item, int, error) {
	end := p + len(lineFrom(text[p:]))
	switch {
	case isInclude(text[p:end]):
		start := skip(text, p+len(includeDirective), " \t")
		return &item{kind: include, value: trimRight(text[start:end]), start: start}, end, nil
	case text[p] == '#' || text[p] == ';':
		return nil, end, nil
	case text[p] == '[':
		name, _, closed := strings.Cut(text[p+1:end], "]")
		if !closed {
			return nil, 0, fmt.Errorf("section %q has no closing bracket", text[p:end])
		}
		return &item{kind: section, name: name, start: p + 1}, p + 1 + len(name) + 1, nil
	}
	name, after, err := parseName(text, p, end)
	if err != nil {
		return nil, 0, err
	}
	after = skip(text[:end], after, " \t")
	if after == end || text[after] != '=' {
		return nil, 0, fmt.Errorf("%q is not of the form name = value", trimRight(text[p:end]))
	}
	start := skip(text[:end], after+1, " \t")
	return &item{kind: setting, name: name, value: trimRight(text[start:end]), start: start}, end, nil
}

const includeDirective = "%include"

func isInclude(line string) bool {
	rest, is := strings.CutPrefix(line, includeDirective)
	return is && rest != "" && (rest[0] == ' ' || rest[0] == '\t')
}

// parseName reads a key: plain characters, or quoted as an SQL identifier is.
func parseName(text string, p, end int) (name string, after int, err error) {
	if text[p] != '"' {
		after = p
		for after < end && isNameByte(text[after]) {
			after++
		}
		return text[p:after], after, nil
	}
	var b strings.Builder
	for after = p + 1; after < end; after++ {
		if text[after] == '"' {
			if after+1 == end || text[after+1] != '"' {
				return b.String(), after + 1, nil
			}
			after++
		}
		b.WriteByte(text[after])
	}
	return "", 0, fmt.Errorf("%q has no closing quote", trimRight(text[p:end]))
}

func isNameByte(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || strings.IndexByte("_.-*", c) >= 0
}

func skip(text string, p int, space string) int {
	for p < len(text) && strings.IndexByte(space, text[p]) >= 0 {
		p++
	}
	return p
}

func trimRight(s string) string { return strings.TrimRight(s, " \t\n\v\f\r") }

func lineFrom(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return line
}

func lineAt(text string, p int) int { return 1 + strings.Count(text[:p], "\n") }
