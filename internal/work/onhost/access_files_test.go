package onhost

import (
	"errors"
	"log/slog"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pgleap/pgleap/internal/run"
	"github.com/pgleap/pgleap/internal/upgrade"
)

func TestConfigurationUnchanged(t *testing.T) {
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	source, target := t.TempDir(), t.TempDir()
	plan := upgrade.Plan{
		Number: 1, ID: "a",
		Source: upgrade.Cluster{Version: 150018, Owner: me.Username, HBAFile: filepath.Join(source, "pg_hba.conf"), IdentFile: filepath.Join(source, "pg_ident.conf")},
		Target: upgrade.Cluster{Version: 170011, HBAFile: filepath.Join(target, "pg_hba.conf"), IdentFile: filepath.Join(target, "pg_ident.conf")},
	}
	write := func(path, text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	w := New(nil, nil, t.TempDir(), GuardCommand{}, slog.New(slog.DiscardHandler), time.Now)
	check := func(what, file string) {
		t.Helper()
		err := w.configurationUnchanged(plan)
		refused, ok := errors.AsType[*upgrade.Refused](err)
		if ok != (file != "") || err != nil && !ok || ok && (!strings.Contains(refused.Reason, file) || refused.Remedy == "") {
			t.Errorf("%s: got %v", what, err)
		}
	}
	const ours = "# BEGIN pgleap upgrade\nlocal all pgleap scram-sha-256\n# END pgleap upgrade\n"
	write(plan.Source.HBAFile, ours+"local all all peer\n")
	check("an upgrade without a note", "")
	owner, err := run.LookupUser(me.Username)
	if err != nil {
		t.Fatal(err)
	}
	files, err := w.files(plan)
	if err != nil {
		t.Fatal(err)
	}
	if err := noteConfiguration(plan, owner, files); err != nil {
		t.Fatal(err)
	}
	check("as it was", "")
	write(plan.Source.HBAFile, "local all all peer\n")
	check("without our block", "")
	write(plan.Source.HBAFile, ours+"local all all peer\nhost app app 10.0.0.0/8 md5\n")
	check("a line more", plan.Source.HBAFile)
	write(plan.Target.HBAFile, ours+"local all all peer\nhost app app 10.0.0.0/8 md5\n")
	check("a line more on both", "")
	write(plan.Source.IdentFile, "map root postgres\n")
	check("a pg_ident.conf", plan.Source.IdentFile)
}
