package pgconf

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// HBA is what pg_hba.conf says. The text itself stays with the caller: it is
// changed by PrependBlock, RemoveBlock and TranslateHBA.
type HBA struct {
	Lines    []HBALine
	Includes []Include // not followed
}

// HBALine is one rule of pg_hba.conf: who may connect, and how.
type HBALine struct {
	Type      string // local, host, hostssl, hostnossl, hostgssenc, hostnogssenc
	Databases []Token
	Users     []Token
	Address   Token  // not with local
	Mask      string // if it is a field of its own
	Method    string
	Options   []Option
	Line      int // counted from 1; 0 if it was not read
}

// Option is a name=value pair behind a method.
type Option struct {
	Name, Value string
}

// ParseHBA reads the text of pg_hba.conf. It checks the shape of lines, as
// parse_hba_line in hba.c does, and leaves methods, options and addresses to
// the server. The error joins a *SyntaxError for each wrong line.
func ParseHBA(text []byte) (*HBA, error) {
	hba := &HBA{}
	var errs []error
	for _, r := range tokenizeAuth(string(text)) {
		if include, ok := r.include(); ok {
			hba.Includes = append(hba.Includes, include)
			continue
		}
		line, reason := parseHBALine(r)
		if reason != "" {
			errs = append(errs, &SyntaxError{Line: line.Line, Reason: reason})
		}
		hba.Lines = append(hba.Lines, line)
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return hba, nil
}

func parseHBALine(r record) (line HBALine, reason string) {
	f := &fields{rest: r.fields}
	line.Line = r.first + 1
	line.Type = f.one("connection type").Text
	if f.reason == "" && !slices.Contains(connectionTypes(), line.Type) {
		return line, "unknown connection type"
	}
	line.Databases = f.list("database")
	line.Users = f.list("user")
	if line.Type != "local" {
		line.Address = f.one("address")
		if f.reason == "" && needsMask(line.Address) {
			line.Mask = f.one("mask of the address").Text
		}
	}
	line.Method = f.one("method").Text
	if f.reason != "" {
		return line, f.reason
	}
	for _, field := range f.rest {
		for _, token := range field {
			name, value, ok := strings.Cut(token.Text, "=")
			if !ok {
				return line, "an option is not of the form name=value"
			}
			line.Options = append(line.Options, Option{name, value})
		}
	}
	return line, ""
}

func connectionTypes() []string {
	return []string{"local", "host", "hostssl", "hostnossl", "hostgssenc", "hostnogssenc"}
}

// needsMask tells whether the mask is a field of its own: behind an IP address
// without a slash. Like getaddrinfo, it takes short forms such as 127.1 for
// addresses and not for host names.
func needsMask(address Token) bool {
	if strings.Contains(address.Text, "/") || address.Text == "" {
		return false
	}
	_, err := netip.ParseAddr(address.Text)
	return err == nil || strings.Trim(address.Text, "0123456789.") == ""
}

// Format returns the line as it is written to pg_hba.conf. It fails for names
// with a line break, which the file cannot hold, and if something is missing.
func (l HBALine) Format() (string, error) {
	if err := l.check(); err != nil {
		return "", fmt.Errorf("write pg_hba.conf line: %w", err)
	}
	all := [][]Token{{Keyword(l.Type)}, l.Databases, l.Users}
	if l.Type != "local" {
		all = append(all, []Token{l.Address})
	}
	if l.Mask != "" {
		all = append(all, []Token{Keyword(l.Mask)})
	}
	all = append(all, []Token{Keyword(l.Method)})
	for _, o := range l.Options {
		text := o.Name + "=" + o.Value
		all = append(all, []Token{{text, strings.ContainsAny(text, " \t,#\"@")}})
	}
	return formatFields(all)
}

func (l HBALine) check() error {
	switch {
	case !slices.Contains(connectionTypes(), l.Type):
		return errors.New("unknown connection type")
	case len(l.Databases) == 0 || len(l.Users) == 0:
		return errors.New("it names no database or no user")
	case l.Type != "local" && l.Address == Token{}:
		return errors.New("it has no address")
	case l.Method == "":
		return errors.New("it has no method")
	}
	return nil
}

// TranslateHBA makes the text of pg_hba.conf fit for the target, which would
// not start with a line that it does not understand. What is replaced stays
// above as a comment. Included files are not followed.
func TranslateHBA(text []byte, v Versions) ([]byte, []Change, error) {
	if _, err := ParseHBA(text); err != nil {
		return nil, nil, err
	}
	var changes []Change
	lines := strings.Split(string(text), "\n")
	// From the end, so that what is inserted moves nothing that is still to do.
	for _, r := range slices.Backward(tokenizeAuth(string(text))) {
		if _, ok := r.include(); ok {
			continue
		}
		old, _ := parseHBALine(r)
		line, change := translateHBALine(old, v)
		if change == nil {
			continue
		}
		written, err := line.Format()
		if err != nil {
			return nil, nil, &SyntaxError{Line: old.Line, Reason: err.Error()}
		}
		change.edit = &edit{access: true, old: slices.Clone(lines[r.first : r.first+r.count])}
		for i := range lines[r.first : r.first+r.count] {
			if lines[r.first+i] != "" {
				lines[r.first+i] = "#" + lines[r.first+i]
			}
		}
		eol := ""
		if strings.HasSuffix(lines[r.first], "\r") {
			eol = "\r"
		}
		// Above the old line: that could end the text, on a backslash.
		lines = slices.Insert(lines, r.first, remark+change.Reason+eol, written+eol)
		change.edit.new = slices.Clone(lines[r.first : r.first+r.count+2])
		changes = append(changes, *change)
	}
	slices.Reverse(changes)
	return []byte(strings.Join(lines, "\n")), changes, nil
}

// translateHBALine returns the line for the target; change is nil if it is the
// same.
func translateHBALine(l HBALine, v Versions) (_ HBALine, change *Change) {
	change = &Change{Line: l.Line}
	if l.Method == "radius" && v.Source < 19 && v.Target >= 19 {
		// Without the line, a later and weaker one could match.
		l.Method, l.Options = "reject", nil
		change.Name = "radius"
		return l, change.dropped("PostgreSQL 19 removed the method radius: these clients are rejected until another method is chosen")
	}
	i := slices.IndexFunc(l.Options, func(o Option) bool {
		return o.Name == "clientcert" && slices.Contains([]string{"0", "1", "no-verify"}, o.Value)
	})
	if i < 0 || v.Source >= 14 || v.Target < 14 {
		return l, nil
	}
	change.Kind, change.Name = Changed, "clientcert"
	change.From = "clientcert=" + l.Options[i].Value
	change.Reason = "PostgreSQL 14 takes only clientcert=verify-ca and clientcert=verify-full"
	l.Options = slices.Clone(l.Options)
	// The method cert implies verify-full, and 14 refuses less with it.
	if l.Options[i].Value == "1" && l.Method != "cert" {
		l.Options[i].Value = "verify-ca"
		change.To = "clientcert=verify-ca"
		return l, change
	}
	l.Options = slices.Delete(l.Options, i, i+1)
	return l, change
}
