package pgconf

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func keywords(texts ...string) []Token {
	var tokens []Token
	for _, text := range texts {
		tokens = append(tokens, Keyword(text))
	}
	return tokens
}

func TestParseHBA(t *testing.T) {
	all := keywords("all")
	for _, test := range []struct {
		name, text string
		want       HBALine
	}{
		{"local", "local all all peer", HBALine{Type: "local", Databases: all, Users: all, Method: "peer", Line: 1}},
		{"blanks, comments, CRLF", "# c\r\n\t host  all\tall 10.0.0.0/8 md5 # c\r\n", HBALine{Type: "host", Databases: all, Users: all, Address: Keyword("10.0.0.0/8"), Method: "md5", Line: 2}},
		{"a mask of its own", "hostssl all all 127.0.0.1 255.255.255.255 trust", HBALine{Type: "hostssl", Databases: all, Users: all, Address: Keyword("127.0.0.1"), Mask: "255.255.255.255", Method: "trust", Line: 1}},
		{"an IPv6 mask", "host all all ::1 ffff::0 trust", HBALine{Type: "host", Databases: all, Users: all, Address: Keyword("::1"), Mask: "ffff::0", Method: "trust", Line: 1}},
		{"a host name", "host all all .example.com trust", HBALine{Type: "host", Databases: all, Users: all, Address: Keyword(".example.com"), Method: "trust", Line: 1}},
		{"lists", "local a,b, c +d,@e peer", HBALine{Type: "local", Databases: keywords("a", "b", "c"), Users: keywords("+d", "@e"), Method: "peer", Line: 1}},
		{"quotes", `local "all","my ""db""" "x,#y" peer`, HBALine{Type: "local", Databases: []Token{Literal("all"), Literal(`my "db"`)}, Users: []Token{Literal("x,#y")}, Method: "peer", Line: 1}},
		{"a quote within", `local @"my file" x"y z" peer`, HBALine{Type: "local", Databases: keywords("@my file"), Users: keywords("xy z"), Method: "peer", Line: 1}},
		{"options", `host all all all ldap ldapserver=x ldapprefix="cn=", ldapsuffix=", dc=net"`, HBALine{
			Type: "host", Databases: all, Users: all, Address: Keyword("all"), Method: "ldap",
			Options: []Option{{"ldapserver", "x"}, {"ldapprefix", "cn="}, {"ldapsuffix", ", dc=net"}}, Line: 1,
		}},
		{"continued lines", "\nlocal \\\n  all,\\\n\tx all\\\n peer", HBALine{Type: "local", Databases: keywords("all", "x"), Users: all, Method: "peer", Line: 2}},
		{"a continued comment", "# c \\\nlocal nothing here\nlocal all all peer", HBALine{Type: "local", Databases: all, Users: all, Method: "peer", Line: 3}},
		{"a regular expression", `local /^a "/^b c$" peer`, HBALine{Type: "local", Databases: keywords("/^a"), Users: []Token{Literal("/^b c$")}, Method: "peer", Line: 1}},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := ParseHBA([]byte(test.text))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]HBALine{test.want}, got.Lines); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestParseHBARefuses(t *testing.T) {
	for text, want := range map[string]string{
		"remote all all all trust":              "unknown connection type",
		"local,host all all trust":              "several values for the connection type",
		"local":                                 "the line ends before the database",
		"local all":                             "the line ends before the user",
		"host all all":                          "the line ends before the address",
		"host all all ::1/128,127.0.0.1/8 md5":  "several values for the address",
		"host all all 127.0.0.1":                "the line ends before the mask of the address",
		"local all all":                         "the line ends before the method",
		"local all all peer secret":             "an option is not of the form name=value",
		"host all all 127.0.0.1 255.0.0.0,x md": "several values for the mask of the address",
	} {
		_, err := ParseHBA([]byte("local all all peer\n" + text))
		syntax, ok := errors.AsType[*SyntaxError](err)
		if !ok || syntax.Line != 2 || syntax.Reason != want {
			t.Errorf("%q: got %v, want line 2: %s", text, err, want)
		}
	}
}

func TestParseHBAKeepsIncludes(t *testing.T) {
	got, err := ParseHBA([]byte("include a.conf\nlocal all all peer\ninclude_dir \"my dir\"\ninclude_if_exists b\n"))
	if err != nil {
		t.Fatal(err)
	}
	want := []Include{{"include", "a.conf", 1}, {"include_dir", "my dir", 3}, {"include_if_exists", "b", 4}}
	if diff := cmp.Diff(want, got.Includes); diff != "" || len(got.Lines) != 1 {
		t.Errorf("%d lines; includes (-want +got):\n%s", len(got.Lines), diff)
	}
}

