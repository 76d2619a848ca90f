package precheck

import (
	"fmt"
	"strings"
	"unicode"
)

// pasteable writes a statement so that it survives a terminal, a chat and an editor: a character that cannot be
// seen, such as a line break in a name, is written as an escape, in U&"..." for a name and E'...' for a string
// (lexical structure, 4.1.1 and 4.1.2). Everything else stays as it is. Statements have no comments and no
// dollar quotes.
func pasteable(sql string) string {
	var b strings.Builder
	for rest := sql; rest != ""; {
		start := strings.IndexAny(rest, `"'`)
		if start < 0 {
			b.WriteString(rest)
			break
		}
		length := quotedLength(rest[start:])
		before, quoted := rest[:start], rest[start:start+length]
		rest = rest[start+length:]
		b.WriteString(before)
		isEscaped := quoted[0] == '\'' && endsWithWord(before, "E")
		b.WriteString(visible(quoted, isEscaped))
	}
	return b.String()
}

// quotedLength is how long the quoted text is that a string begins with; the quote is doubled within. In E'...' a
// backslash before the quote does not occur: PostgreSQL's own functions write it doubled.
func quotedLength(text string) int {
	quote := text[0]
	for i := 1; i < len(text); i++ {
		if text[i] != quote {
			continue
		}
		if i+1 < len(text) && text[i+1] == quote {
			i++
			continue
		}
		return i + 1
	}
	return len(text)
}

// endsWithWord tells whether a word stands at the end of a text, and no longer word does.
func endsWithWord(text, word string) bool {
	before, ok := strings.CutSuffix(text, word)
	return ok && (before == "" || strings.ContainsAny(before[len(before)-1:], " ,(="))
}

// visible is quoted text with its unseen characters escaped.
func visible(quoted string, isEscaped bool) string {
	unseen := func(r rune) bool { return !unicode.IsPrint(r) }
	if !strings.ContainsFunc(quoted, unseen) {
		return quoted
	}
	isName := quoted[0] == '"'
	var b strings.Builder
	switch {
	case isName:
		b.WriteString("U&")
	case !isEscaped:
		b.WriteString("E")
	}
	for _, r := range quoted {
		switch {
		case r == '\\' && !isEscaped:
			b.WriteString(`\\`)
		case !unseen(r):
			b.WriteRune(r)
		case isName:
			fmt.Fprintf(&b, `\+%06X`, r)
		default:
			fmt.Fprintf(&b, `\U%08X`, r)
		}
	}
	return b.String()
}
