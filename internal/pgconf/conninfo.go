package pgconf

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// Conninfo is a libpq connection string as primary_conninfo holds one: parameters in order.
type Conninfo struct {
	params []connParam
}

type connParam struct{ name, value string }

// ParseConninfo reads a connection string in either of libpq's forms (fe-connect.c, conninfo_parse and
// conninfo_uri_parse). A URI with several hosts is refused. Errors do not quote the text, which may hold
// a password.
func ParseConninfo(text string) (Conninfo, error) {
	if strings.HasPrefix(text, "postgres://") || strings.HasPrefix(text, "postgresql://") {
		return parseConnURI(text)
	}
	var c Conninfo
	s := conninfoScanner{rest: text}
	for {
		s.space()
		if s.rest == "" {
			return c, nil
		}
		name, value, err := s.param()
		if err != nil {
			return Conninfo{}, err
		}
		c.Set(name, value)
	}
}

// conninfoScanner reads the keyword form.
type conninfoScanner struct{ rest string }

// isConnSpace is isspace() of the C locale.
func isConnSpace(c byte) bool { return c == ' ' || c >= '\t' && c <= '\r' }

func (s *conninfoScanner) space() {
	for s.rest != "" && isConnSpace(s.rest[0]) {
		s.rest = s.rest[1:]
	}
}

func (s *conninfoScanner) param() (name, value string, err error) {
	end := 0
	for end < len(s.rest) && s.rest[end] != '=' && !isConnSpace(s.rest[end]) {
		end++
	}
	name, s.rest = s.rest[:end], s.rest[end:]
	s.space()
	if name == "" || s.rest == "" || s.rest[0] != '=' {
		return "", "", errors.New("the connection string lacks a parameter's name, or the = behind it")
	}
	s.rest = s.rest[1:]
	s.space()
	if s.rest != "" && s.rest[0] == '\'' {
		value, err = s.quoted()
		return name, value, err
	}
	return name, s.bare(), nil
}

func (s *conninfoScanner) bare() string {
	var value []byte
	i := 0
	for ; i < len(s.rest) && !isConnSpace(s.rest[i]); i++ {
		if s.rest[i] == '\\' {
			if i++; i == len(s.rest) {
				break
			}
		}
		value = append(value, s.rest[i])
	}
	s.rest = s.rest[min(i, len(s.rest)):]
	return string(value)
}

func (s *conninfoScanner) quoted() (string, error) {
	var value []byte
	for i := 1; i < len(s.rest); i++ {
		switch c := s.rest[i]; c {
		case '\'':
			s.rest = s.rest[i+1:]
			return string(value), nil
		case '\\':
			if i++; i < len(s.rest) {
				value = append(value, s.rest[i])
			}
		default:
			value = append(value, c)
		}
	}
	return "", errors.New("the connection string has a quoted value without an end")
}

func parseConnURI(text string) (Conninfo, error) {
	uri, err := url.Parse(text)
	if err != nil || strings.Contains(uri.Host, ",") { // the error's text would quote a password
		return Conninfo{}, errors.New("the connection string is a URI that cannot be read, or that names several hosts")
	}
	var c Conninfo
	for name, value := range map[string]string{
		"host": uri.Hostname(), "port": uri.Port(), "user": uri.User.Username(), "dbname": strings.TrimPrefix(uri.Path, "/"),
	} {
		if value != "" {
			c.Set(name, value)
		}
	}
	if password, ok := uri.User.Password(); ok {
		c.Set("password", password)
	}
	query, err := url.ParseQuery(uri.RawQuery)
	if err != nil {
		return Conninfo{}, errors.New("the connection string is a URI whose parameters cannot be read")
	}
	for name, values := range query {
		if strings.Trim(name, "abcdefghijklmnopqrstuvwxyz_") != "" || name == "" {
			return Conninfo{}, errors.New("the connection string is a URI with a parameter that libpq does not know")
		}
		c.Set(name, values[len(values)-1])
	}
	slices.SortFunc(c.params, func(a, b connParam) int { return strings.Compare(a.name, b.name) })
	return c, nil
}

// Get returns a parameter's value; empty when it has none.
func (c *Conninfo) Get(name string) string {
	for _, p := range c.params {
		if p.name == name {
			return p.value
		}
	}
	return ""
}

// Set gives a parameter a value.
func (c *Conninfo) Set(name, value string) {
	for i := range c.params {
		if c.params[i].name == name {
			c.params[i].value = value
			return
		}
	}
	c.params = append(c.params, connParam{name, value})
}

// Remove takes a parameter out.
func (c *Conninfo) Remove(name string) {
	c.params = slices.DeleteFunc(c.params, func(p connParam) bool { return p.name == name })
}

// Clone is an independent copy.
func (c *Conninfo) Clone() Conninfo { return Conninfo{slices.Clone(c.params)} }

// String writes the connection string in the keyword form.
func (c *Conninfo) String() string {
	words := make([]string, 0, len(c.params))
	for _, p := range c.params {
		words = append(words, p.name+"="+quoteConnValue(p.value))
	}
	return strings.Join(words, " ")
}

func quoteConnValue(value string) string {
	if value != "" && !strings.ContainsAny(value, " \t\n\v\f\r'\\") {
		return value
	}
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(value) + "'"
}

// Service writes the parameters as a connection service file (fe-connect.c, parseServiceFile): programs
// then show no password on their command lines. It knows no quoting.
func (c *Conninfo) Service(name string) ([]byte, error) {
	lines := []string{"[" + name + "]"}
	for _, p := range c.params {
		if p.name == "service" || strings.ContainsAny(p.value, "\n\r") || strings.TrimSpace(p.value) != p.value {
			return nil, fmt.Errorf("parameter %s of the connection string cannot stand in a service file", p.name)
		}
		lines = append(lines, p.name+"="+p.value)
	}
	return []byte(strings.Join(lines, "\n") + "\n"), nil
}
