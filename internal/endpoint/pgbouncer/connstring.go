package pgbouncer

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/pgleap/pgleap/internal/endpoint"
)

// pair is one key=value of a database's line; start and end enclose the value as written, with its quotes.
type pair struct {
	key, value string
	start, end int
}

// parseConnString reads the right side of a database's line as PgBouncer does (loader.c,
// cstr_get_pair): only the space separates, a quote is doubled to stand for itself, and the one
// character after a closing quote is swallowed.
func parseConnString(s string) ([]pair, error) {
	var pairs []pair
	for p := skip(s, 0, " "); p < len(s); p = skip(s, p, " ") {
		key, _, _ := strings.Cut(s[p:], "=")
		key, _, _ = strings.Cut(key, " ")
		p = skip(s, p+len(key), " ")
		if key == "" || p == len(s) || s[p] != '=' {
			return nil, errors.New("not of the form key=value")
		}
		p = skip(s, p+1, " ")
		value, end, err := connValue(s, p)
		if err != nil {
			return nil, fmt.Errorf("value of %s: %w", key, err)
		}
		pairs = append(pairs, pair{key: key, value: value, start: p, end: end})
		if p = end; p < len(s) {
			if s[p] != ' ' {
				return nil, fmt.Errorf("value of %s: no space after the closing quote", key)
			}
			p++
		}
	}
	return pairs, nil
}

func connValue(s string, p int) (value string, end int, err error) {
	if p == len(s) || s[p] != '\'' {
		value, _, _ = strings.Cut(s[p:], " ")
		end = p + len(value)
	} else {
		var b strings.Builder
		for end = p + 1; ; end++ {
			if end == len(s) {
				return "", 0, errors.New("no closing quote")
			}
			if s[end] == '\'' {
				if end+1 == len(s) || s[end+1] != '\'' {
					break
				}
				end++
			}
			b.WriteByte(s[end])
		}
		value, end = b.String(), end+1
	}
	if value == "" {
		return "", 0, errors.New("empty")
	}
	return value, end, nil
}

// route is where a database's line leads. An empty host is PgBouncer's unix_socket_dir.
type route struct {
	host, dbname, poolMode string
	port                   int
}

func readRoute(connString string) (route, error) {
	pairs, err := parseConnString(connString)
	if err != nil {
		return route{}, err
	}
	r := route{port: 5432}
	for _, p := range pairs {
		switch p.key {
		case "host":
			r.host = p.value
		case "port":
			if r.port, err = strconv.Atoi(p.value); err != nil {
				return route{}, fmt.Errorf("port %q is not a number", p.value)
			}
		case "dbname":
			r.dbname = p.value
		case "pool_mode":
			r.poolMode = p.value
		}
	}
	return r, nil
}

// reroute changes host and port in a database's line, and nothing else.
func reroute(connString string, to endpoint.Address) (string, error) {
	s := connString
	for _, set := range []struct{ key, value string }{{"host", to.Host}, {"port", strconv.Itoa(to.Port)}} {
		pairs, err := parseConnString(s)
		if err != nil {
			return "", err
		}
		s = setPair(s, pairs, set.key, set.value)
	}
	return s, nil
}

// setPair replaces the last value of a key, which is the one that counts, or appends the key.
func setPair(s string, pairs []pair, key, value string) string {
	for i := len(pairs) - 1; i >= 0; i-- {
		if p := pairs[i]; p.key == key {
			if p.value == value {
				return s
			}
			return s[:p.start] + quoteValue(value) + s[p.end:]
		}
	}
	if s != "" && !strings.HasSuffix(s, " ") {
		s += " "
	}
	return s + key + "=" + quoteValue(value)
}

func quoteValue(v string) string {
	if v != "" && !strings.ContainsAny(v, " '") {
		return v
	}
	return "'" + strings.ReplaceAll(v, "'", "''") + "'"
}
