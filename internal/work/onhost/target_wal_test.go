package onhost

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pgleap/pgleap/internal/run"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// The target's WAL goes beside the source's where that is elsewhere. What was there before is neither used
// nor removed.
func TestMakeTargetWAL(t *testing.T) {
	for name, test := range map[string]struct {
		linked bool
		taken  []string
		want   string // "": in the data directory
		refuse bool
	}{
		"in the data directory":  {want: ""},
		"elsewhere":              {linked: true, want: "main-17"},
		"the name is taken":      {linked: true, taken: []string{"main-17"}, want: "main-17-pgleap7"},
		"both names are taken":   {linked: true, taken: []string{"main-17", "main-17-pgleap7"}, refuse: true},
		"taken, but not in need": {taken: []string{"main-17"}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			plan := upgrade.Plan{
				Number: 7, Source: upgrade.Cluster{Pgdata: filepath.Join(dir, "data")},
				Target: upgrade.Cluster{Version: 170001, Pgdata: filepath.Join(dir, "target")},
			}
			w := &Worker{dir: filepath.Join(dir, "agent")}
			files, err := w.files(plan)
			if err != nil {
				t.Fatal(err)
			}
			wal := filepath.Join(dir, "wal")
			made := []string{plan.Source.Pgdata, wal, filepath.Join(wal, "main")}
			for _, name := range test.taken {
				made = append(made, filepath.Join(wal, name))
			}
			for _, path := range made {
				if err := os.Mkdir(path, 0o700); err != nil {
					t.Fatal(err)
				}
			}
			link := filepath.Join(plan.Source.Pgdata, "pg_wal")
			if test.linked {
				err = os.Symlink(filepath.Join(wal, "main"), link)
			} else {
				err = os.Mkdir(link, 0o700)
			}
			if err != nil {
				t.Fatal(err)
			}
			before := list(t, wal)
			got, err := makeTargetWAL(plan, run.User{UID: os.Geteuid(), GID: os.Getegid()}, noteOfTargetWAL(files))
			if _, refused := errors.AsType[*upgrade.Refused](err); refused != test.refuse || err != nil && !refused {
				t.Fatalf("got %q, %v", got, err)
			}
			if base := filepath.Base(got); base != test.want && !(got == "" && test.want == "") {
				t.Errorf("got %q, want %q", base, test.want)
			}
			for range 2 { // a removal that is done again changes nothing
				if err := removeTargetWAL(files); err != nil {
					t.Fatal(err)
				}
			}
			if diff := cmp.Diff(before, list(t, wal)); diff != "" {
				t.Errorf("beside the source's WAL (-before +after):\n%s", diff)
			}
		})
	}
}
