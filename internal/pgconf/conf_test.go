package pgconf

import (
	"errors"
	"flag"
	"math/rand"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/quick"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files")

// golden compares got with a file below testdata, or writes it with -update.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

func mustParse(t *testing.T, text string) *Conf {
	t.Helper()
	conf, err := ParseConf([]byte(text))
	if err != nil {
		t.Fatalf("parse %q: %v", text, err)
	}
	return conf
}

// legalLines are lines that set a.b, with the value that the server reads.
// TestServerReadsTheSame holds them against a real one.
var legalLines = []struct{ line, value string }{
	{"a.b = 5", "5"},
	{"a.b=5", "5"},
	{"a.b 5", "5"},
	{"a.b\t \t5\t# five", "5"},
	{"  a.b = 5", "5"},
	{"A.B = on", "on"},
	{"a.b = 5#comment", "5"},
	{"a.b = -1", "-1"},
	{"a.b = +12kB", "+12kB"},
	{"a.b = 0x1Fms", "0x1Fms"},
	{"a.b = 1.5", "1.5"},
	{"a.b = .5e-3", ".5e-3"},
	{"a.b = 1.", "1."},
	{"a.b = .", "."},
	{"a.b = scram-sha-256", "scram-sha-256"},
	{"a.b = Europe/Berlin", "Europe/Berlin"},
	{"a.b = a.b.c", "a.b.c"},
	{"a.b = x:y", "x:y"},
	{"a.b = äöü", "äöü"},
	{"a.b = ''", ""},
	{"a.b'x'", "x"},
	{"a.b = 'it''s'", "it's"},
	{"a.b = ''''", "'"},
	{`a.b = 'it\'s'`, "it's"},
	{`a.b = 'a\\b'`, `a\b`},
	{`a.b = '\101\1012\60'`, "AA20"},
	{`a.b = 'x\ty\qz'`, "x\tyqz"},
	{`a.b = '%m [%p] # no comment'`, "%m [%p] # no comment"},
	{"a.b = 5\r", "5"},
	{"a.b = 'x' \r", "x"},
	{"a.b = 1\na.B = 2", "2"},
}

// illegalLines are lines with which the server does not start.
var illegalLines = []string{
	"a.b",
	"a.b =",
	"a.b = # 5",
	"= 5",
	"5 = a.b",
	"'a.b' = 5",
	"a.b.c = 5",
	"a.b = x.y",
	"a.b = 1.5GB",
	"a.b = 1e5",
	"a.b = -",
	"a.b = a b",
	"a.b = a, b",
	"a.b = = 5",
	"a.b = 'open",
	"a.b = 'open''",
	`a.b = 'open\'`,
	"a.b = \"x\"",
	"a.b = $x",
	"a.b = 'x' 'y'",
	"a.b = 5\v",
}

func TestParseConfReadsLegalLines(t *testing.T) {
	for _, test := range legalLines {
		conf, err := ParseConf([]byte(test.line))
		if err != nil {
			t.Errorf("%q: %v", test.line, err)
			continue
		}
		if got, ok := conf.Get("a.b"); !ok || got != test.value {
			t.Errorf("%q: got %q, %t, want %q", test.line, got, ok, test.value)
		}
		if conf.String() != test.line {
			t.Errorf("%q comes back as %q", test.line, conf)
		}
	}
}

func TestParseConfRefusesIllegalLines(t *testing.T) {
	for _, line := range illegalLines {
		_, err := ParseConf([]byte("port = 1\n" + line + "\nport = 2\n"))
		syntax, ok := errors.AsType[*SyntaxError](err)
		if !ok || syntax.Line != 2 {
			t.Errorf("%q: got %v, want a syntax error in line 2", line, err)
		}
	}
}

func TestParseConfTellsEveryWrongLineAndNoValue(t *testing.T) {
	_, err := ParseConf([]byte("password = hunter2 hunter2\nport = 1\nhunter2\n"))
	want := "line 1: syntax error after the value: put a value of several words in single quotes\n" +
		"line 3: syntax error: the value is missing"
	if err == nil || err.Error() != want {
		t.Errorf("got %v\nwant %s", err, want)
	}
	_, err = ParseConf([]byte(strings.Repeat("=\n", 1000)))
	if n := strings.Count(err.Error(), "\n") + 1; n != maxSyntaxErrors {
		t.Errorf("got %d errors, want %d", n, maxSyntaxErrors)
	}
}

