package onhost

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// Whoever may read the source's postgresql.conf may read the target's, unless that shows what the source keeps to itself.
func TestConfMode(t *testing.T) {
	user := self(t)
	for name, test := range map[string]struct {
		main, included fs.FileMode
		auto           string
		want           fs.FileMode
		closedBy       string
	}{
		"as on Debian":                  {main: 0o644, included: 0o644, want: 0o644},
		"in a data directory":           {main: 0o600, included: 0o644, want: 0o600},
		"for a group":                   {main: 0o640, included: 0o644, want: 0o640},
		"an included file is closed":    {main: 0o644, included: 0o600, want: 0o600},
		"ALTER SYSTEM, harmless":        {main: 0o644, included: 0o644, auto: "work_mem = '9MB'\nauto_explain.log_min_duration = '5s'\nmy.trace = on\n", want: 0o644},
		"ALTER SYSTEM, of an extension": {main: 0o644, included: 0o644, auto: "my.token = 'hunter2'\n", want: 0o600, closedBy: "my.token"},
		"ALTER SYSTEM, a command":       {main: 0o644, included: 0o644, auto: "archive_command = 'push --key x %p'\n", want: 0o600, closedBy: "archive_command"},
		"of a former standby":           {main: 0o644, included: 0o644, auto: "primary_conninfo = 'password=x'\n", want: 0o644},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			write := func(name, text string, mode fs.FileMode) {
				t.Helper()
				if err := os.WriteFile(filepath.Join(dir, name), []byte(text), mode); err != nil {
					t.Fatal(err)
				}
			}
			write("postgresql.conf", "include 'more.conf'\n", test.main)
			write("more.conf", "", test.included)
			write("postgresql.auto.conf", test.auto, 0o600)
			plan := upgrade.Plan{Source: upgrade.Cluster{Owner: user.Name, Pgdata: dir, ConfigFile: filepath.Join(dir, "postgresql.conf")}}
			mode, closedBy, err := confMode(plan, user)
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(closedBy, ", "); mode != test.want || got != test.closedBy {
				t.Errorf("got %s, closed by %q, want %s, %q", mode, got, test.want, test.closedBy)
			}
			tree, err := sourceTree(plan, nil)
			if err != nil {
				t.Fatal(err)
			}
			conf, _, err := translateTree(plan, tree, func(string) bool { return true })
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(conf.String(), "password") {
				t.Errorf("a password is shown:\n%s", conf)
			}
		})
	}
}
