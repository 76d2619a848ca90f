package pgconf

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
)

// These tests ask the server itself what it reads in the files.

// bindirs returns where PostgreSQL is installed on this machine, the oldest
// version first.
func bindirs(t *testing.T) []string {
	t.Helper()
	var dirs []string
	for _, pattern := range []string{"/usr/lib/postgresql/*/bin/postgres", "/opt/pgleap/postgres/*/bin/postgres"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range found {
			dirs = append(dirs, filepath.Dir(path))
		}
	}
	if len(dirs) == 0 {
		t.Skip("PostgreSQL is not installed here: apt-get install postgresql")
	}
	slices.SortFunc(dirs, func(a, b string) int { return cmp.Compare(major(a), major(b)) })
	return dirs
}

// postgres runs a server program in dir and returns what it prints. Its errors
// are in the error.
func postgres(t *testing.T, bindir, dir, stdin, program string, args ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(context.Background(), filepath.Join(bindir, program), args...)
	cmd.Dir = dir
	cmd.Env = []string{"LC_ALL=C", "PATH=" + os.Getenv("PATH"), "TZ=UTC"}
	cmd.Stdin = strings.NewReader(stdin)
	if os.Getuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: credential(t)}
	}
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("%s: %w: %s", program, err, stderr.String())
	}
	return string(out), err
}

// credential is that of postgres: no server starts as root.
func credential(t *testing.T) *syscall.Credential {
	t.Helper()
	u, err := user.Lookup("postgres")
	if err != nil {
		t.Skip("the user postgres is missing, and no server starts as root")
	}
	uid, _ := strconv.ParseUint(u.Uid, 10, 32)
	gid, _ := strconv.ParseUint(u.Gid, 10, 32)
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
}

