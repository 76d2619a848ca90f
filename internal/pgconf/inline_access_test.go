package pgconf

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// includingHBA includes all that includedHBA has.
const includingHBA = `local all postgres peer
include hba.d/first.conf
host "app",@lists/dbs all,@"lists/my people" 10.0.0.0/8 scram-sha-256 # a comment
include_if_exists not.conf
host all "@lists/dbs" all reject
include_dir hba.d/more
local @lists/dbs \
  @lists/nested peer
host all all all reject`

func includedHBA() map[string]string {
	return map[string]string{
		"hba.d/first.conf":   "host all first ::1/128 trust\ninclude ../second.conf\nlocal all nobody\\\n peer\\",
		"second.conf":        "host all second ::1/128 trust\r\n# nothing \\\n",
		"hba.d/more/b.conf":  "local b @people peer\n",
		"hba.d/more/a.conf":  "",
		"hba.d/more/.c.conf": "local all hidden trust\n",
		"hba.d/more/d":       "local all other trust\n",
		"hba.d/more/people":  "\"b b\", c # c\n",
		"lists/dbs":          "shop # the shop\n\"all\" stock,\n other\n",
		"lists/my people":    "+ops\n\"it's\"\n",
		"lists/nested":       "zoe,@dbs\n",
	}
}

func writeAccess(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // another user reads it
		t.Fatal(err)
	}
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil { //nolint:gosec // another user reads it
			t.Fatal(err)
		}
		writeServerFile(t, path, text)
	}
}

func TestInlineAccess(t *testing.T) {
	dir := t.TempDir()
	writeAccess(t, dir, map[string]string{
		"etc/admins": "ann\n\"b b\", c # d\n", "etc/empty": "# nobody\n", "etc/more.conf": "local x x peer\n",
		"etc/hba.d/up.conf": "include ../more.conf\n", "shared/admins": "eve\n", "data/team": "tim\n", "etc/last": "local y y \\\n peer\\",
		"etc/self": "include self\n",
	})
	expand := strings.NewReplacer("ETC", dir+"/etc", "SHARED", dir+"/shared", "DATA", dir+"/data").Replace
	belongs := func(path string) bool { return strings.HasPrefix(path, dir+"/data/") }
	for _, test := range []struct {
		name, text, want string
		told             string // the names of the changes
	}{
		{name: "nothing", text: "local all all peer\r\n\n# include more.conf\nlocal \"@admins\" all peer", want: "local all all peer\r\n\n# include more.conf\nlocal \"@admins\" all peer"},
		{
			name: "a list", text: "local all z,@admins peer # x\nlocal all all reject\n", told: "@admins",
			want: "# pgleap: the names of the lists stand in the place of @file\nlocal all z,ann,\"b b\",c peer\n#local all z,@admins peer # x\nlocal all all reject\n",
		},
		{name: "an empty list, and one that is missing", text: "local @empty @nowhere peer\n", want: "local @empty @nowhere peer\n"},
		{name: "a list elsewhere", text: "local all @../shared/admins peer", want: "# pgleap: the names of the lists stand in the place of @file\nlocal all @SHARED/admins peer\n#local all @../shared/admins peer"},
		{name: "one that is named as a whole", text: "local all @SHARED/admins peer", want: "local all @SHARED/admins peer"},
		{
			name: "one in the data directory", text: "m tim @DATA/team\n", told: "@DATA/team",
			want: "# pgleap: the names of the lists stand in the place of @file\nm tim tim\n#m tim @DATA/team\n",
		},
		{name: "a file", text: "include more.conf\nlocal all all reject\n", told: "include", want: "# pgleap: begin of \"ETC/more.conf\"\nlocal x x peer\n# pgleap: end of \"ETC/more.conf\"\nlocal all all reject\n"},
		{
			name: "a file that includes one", text: "include hba.d/up.conf", told: "include",
			want: "# pgleap: begin of \"ETC/hba.d/up.conf\"\n# pgleap: begin of \"ETC/more.conf\"\nlocal x x peer\n# pgleap: end of \"ETC/more.conf\"\n# pgleap: end of \"ETC/hba.d/up.conf\"",
		},
		{name: "one that ends in the middle of a line", text: "include last\nlocal all all reject\n", told: "include", want: "# pgleap: begin of \"ETC/last\"\nlocal y y \\\n peer\\\n\n# pgleap: end of \"ETC/last\"\nlocal all all reject\n"},
		{name: "a directory", text: "include_dir hba.d", told: "include_dir", want: "# pgleap: begin of \"ETC/hba.d/up.conf\"\n# pgleap: begin of \"ETC/more.conf\"\nlocal x x peer\n# pgleap: end of \"ETC/more.conf\"\n# pgleap: end of \"ETC/hba.d/up.conf\""},
		{name: "a directory elsewhere", text: "include_dir ../shared\n", want: "include_dir \"SHARED\"\n"},
		{name: "files that are missing", text: "include no.conf\ninclude_if_exists no.conf\ninclude_dir no.d\n", want: "include no.conf\ninclude_if_exists no.conf\ninclude_dir no.d\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := InlineAccess(filepath.Join(dir, "etc", "pg_hba.conf"), []byte(expand(test.text)), belongs)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(expand(test.want), string(got.Text)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			var told []string
			for _, change := range got.Changes {
				told = append(told, change.Name)
			}
			if got := strings.Join(told, " "); got != expand(test.told) {
				t.Errorf("told of %q", got)
			}
		})
	}
	if _, err := InlineAccess(filepath.Join(dir, "etc", "pg_hba.conf"), []byte("include self\n"), belongs); err == nil || !strings.Contains(err.Error(), "includes itself") {
		t.Errorf("a file that includes itself: %v", err)
	}
}

// FuzzInlineAccess: what was inlined once is independent of its place, whatever the files hold.
func FuzzInlineAccess(f *testing.F) {
	f.Add([]byte(includingHBA), []byte("local b @list peer\n"), []byte("a b,\"c c\"\n"))
	f.Add([]byte("include one.conf\nlocal all @list peer"), []byte("local all all peer\\"), []byte("x \\\n"))
	f.Add([]byte("include_dir .\r\nlocal @list,all @one.conf peer"), []byte("@list"), []byte("# \\\n,"))
	f.Fuzz(func(t *testing.T, text, included, list []byte) {
		dir := t.TempDir()
		writeAccess(t, dir, map[string]string{"one.conf": string(included), "list": string(list)})
		path, nobody := filepath.Join(dir, "pg_hba.conf"), func(string) bool { return false }
		once, err := InlineAccess(path, text, nobody)
		if err != nil {
			return
		}
		again, err := InlineAccess(path, once.Text, nobody)
		if err != nil || len(again.Changes) > 0 || string(again.Text) != string(once.Text) {
			t.Fatalf("inlined to %q, and once more to %q: %v", once.Text, again.Text, err)
		}
	})
}
