package pgbouncer

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pgleap/pgleap/internal/endpoint"
)

func TestParseINI(t *testing.T) {
	type found struct {
		Kind        itemKind
		Name, Value string
		Line        int
	}
	for _, test := range []struct {
		why, text string
		want      []found
	}{
		{"empty", "", nil},
		{"comments are whole lines", "; a = b\n  # c = d\n", nil},
		{"a semicolon later is part of the value", "[s]\na = b ; c", []found{{section, "s", "", 1}, {setting, "a", "b ; c", 2}}},
		{"spaces around are not part of it", "\t a \t=\t b c \t\n", []found{{setting, "a", "b c", 1}}},
		{"carriage returns are spaces", "[s]\r\na = b\r\n", []found{{section, "s", "", 1}, {setting, "a", "b", 2}}},
		{"an empty value", "a =\nb=", []found{{setting, "a", "", 1}, {setting, "b", "", 2}}},
		{"a setting after the bracket", "[s] a = b", []found{{section, "s", "", 1}, {setting, "a", "b", 1}}},
		{"the wildcard", "* = host=x", []found{{setting, "*", "host=x", 1}}},
		{"a quoted name", `"a ""b""" = c`, []found{{setting, `a "b"`, "c", 1}}},
		{"includes", "%include /etc/a b \nc=d", []found{{include, "", "/etc/a b", 1}, {setting, "c", "d", 2}}},
	} {
		items, err := parseINI(test.text)
		if err != nil {
			t.Errorf("%s: %v", test.why, err)
			continue
		}
		var got []found
		for _, it := range items {
			got = append(got, found{it.kind, it.name, it.value, it.line})
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", test.why, diff)
		}
	}
}

func TestParseINIRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"a\n":              `line 1: "a" is not of the form name = value`,
		"\n[s\n":           `line 2: section "[s" has no closing bracket`,
		"a b = c":          "not of the form",
		"\"a = b":          "no closing quote",
		"a = b\x00c":       "NUL",
		"%includex = 1":    "not of the form",
		"\n\n  = nothing?": "", // PgBouncer takes a nameless key, and refuses it by its section
	} {
		_, err := parseINI(text)
		if want == "" != (err == nil) || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

func TestReroute(t *testing.T) {
	for _, test := range []struct {
		why, line, want string
		to              endpoint.Address
	}{
		{"host and port are there", "host=a port=5432 dbname=x", "host=b port=5433 dbname=x", endpoint.Address{Host: "b", Port: 5433}},
		{"only what changes is touched", "host = a  port='5432'", "host = b  port='5432'", endpoint.Address{Host: "b", Port: 5432}},
		{"neither is there", "dbname=x  pool_size=3", "dbname=x  pool_size=3 host=b port=5433", endpoint.Address{Host: "b", Port: 5433}},
		{"nothing is there", "", "host=/run/pg port=5433", endpoint.Address{Host: "/run/pg", Port: 5433}},
		{"the last one counts", "host=a host=b port=1", "host=a host=c port=1", endpoint.Address{Host: "c", Port: 1}},
		{"values look like keys", "password='host=a port=1' host=a", "password='host=a port=1' host=b port=1", endpoint.Address{Host: "b", Port: 1}},
		{"quotes within quotes", "connect_query='set x=''host=a''' host=a port=1", "connect_query='set x=''host=a''' host=b port=1", endpoint.Address{Host: "b", Port: 1}},
		{"a directory with a space", "host=a port=1", "host='/my dir' port=1", endpoint.Address{Host: "/my dir", Port: 1}},
		{"already there", "host=b  port=1", "host=b  port=1", endpoint.Address{Host: "b", Port: 1}},
	} {
		got, err := reroute(test.line, test.to)
		if err != nil || got != test.want {
			t.Errorf("%s: %q %v, want %q", test.why, got, err, test.want)
		}
	}
	for _, bad := range []string{"host", "host=", "=a", "host='a", "host=''", "host='a'port=1"} {
		if got, err := reroute(bad, endpoint.Address{Host: "b", Port: 1}); err == nil {
			t.Errorf("%q became %q, want it refused", bad, got)
		}
	}
}

// FuzzReroute: whatever a line holds, afterwards it leads to the new address and holds all else.
func FuzzReroute(f *testing.F) {
	for _, seed := range []string{
		"", "host=a port=5432", "host = 'a''b' port=1 dbname=x", "password='host=x' host=y", "a=b  c = d", "host=x host=y",
	} {
		f.Add(seed, "b", uint16(5433))
	}
	f.Fuzz(func(t *testing.T, line, host string, port uint16) {
		if host == "" || strings.ContainsAny(host, "\n\r\x00") || line != trimRight(line) || strings.ContainsAny(line, "\n\x00") {
			t.Skip()
		}
		before, err := parseConnString(line)
		to := endpoint.Address{Host: host, Port: int(port)}
		got, rerouteErr := reroute(line, to)
		if (err == nil) != (rerouteErr == nil) {
			t.Fatalf("read: %v, reroute: %v", err, rerouteErr)
		}
		if err != nil {
			t.Skip()
		}
		r, err := readRoute(got)
		if err != nil || r.host != host || r.port != int(port) {
			t.Fatalf("%q became %q, which leads to %q %d (%v)", line, got, r.host, r.port, err)
		}
		after, err := parseConnString(got)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(others(before), others(after)); diff != "" {
			t.Errorf("%q became %q: %s", line, got, diff)
		}
		if again, err := reroute(got, to); err != nil || again != got {
			t.Errorf("done twice: %q, then %q (%v)", got, again, err)
		}
	})
}

func others(pairs []pair) [][2]string {
	var out [][2]string
	for _, p := range pairs {
		if p.key != "host" && p.key != "port" {
			out = append(out, [2]string{p.key, p.value})
		}
	}
	return out
}

// FuzzParseINI: values are where they are said to be, and in their order.
func FuzzParseINI(f *testing.F) {
	for _, seed := range []string{
		"[databases]\na = host=x\n\"b c\" = port=1\n* =\n%include y\n[pgbouncer]\nlisten_port = 1\n",
		"; c\r\n[s] a=b\n", "a=\n\n b=c", "[", "%include", "\"", "\"a\"\"b\"=c",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		items, err := parseINI(text)
		if err != nil {
			t.Skip()
		}
		end := 0
		for _, it := range items {
			if it.start < end || it.start+len(it.value) > len(text) || text[it.start:it.start+len(it.value)] != it.value {
				t.Fatalf("%+v is not there in %q", it, text)
			}
			if strings.Contains(it.value, "\n") {
				t.Fatalf("%+v spans lines", it)
			}
			end = it.start + len(it.value)
		}
	})
}