func TestSettingsAndNames(t *testing.T) {
	conf := mustParse(t, "# x = 1\nPort = 1\ninclude_dir 'conf.d'\n\nssl on\nport = 2")
	want := []Setting{{Name: "Port", Value: "1", Line: 2}, {Name: "ssl", Value: "on", Line: 5}, {Name: "port", Value: "2", Line: 6}}
	if diff := cmp.Diff(want, conf.Settings()); diff != "" {
		t.Errorf("settings (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"Port", "ssl"}, conf.Names()); diff != "" {
		t.Errorf("names (-want +got):\n%s", diff)
	}
	if _, ok := conf.Get("include_dir"); ok {
		t.Error("an include directive is no setting")
	}
}

func TestSet(t *testing.T) {
	for _, test := range []struct{ name, text, value, want string }{
		{"keeps the comment", "a = 1\t# one\n", "2", "a = 2\t# one\n"},
		{"keeps the spelling", "A=1", "2", "A=2"},
		{"changes the last line only", "a = 1\na = 2\n", "3", "a = 1\na = 3\n"},
		{"quotes", "a = 1\n", "it's", "a = 'it''s'\n"},
		{"parts name and value", "a'x'", "y", "a y"},
		{"keeps CRLF", "a = 1\r\nb = 2\r\n", "3", "a = 3\r\nb = 2\r\n"},
		{"appends", "b = 1\n", "2", "b = 1\na = 2\n"},
		{"appends with CRLF", "b = 1\r\n", "2", "b = 1\r\na = 2\r\n"},
		{"appends to a last line without newline", "b = 1", "2", "b = 1\na = 2\n"},
		{"appends to nothing", "", "2", "a = 2\n"},
		{"is not fooled by a comment", "#a = 1\n", "2", "#a = 1\na = 2\n"},
		{"wins over a later include", "a = 1\ninclude 'x'\n", "2", "a = 1\ninclude 'x'\na = 2\n"},
		{"changes in place after the include", "include 'x'\na = 1\n", "2", "include 'x'\na = 2\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			conf := mustParse(t, test.text)
			for range 2 { // twice is once
				if err := conf.Set("a", test.value); err != nil {
					t.Fatal(err)
				}
				if conf.String() != test.want {
					t.Fatalf("got %q, want %q", conf, test.want)
				}
			}
		})
	}
}

func TestSetRefusesWhatTheFileCannotHold(t *testing.T) {
	for _, test := range []struct{ name, value string }{
		{"", "1"}, {"a b", "1"}, {"a\nb", "1"}, {"a.b.c", "1"}, {"1a", "1"}, {"a#", "1"}, {"Include", "x"}, {"a", "x\x00y"},
	} {
		conf := mustParse(t, "a = 1\n")
		if err := conf.Set(test.name, test.value); err == nil {
			t.Errorf("set %q to %q passed", test.name, test.value)
		}
		if conf.String() != "a = 1\n" {
			t.Errorf("set %q to %q left %q", test.name, test.value, conf)
		}
	}
}

func TestCommentOut(t *testing.T) {
	conf := mustParse(t, "a = 1 # one\nb = 2\r\nA = 3\r\n")
	if n := conf.CommentOut("a", "not known\nto 17"); n != 2 {
		t.Errorf("commented out %d lines, want 2", n)
	}
	want := "# pgleap: not known to 17\n#a = 1 # one\nb = 2\r\n# pgleap: not known to 17\r\n#A = 3\r\n"
	if conf.String() != want {
		t.Errorf("got %q, want %q", conf, want)
	}
	if n := conf.CommentOut("a", "again"); n != 0 {
		t.Errorf("commented out %d lines again", n)
	}
}

func TestQuote(t *testing.T) {
	for value, want := range map[string]string{
		"": "''", "on": "on", "100": "100", "16MB": "16MB", "-1": "-1", "1.5": "1.5",
		"1.5GB": "'1.5GB'", "a.b": "'a.b'", "localhost,::1": "'localhost,::1'", "a b": "'a b'", "it's": "'it''s'",
		`C:\x`: `'C:\\x'`, "a\nb": `'a\nb'`, "a\x00b": "'a'", "scram-sha-256": "'scram-sha-256'", "#": "'#'",
	} {
		if got := Quote(value); got != want {
			t.Errorf("Quote(%q) = %s, want %s", value, got, want)
		}
	}
}

func TestWhatIsSetIsRead(t *testing.T) {
	property := func(value string, confSeed int64) bool {
		value = strings.ReplaceAll(value, "\x00", "")
		conf := mustParse(t, randomConf(rand.New(rand.NewSource(confSeed))))
		if err := conf.Set("some.thing", value); err != nil {
			return false
		}
		again := mustParse(t, conf.String())
		got, _ := again.Get("Some.Thing")
		return got == value && again.String() == conf.String()
	}
	if err := quick.Check(property, &quick.Config{MaxCount: 2000}); err != nil {
		t.Error(err)
	}
}

func TestWhatIsNotChangedComesBack(t *testing.T) {
	property := func(seed int64) bool {
		text := randomConf(rand.New(rand.NewSource(seed)))
		conf := mustParse(t, text)
		if conf.String() != text {
			return false
		}
		for _, s := range conf.Settings() {
			last, _ := conf.Get(s.Name)
			if conf.Set(s.Name, last) != nil {
				return false
			}
		}
		got, want := mustParse(t, conf.String()).Settings(), conf.Settings()
		return cmp.Equal(got, want)
	}
	if err := quick.Check(property, &quick.Config{MaxCount: 2000}); err != nil {
		t.Error(err)
	}
}

// randomConf puts legal lines, comments and noise together.
func randomConf(r *rand.Rand) string {
	pick := func(of ...string) string { return of[r.Intn(len(of))] }
	var b strings.Builder
	for range r.Intn(12) {
		b.WriteString(pick("", " ", "\t"))
		switch r.Intn(4) {
		case 0:
			b.WriteString(pick("", "#", "# some.thing = 1", "#\t'", `# \`))
		case 1:
			b.WriteString("include_if_exists 'nothing.conf'")
		default:
			b.WriteString(pick("some.thing", "Some.Thing", "port", "port", "work_mem") + pick(" = ", " ", "\t=") +
				pick("1", "on", "'x''y'", `'\101'`, "4MB", "-1.5") + pick("", " ", " # why", "#'"))
		}
		b.WriteString(pick("\n", "\r\n", "\n\n"))
	}
	return b.String() + pick("", "#", "port = 1")
}
