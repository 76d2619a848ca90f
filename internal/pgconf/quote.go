package pgconf

import "strings"

// Quote returns value as it is written in postgresql.conf: as it is if the
// server reads it back as one plain word or number, else in single quotes.
// A NUL byte, which no setting can hold, ends the value.
func Quote(value string) string {
	if k, n := lex(value + "\n"); n == len(value) && (k == identifier || k == integer || k == realNumber) {
		return value
	}
	return quoteAlways(value)
}

func quoteAlways(value string) string {
	value, _, _ = strings.Cut(value, "\x00")
	var b strings.Builder
	b.WriteByte('\'')
	for i := range len(value) {
		switch c := value[i]; c {
		case '\'':
			b.WriteString("''")
		case '\\':
			b.WriteString(`\\`)
		case '\n':
			b.WriteString(`\n`)
		case '\r':
			b.WriteString(`\r`)
		default:
			b.WriteByte(c)
		}
	}
	b.WriteByte('\'')
	return b.String()
}

// unquote undoes quoting as DeescapeQuotedString in guc-file.l does. The
// string has passed matchQuoted.
func unquote(quoted string) string {
	s := quoted[1 : len(quoted)-1]
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\\':
			c, n := unescape(s[i+1:])
			out = append(out, c)
			i += n
		case s[i] == '\'':
			out = append(out, '\'')
			i++
		default:
			out = append(out, s[i])
		}
	}
	// The server holds values as C strings.
	value, _, _ := strings.Cut(string(out), "\x00")
	return value
}

// unescape returns the byte that the escape sequence at the start of s (its
// backslash is gone) stands for, and the length of the sequence.
func unescape(s string) (byte, int) {
	switch s[0] {
	case 'b':
		return '\b', 1
	case 'f':
		return '\f', 1
	case 'n':
		return '\n', 1
	case 'r':
		return '\r', 1
	case 't':
		return '\t', 1
	}
	octal := span(s, func(c byte) bool { return '0' <= c && c <= '7' }, 3)
	if octal == 0 {
		return s[0], 1
	}
	value := 0
	for _, c := range []byte(s[:octal]) {
		value = value<<3 + int(c-'0')
	}
	return byte(value), octal
}
