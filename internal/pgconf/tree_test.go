package pgconf

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// writeTree writes files, by name, into a new directory.
func writeTree(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestLoadTreeReadsAsTheServerDoes(t *testing.T) {
	dir := writeTree(t, map[string]string{
		"postgresql.conf":           "port = 1\ninclude 'sub/more.conf'\nINCLUDE_DIR = 'conf.d'\ninclude_if_exists 'none.conf'\nlast = main\n",
		"sub/more.conf":             "port = 2\ninclude 'more2.conf'\n",
		"sub/more2.conf":            "a = more2",
		"conf.d/b.conf":             "a = b\n",
		"conf.d/B.conf":             "a = B\n",
		"conf.d/.hidden.conf":       "=",
		"conf.d/b.conf.bak":         "=",
		"conf.d/dir.conf/x.conf":    "=",
		"data/postgresql.auto.conf": "# Do not edit\nlast = 'auto'\n",
	})
	tree, err := LoadTree(filepath.Join(dir, "postgresql.conf"), filepath.Join(dir, "data"))
	if err != nil {
		t.Fatal(err)
	}
	at := func(name string) string { return filepath.Join(dir, name) }
	want := []Setting{
		{"port", "1", at("postgresql.conf"), 1},
		{"port", "2", at("sub/more.conf"), 1},
		{"a", "more2", at("sub/more2.conf"), 1},
		{"a", "B", at("conf.d/B.conf"), 1},
		{"a", "b", at("conf.d/b.conf"), 1},
		{"last", "main", at("postgresql.conf"), 5},
		{"last", "auto", at("data/postgresql.auto.conf"), 2},
	}
	if diff := cmp.Diff(want, tree.Settings()); diff != "" {
		t.Errorf("settings (-want +got):\n%s", diff)
	}
	if got, _ := tree.Get("A"); got != want[4] {
		t.Errorf("Get(A) = %v, want %v", got, want[4])
	}
	if _, ok := tree.Get("b"); ok {
		t.Error("Get(b) found something")
	}
	if n := len(tree.Files()); n != 6 {
		t.Errorf("got %d files, want 6", n)
	}
}

func TestInlineMeansTheSame(t *testing.T) {
	dir := writeTree(t, map[string]string{
		"postgresql.conf": "a = 1 # one\ninclude 'x.conf'\nb = 2\ninclude_dir 'd'",
		"x.conf":          "a = 3\ninclude 'y.conf'\nc = 4",
		"y.conf":          "",
		"d/z.conf":        "old_setting = 5\n",
	})
	tree, err := LoadTree(filepath.Join(dir, "postgresql.conf"), dir)
	if err != nil {
		t.Fatal(err)
	}
	changes := tree.Translate(Versions{15, 17}, func(name string) bool { return name != "old_setting" })
	if len(changes) != 1 || changes[0].File != filepath.Join(dir, "d/z.conf") || changes[0].Line != 1 {
		t.Errorf("changes: %v", changes)
	}
	want := `a = 1 # one
# pgleap: the included files follow, as they were
#include 'x.conf'
# pgleap: begin of "DIR/x.conf"
a = 3
# pgleap: the included files follow, as they were
#include 'y.conf'
# pgleap: begin of "DIR/y.conf"
# pgleap: end of "DIR/y.conf"
c = 4
# pgleap: end of "DIR/x.conf"
b = 2
# pgleap: the included files follow, as they were
#include_dir 'd'
# pgleap: begin of "DIR/d/z.conf"
# pgleap: PostgreSQL 17 does not know it
#old_setting = 5
# pgleap: end of "DIR/d/z.conf"`
	got := strings.ReplaceAll(tree.Inline().String(), dir, "DIR")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	again := mustParse(t, tree.Inline().String())
	if diff := cmp.Diff([]string{"a", "c", "b"}, again.Names()); diff != "" {
		t.Errorf("names (-want +got):\n%s", diff)
	}
}

func TestLoadTreeRefuses(t *testing.T) {
	deep := map[string]string{"postgresql.conf": "include 'l01.conf'"}
	for _, l := range []string{"01", "02", "03", "04", "05", "06", "07", "08", "09", "10"} {
		next := string(rune(l[0])) + string(rune(l[1]+1))
		if l == "09" {
			next = "10"
		}
		deep["l"+l+".conf"] = "include 'l" + next + ".conf'"
	}
	deep["l11.conf"] = "a = 1"
	for name, test := range map[string]struct {
		files map[string]string
		want  string
	}{
		"a missing file":        {map[string]string{"postgresql.conf": "\ninclude 'none'"}, "postgresql.conf, line 2: read configuration file: open "},
		"a missing directory":   {map[string]string{"postgresql.conf": "include_dir none"}, "line 1: read configuration directory: open "},
		"an empty name":         {map[string]string{"postgresql.conf": "include ' '"}, "line 1: include names no file"},
		"itself":                {map[string]string{"postgresql.conf": "include './postgresql.conf'"}, "it includes itself"},
		"a circle":              {map[string]string{"postgresql.conf": "include a", "a": "include_if_exists b", "b": "include a"}, "it includes itself, by way of"},
		"a directory as a file": {map[string]string{"postgresql.conf": "include d", "d/x": ""}, "is not a regular file"},
		"eleven levels":         {deep, "nested deeper than 10"},
		"a syntax error inside": {map[string]string{"postgresql.conf": "include a", "a": "secret secret secret"}, "a, line 1: syntax error"},
		"no file at all":        {nil, "postgresql.conf: no such file"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := writeTree(t, test.files)
			_, err := LoadTree(filepath.Join(dir, "postgresql.conf"), "")
			if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "secret") {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
	delete(deep, "l11.conf")
	deep["l10.conf"] = "a = 1"
	dir := writeTree(t, deep)
	if _, err := LoadTree(filepath.Join(dir, "postgresql.conf"), ""); err != nil {
		t.Errorf("ten levels: %v", err)
	}
}