// serverDir returns a directory that the server may read and write.
func serverDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "pgconf")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if os.Getuid() == 0 {
		c := credential(t)
		if err := os.Chown(dir, int(c.Uid), int(c.Gid)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func writeServerFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil { //nolint:gosec // another user reads it
		t.Fatal(err)
	}
}

// TestServerReadsTheSame: postgres -C reads the configuration file, needs no
// cluster, and prints the value of a setting. The oldest and the newest server
// stand for all: the grammar has not changed between them.
func TestServerReadsTheSame(t *testing.T) {
	dirs := bindirs(t)
	for _, bindir := range slices.Compact([]string{dirs[0], dirs[len(dirs)-1]}) {
		t.Run(bindir, func(t *testing.T) {
			dir := serverDir(t)
			read := func(text string) (string, error) {
				writeServerFile(t, filepath.Join(dir, "postgresql.conf"), text)
				return postgres(t, bindir, dir, "", "postgres", "-C", "a.b", "-D", dir)
			}
			for _, test := range legalLines {
				if got, err := read(test.line); err != nil || got != test.value+"\n" {
					t.Errorf("%q: the server reads %q, %v, want %q", test.line, got, err, test.value)
				}
			}
			for _, line := range illegalLines {
				if got, err := read("a.b = 1\n" + line); err == nil {
					t.Errorf("%q: the server reads %q", line, got)
				}
			}
			for _, value := range []string{"", "it's", `C:\x\'`, "a\nb\r", "\t#", "1.5GB", "x.y", "ä", "\x01\x7f"} {
				if got, err := read("a.b = " + Quote(value)); err != nil || got != value+"\n" {
					t.Errorf("%s: the server reads %q, %v, want %q", Quote(value), got, err, value)
				}
			}
		})
	}
}

// oddHBA is legal since 14 and says what few files say.
const oddHBA = `# comment with "quotes \
host still a comment
local all all peer # end
  local	"all",'x' , "a ""b"" c",+d trust
local a,b, c x"y z",, peer trust
host all all 127.0.0.1 255.255.255.255 trust
host "my db",@list all ::1/128 ident map="x, y"
host all all samenet md5
host all /re .example.com scram-sha-256
hostnossl \
  all,\
x "" all \
reject
`

// hbaRule is a row of pg_hba_file_rules.
type hbaRule struct {
	Line      int      `json:"line_number"`
	Type      string   `json:"type"`
	Databases []string `json:"database"`
	Users     []string `json:"user_name"`
	Mask      string   `json:"netmask"`
	Method    string   `json:"auth_method"`
	Options   []string `json:"options"`
	Error     string   `json:"error"`
}

// TestServerReadsTheSameHBA compares with pg_hba_file_rules.
func TestServerReadsTheSameHBA(t *testing.T) {
	if testing.Short() {
		t.Skip("it makes a cluster")
	}
	dirs := bindirs(t)
	bindir := dirs[len(dirs)-1]
	if major(bindir) < 14 {
		t.Skip("lines are continued since PostgreSQL 14")
	}
	read := hbaServer(t, bindir)
	text := strings.ReplaceAll(oddHBA, "@list", "list")
	want := read(text, nil)
	hba, err := ParseHBA([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	var got []hbaRule
	for i, l := range hba.Lines {
		rule := hbaRule{Line: l.Line, Type: l.Type, Databases: texts(l.Databases), Users: texts(l.Users), Mask: l.Mask, Method: l.Method}
		for _, o := range l.Options {
			rule.Options = append(rule.Options, o.Name+"="+o.Value)
		}
		if rule.Mask == "" && i < len(want) {
			rule.Mask = want[i].Mask // the server derives it from the address
		}
		got = append(got, rule)
	}
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Errorf("(-server +ours):\n%s", diff)
	}
}

// TestServerReadsTheSameInlined: the server finds the same rules when what
// pg_hba.conf includes stands in it.
func TestServerReadsTheSameInlined(t *testing.T) {
	if testing.Short() {
		t.Skip("it makes a cluster")
	}
	dirs := bindirs(t)
	bindir := dirs[len(dirs)-1]
	if major(bindir) < 16 {
		t.Skip("pg_hba.conf includes files since PostgreSQL 16")
	}
	read := hbaServer(t, bindir)
	rules := func(text string, files map[string]string) []hbaRule {
		rules := read(text, files)
		for i := range rules {
			rules[i].Line = 0
		}
		return rules
	}
	want := rules(includingHBA, includedHBA())
	for _, rule := range want {
		if rule.Error != "" {
			t.Fatalf("the server reads %+v", rule)
		}
	}
	dir := t.TempDir()
	writeAccess(t, dir, includedHBA())
	inlined, err := InlineAccess(filepath.Join(dir, "pg_hba.conf"), []byte(includingHBA), func(string) bool { return false })
	if err != nil {
		t.Fatal(err)
	}
	if diff := gocmp.Diff(want, rules(string(inlined.Text), nil)); diff != "" {
		t.Errorf("(-with includes +inlined):\n%s\n%s", diff, inlined.Text)
	}
}

// hbaServer makes a cluster, and returns what asks it for the rules that it
// reads in a pg_hba.conf, with files beside that.
func hbaServer(t *testing.T, bindir string) func(text string, files map[string]string) []hbaRule {
	t.Helper()
	dir := serverDir(t)
	pgdata := filepath.Join(dir, "data")
	if _, err := postgres(t, bindir, dir, "", "initdb", "-D", pgdata, "-N", "-A", "trust", "-E", "UTF8", "--locale=C", "-U", "postgres"); err != nil {
		t.Fatal(err)
	}
	return func(text string, files map[string]string) (rules []hbaRule) {
		t.Helper()
		beside := filepath.Join(dir, "access")
		if err := os.RemoveAll(beside); err != nil {
			t.Fatal(err)
		}
		writeAccess(t, beside, files)
		hba := filepath.Join(beside, "pg_hba.conf")
		writeServerFile(t, hba, text)
		out := filepath.Join(dir, "rules.json")
		query := fmt.Sprintf("copy (select jsonb_agg(r)::text from pg_hba_file_rules r) to '%s'\n", out)
		if _, err := postgres(t, bindir, dir, query, "postgres", "--single", "-D", pgdata, "-c", "hba_file="+hba, "postgres"); err != nil {
			t.Fatal(err)
		}
		raw, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		// COPY doubles the backslashes of JSON.
		if err := json.Unmarshal([]byte(strings.ReplaceAll(string(raw), `\\`, `\`)), &rules); err != nil {
			t.Fatal(err)
		}
		return rules
	}
}

// major returns the version that a path such as .../17/bin belongs to.
func major(bindir string) int {
	n, _ := strconv.Atoi(filepath.Base(filepath.Dir(bindir)))
	return n
}

func texts(tokens []Token) []string {
	var all []string
	for _, token := range tokens {
		all = append(all, token.Text)
	}
	return all
}
