package pgconf

import "strings"

// kind is a token's kind in postgresql.conf, as guc-file.l names them.
type kind int

const (
	endOfLine kind = iota
	identifier
	qualifiedIdentifier
	quotedString
	unquotedString
	integer
	realNumber
	equals
	invalid
)

type token struct {
	kind       kind
	start, end int
}

// scanner yields the tokens of one line. No token of guc-file.l crosses a
// newline, not even a quoted string, so lines can be scanned one by one.
type scanner struct {
	line string
	pos  int
}

func (s *scanner) next() token {
	for s.pos < len(s.line) {
		switch s.line[s.pos] {
		case ' ', '\t', '\r':
			s.pos++
		case '#':
			s.pos = len(s.line)
		default:
			k, n := lex(s.line[s.pos:])
			t := token{k, s.pos, s.pos + n}
			s.pos = t.end
			return t
		}
	}
	return token{endOfLine, s.pos, s.pos}
}

// lex returns kind and length of the token that s begins with. As in flex,
// the longest match wins, and the earlier rule among matches of one length:
// "a.b" is therefore a qualified identifier, and no legal value.
func lex(s string) (kind, int) {
	best, length := invalid, 0
	for _, rule := range [...]struct {
		kind  kind
		match func(string) int
	}{
		{identifier, matchIdentifier},
		{qualifiedIdentifier, matchQualified},
		{quotedString, matchQuoted},
		{unquotedString, matchUnquoted},
		{integer, matchInteger},
		{realNumber, matchReal},
		{equals, func(s string) int { return span(s, func(c byte) bool { return c == '=' }, 1) }},
	} {
		if n := rule.match(s); n > length {
			best, length = rule.kind, n
		}
	}
	return best, max(length, 1)
}

func matchIdentifier(s string) int {
	if s == "" || !isLetter(s[0]) {
		return 0
	}
	return span(s, isLetterOrDigit, len(s))
}

func matchQualified(s string) int {
	n := matchIdentifier(s)
	if n == 0 || n == len(s) || s[n] != '.' {
		return 0
	}
	m := matchIdentifier(s[n+1:])
	if m == 0 {
		return 0
	}
	return n + 1 + m
}

// matchQuoted returns the longest quoted string: a quote that ends one may
// turn out to be the first half of a doubled quote.
func matchQuoted(s string) int {
	if s == "" || s[0] != '\'' {
		return 0
	}
	end := 0
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '\'':
			end = i + 1
			if i+1 == len(s) || s[i+1] != '\'' {
				return end
			}
			i++
		}
	}
	return end
}

func matchUnquoted(s string) int {
	if s == "" || !isLetter(s[0]) {
		return 0
	}
	return span(s, func(c byte) bool {
		return isLetterOrDigit(c) || strings.IndexByte("-._:/", c) >= 0
	}, len(s))
}

func matchInteger(s string) int {
	sign := matchSign(s)
	digits := span(s[sign:], isDigit, len(s))
	if digits == 0 {
		return 0
	}
	n := sign + digits
	if rest := s[sign:]; len(rest) > 2 && rest[:2] == "0x" {
		if hex := span(rest[2:], isHexDigit, len(rest)); hex > 0 {
			n = sign + 2 + hex
		}
	}
	return n + span(s[n:], isUnitLetter, len(s))
}

func matchReal(s string) int {
	n := matchSign(s)
	n += span(s[n:], isDigit, len(s))
	if n == len(s) || s[n] != '.' {
		return 0
	}
	n++
	n += span(s[n:], isDigit, len(s))
	if n < len(s) && (s[n] == 'e' || s[n] == 'E') {
		exponent := n + 1 + matchSign(s[n+1:])
		if digits := span(s[exponent:], isDigit, len(s)); digits > 0 {
			n = exponent + digits
		}
	}
	return n
}

func matchSign(s string) int {
	return span(s, func(c byte) bool { return c == '-' || c == '+' }, 1)
}

// span counts the bytes at the start of s that are in class, up to limit.
func span(s string, class func(byte) bool, limit int) int {
	n := 0
	for n < len(s) && n < limit && class(s[n]) {
		n++
	}
	return n
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func isHexDigit(c byte) bool {
	return isDigit(c) || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

func isUnitLetter(c byte) bool { return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' }

// isLetter takes every byte above ASCII for a letter, as guc-file.l does.
func isLetter(c byte) bool { return isUnitLetter(c) || c == '_' || c >= 0x80 }

func isLetterOrDigit(c byte) bool { return isLetter(c) || isDigit(c) }
