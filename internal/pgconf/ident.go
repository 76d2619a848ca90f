package pgconf

import "errors"

// Ident is what pg_ident.conf says. The text itself stays with the caller.
type Ident struct {
	Lines    []IdentLine
	Includes []Include // not followed
}

// IdentLine lets a user of the operating system, or of a certificate, be a
// role.
type IdentLine struct {
	Map          string
	SystemUser   Token
	DatabaseUser Token
	Line         int // counted from 1; 0 if it was not read
}

// ParseIdent reads the text of pg_ident.conf. The error joins a *SyntaxError
// for each wrong line.
func ParseIdent(text []byte) (*Ident, error) {
	ident := &Ident{}
	var errs []error
	for _, r := range tokenizeAuth(string(text)) {
		if include, ok := r.include(); ok {
			ident.Includes = append(ident.Includes, include)
			continue
		}
		f := &fields{rest: r.fields}
		line := IdentLine{f.one("map").Text, f.one("system user"), f.one("database user"), r.first + 1}
		if f.reason != "" {
			errs = append(errs, &SyntaxError{Line: line.Line, Reason: f.reason})
		}
		ident.Lines = append(ident.Lines, line)
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return ident, nil
}

// Format returns the line as it is written to pg_ident.conf.
func (l IdentLine) Format() (string, error) {
	return formatFields([][]Token{{Keyword(l.Map)}, {l.SystemUser}, {l.DatabaseUser}})
}
