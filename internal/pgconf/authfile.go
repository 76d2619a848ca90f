package pgconf

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
)

// Token is a word of pg_hba.conf or pg_ident.conf without its quotes.
type Token struct {
	Text string
	// Quoted is set if the word began with a quote: then "all" is a database
	// of that name, and "+x" and "@x" are what they look like.
	Quoted bool
}

// Keyword returns a word that the server interprets: all, sameuser, +group,
// @file, an address.
func Keyword(text string) Token { return Token{Text: text} }

// Literal returns a name that means itself. The server interprets even a
// quoted name if it begins with a slash: since 16, as a regular expression.
func Literal(name string) Token { return Token{Text: name, Quoted: true} }

// Include is a directive of pg_hba.conf or pg_ident.conf (since 16): include,
// include_if_exists or include_dir.
type Include struct {
	Directive, Path string
	Line            int
}

// record is what one line, with those that continue it, consists of: fields,
// each a list of words.
type record struct {
	first, count int // physical lines, counted from 0
	fields       [][]Token
}

// tokenizeAuth splits text as tokenize_auth_file in hba.c does since 14, and
// leaves out records without a field.
func tokenizeAuth(text string) []record {
	var records []record
	physical := strings.Split(text, "\n")
	for i := 0; i < len(physical); {
		line, count := joinContinued(physical[i:])
		var fields [][]Token
		for rest := line; rest != ""; {
			var field []Token
			if field, rest = nextField(rest); field != nil {
				fields = append(fields, field)
			}
		}
		if fields != nil {
			records = append(records, record{i, count, fields})
		}
		i += count
	}
	return records
}

// joinContinued joins the first line with the lines that continue it. The
// backslash must stand after the place of the last one, or two backslashes
// before two newlines would take three lines.
func joinContinued(lines []string) (line string, count int) {
	var joined []byte
	for _, next := range lines {
		count++
		before := len(joined)
		joined = bytes.TrimRight(append(joined, next...), "\r")
		last := len(joined) - 1
		if last < before || joined[last] != '\\' {
			break
		}
		joined = joined[:last]
	}
	return string(joined), count
}

// nextField reads words up to one that no comma follows (next_field_expand).
func nextField(s string) (field []Token, rest string) {
	for {
		token, found, comma, rest := nextToken(s)
		if !found {
			return field, rest
		}
		field = append(field, token)
		if !comma {
			return field, rest
		}
		s = rest
	}
}

// nextToken reads a word as next_token in hba.c does. The comma that ends it
// is left in rest.
func nextToken(s string) (token Token, found, comma bool, rest string) {
	i := span(s, func(c byte) bool { return isBlank(c) || c == ',' }, len(s))
	var text []byte
	inQuote, wasQuote, sawQuote := false, false, false
	for ; i < len(s) && (inQuote || !isBlank(s[i])); i++ {
		c := s[i]
		if c == '#' && !inQuote {
			i = len(s)
			break
		}
		if c == ',' && !inQuote {
			comma = true
			break
		}
		if c != '"' || wasQuote {
			text = append(text, c)
		}
		wasQuote = inQuote && c == '"' && !wasQuote
		if c == '"' {
			inQuote, sawQuote = !inQuote, true
			token.Quoted = token.Quoted || len(text) == 0
		}
	}
	token.Text = string(text)
	return token, sawQuote || len(text) > 0, comma, s[i:]
}

func isBlank(c byte) bool { return c == ' ' || c == '\t' || c == '\r' }

// include returns the directive that r is, if it is one: only a record of two
// fields can be.
func (r record) include() (Include, bool) {
	if len(r.fields) != 2 {
		return Include{}, false
	}
	directive, path := r.fields[0][0].Text, r.fields[1][0].Text
	switch directive {
	case "include", "include_if_exists", "include_dir":
		return Include{directive, path, r.first + 1}, true
	}
	return Include{}, false
}

// format returns the word as it is written.
func (t Token) format() (string, error) {
	if strings.ContainsAny(t.Text, "\n\r\x00") {
		return "", errors.New("a name with a line break cannot be written to pg_hba.conf or pg_ident.conf; rename it")
	}
	special := func(s string) bool { return strings.ContainsAny(s, " \t,#\"") }
	switch {
	case t.Quoted || t.Text == "" || special(t.Text[:1]):
		return quoteWord(t.Text), nil
	case special(t.Text):
		// A quote further in keeps the meaning of the first character.
		return t.Text[:1] + quoteWord(t.Text[1:]), nil
	case strings.HasSuffix(t.Text, `\`):
		return t.Text + `""`, nil // else it would continue the line
	}
	return t.Text, nil
}

func quoteWord(s string) string {
	return `"` + strings.ReplaceAll(s, `"`, `""`) + `"`
}

// formatFields returns a line of fields, aligned with blanks.
func formatFields(fields [][]Token) (string, error) {
	var b strings.Builder
	for i, field := range fields {
		if i > 0 {
			b.WriteByte(' ')
		}
		for j, token := range field {
			if j > 0 {
				b.WriteByte(',')
			}
			word, err := token.format()
			if err != nil {
				return "", fmt.Errorf("write field %d: %w", i+1, err)
			}
			b.WriteString(word)
		}
	}
	return b.String(), nil
}

// fields hands out a record's fields in turn, and keeps the first complaint.
type fields struct {
	rest   [][]Token
	reason string
}

// list returns the next field.
func (f *fields) list(what string) []Token {
	if f.reason != "" {
		return nil
	}
	if len(f.rest) == 0 {
		f.reason = "the line ends before the " + what
		return nil
	}
	field := f.rest[0]
	f.rest = f.rest[1:]
	return field
}

// one returns the next field, which must be a single word.
func (f *fields) one(what string) Token {
	field := f.list(what)
	if len(field) > 1 {
		f.reason = "several values for the " + what
	}
	if f.reason != "" {
		return Token{}
	}
	return field[0]
}