func TestFormatHBALine(t *testing.T) {
	reject := func(databases, users []Token) HBALine {
		return HBALine{Type: "host", Databases: databases, Users: users, Address: Keyword("all"), Method: "reject"}
	}
	for _, test := range []struct {
		line HBALine
		want string
	}{
		{reject(keywords("all"), keywords("all")), "host all all all reject"},
		{reject([]Token{Literal("all"), Keyword("replication")}, []Token{Literal("app")}), `host "all",replication "app" all reject`},
		{reject(keywords("all"), []Token{Literal(`a "b", #c`), Literal("")}), `host all "a ""b"", #c","" all reject`},
		{reject(keywords("@a file"), keywords(`x\`)), `host @"a file" x\"" all reject`},
		{HBALine{Type: "local", Databases: keywords("all"), Users: keywords("+ops"), Method: "peer", Options: []Option{{"map", "x y"}}}, `local all +ops peer "map=x y"`},
		{HBALine{Type: "host", Databases: keywords("all"), Users: keywords("all"), Address: Keyword("::1"), Mask: "ffff::", Method: "md5"}, "host all all ::1 ffff:: md5"},
	} {
		got, err := test.line.Format()
		if err != nil || got != test.want {
			t.Errorf("got %s, %v, want %s", got, err, test.want)
		}
	}
}

func TestFormatHBALineRefuses(t *testing.T) {
	all := keywords("all")
	for what, line := range map[string]HBALine{
		"a name that would add a line": {Type: "local", Databases: all, Users: []Token{Literal("x\nlocal all all trust")}, Method: "reject"},
		"no type":                      {Databases: all, Users: all, Method: "reject"},
		"no user":                      {Type: "local", Databases: all, Method: "reject"},
		"no address":                   {Type: "host", Databases: all, Users: all, Method: "reject"},
		"no method":                    {Type: "local", Databases: all, Users: all},
	} {
		if got, err := line.Format(); err == nil {
			t.Errorf("%s passed and gave %q", what, got)
		}
	}
}

func TestTranslateHBA(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("testdata", "pg_hba.conf"))
	if err != nil {
		t.Fatal(err)
	}
	got, changes, err := TranslateHBA(text, Versions{13, 19})
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "pg_hba.golden.conf", got)
	var lines []int
	for _, c := range changes {
		lines = append(lines, c.Line)
		if strings.Contains(c.From+c.To+c.Reason, "hunter2") {
			t.Errorf("the report tells a secret: %v", c)
		}
	}
	if diff := cmp.Diff([]int{3, 6, 8, 9, 10}, lines); diff != "" {
		t.Errorf("changed lines (-want +got):\n%s", diff)
	}
	again, changes, err := TranslateHBA(got, Versions{13, 19})
	if err != nil || len(changes) > 0 || string(again) != string(got) {
		t.Errorf("a second run changes more: %v, %v", changes, err)
	}
	if same, changes, err := TranslateHBA(text, Versions{14, 18}); err != nil || len(changes) > 0 || string(same) != string(text) {
		t.Errorf("14 to 18 changes %v, %v", changes, err)
	}
}

func TestParseIdent(t *testing.T) {
	got, err := ParseIdent([]byte("# MAP SYSTEM ROLE\nomicron bryanh bryanh # x\nm \"/^(.*)@x$\" \"\\1\"\ninclude more.conf\n"))
	if err != nil {
		t.Fatal(err)
	}
	want := &Ident{
		Lines: []IdentLine{
			{"omicron", Keyword("bryanh"), Keyword("bryanh"), 2},
			{"m", Literal("/^(.*)@x$"), Literal(`\1`), 3},
		},
		Includes: []Include{{"include", "more.conf", 4}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if line, err := got.Lines[1].Format(); err != nil || line != `m "/^(.*)@x$" "\1"` {
		t.Errorf("got %s, %v", line, err)
	}
	for text, want := range map[string]string{
		"m":       "line 1: the line ends before the system user",
		"m a":     "line 1: the line ends before the database user",
		"m a,b c": "line 1: several values for the system user",
	} {
		if _, err := ParseIdent([]byte(text)); err == nil || err.Error() != want {
			t.Errorf("%q: got %v, want %s", text, err, want)
		}
	}
}
