package onhost

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// Whatever a target's configuration is made of is seen to have changed, and told when it is too late to take it up.
func TestChangedOnTheSource(t *testing.T) {
	user := self(t)
	dir := t.TempDir()
	place := func(name string) string { return filepath.Join(dir, name) }
	plan := upgrade.Plan{Source: upgrade.Cluster{
		Owner: user.Name, Pgdata: dir, ConfigFile: place("postgresql.conf"), HBAFile: place("pg_hba.conf"), IdentFile: place("pg_ident.conf"),
	}}
	if err := os.Mkdir(place("crl"), 0o700); err != nil {
		t.Fatal(err)
	}
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(place(name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("postgresql.conf", "include 'more.conf'\nssl_crl_dir = '"+place("crl")+"'\n")
	for _, name := range []string{"more.conf", "postgresql.auto.conf", "pg_hba.conf", "server.crt", "crl/a.r0", "unrelated"} {
		write(name, "# "+name+"\n")
	}
	started := map[string]string{"work_mem": "4MB"}
	w := New(nil, nil, t.TempDir(), GuardCommand{}, slog.New(slog.DiscardHandler), time.Now)
	for name, test := range map[string]struct {
		change func()
		want   []string
	}{
		"nothing":               {func() {}, nil},
		"what nobody names":     {func() { write("unrelated", "x") }, nil},
		"an included file":      {func() { write("more.conf", "jit = off\n") }, []string{place("more.conf")}},
		"ALTER SYSTEM":          {func() { write("postgresql.auto.conf", "jit = off\n") }, []string{place("postgresql.auto.conf")}},
		"who may log in":        {func() { write("pg_hba.conf", "local all all reject\n") }, []string{place("pg_hba.conf")}},
		"a file that was made":  {func() { write("pg_ident.conf", "m a b\n") }, []string{place("pg_ident.conf")}},
		"a certificate":         {func() { write("server.crt", "renewed") }, []string{place("server.crt")}},
		"a list that is gone":   {func() { _ = os.Remove(place("crl/a.r0")) }, []string{place("crl/a.r0")}},
		"another command line":  {func() { started = map[string]string{"work_mem": "5MB"} }, []string{"command line"}},
		"a list that was added": {func() { write("crl/b.r0", "x") }, []string{place("crl/b.r0")}},
	} {
		t.Run(name, func(t *testing.T) {
			before, err := sourceHashes(plan, user, started)
			if err != nil {
				t.Fatal(err)
			}
			test.change()
			after, err := sourceHashes(plan, user, started)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, differing(before, after)); diff != "" {
				t.Errorf("changed (-want +got):\n%s", diff)
			}
			o := &outage{Worker: w, plan: plan, user: user, started: started, intent: outageIntent{Prepared: inPlacePrepared{Sources: before}}}
			o.tellLateChanges(t.Context())
			if len(o.told.Events) != min(1, len(test.want)) || len(test.want) > 0 && !strings.Contains(o.told.Events[0].Text, test.want[0]) {
				t.Errorf("told %+v", o.told.Events)
			}
		})
	}
}
