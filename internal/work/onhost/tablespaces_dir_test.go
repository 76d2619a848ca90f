package onhost

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/pgleap/pgleap/internal/run"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// What lies where the target's tablespaces would go is neither used nor removed, unless this upgrade has put
// it there.
func TestTablespacesDir(t *testing.T) {
	me := run.User{UID: os.Geteuid(), GID: os.Getegid()}
	for name, c := range map[string]struct {
		noted, there, refused, left bool
	}{
		"nothing there":               {},
		"somebody's":                  {there: true, refused: true, left: true},
		"of an earlier attempt":       {noted: true, there: true},
		"noted by an agent that died": {noted: true},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			w := &Worker{dir: filepath.Join(dir, "agent")}
			plan := upgrade.Plan{Number: 7, Target: upgrade.Cluster{Pgdata: filepath.Join(dir, "target")}}
			files, err := w.files(plan)
			if err != nil {
				t.Fatal(err)
			}
			if c.noted {
				err = files.write(noteTablespacesDir, "")
			}
			if c.there {
				err = errors.Join(err, os.MkdirAll(filepath.Join(tablespacesDir(plan), "16384", "PG_0_"), 0o700))
			}
			if err != nil {
				t.Fatal(err)
			}
			err = makeTablespacesDir(plan, files, me)
			if _, refused := errors.AsType[*upgrade.Refused](err); refused != c.refused || err != nil && !refused {
				t.Errorf("made: %v", err)
			}
			if err == nil {
				err = makeTablespacesDir(plan, files, me) // again, as a repeated step does
			}
			if (err != nil) != c.refused {
				t.Errorf("made again: %v", err)
			}
			if err := removeTarget(plan, files); err != nil {
				t.Error(err)
			}
			for range 2 { // a removal that is done again changes nothing
				if err := removeTablespacesDir(plan, files); err != nil {
					t.Error(err)
				}
			}
			if _, err := os.Stat(filepath.Join(tablespacesDir(plan), "16384", "PG_0_")); (err == nil) != c.left {
				t.Errorf("left: %v", err)
			}
			if _, err := os.Stat(tablespacesDir(plan)); (err == nil) != c.left {
				t.Errorf("left: %v", err)
			}
		})
	}
}

// A precheck tells of what would lie in the way of the clone's tablespaces, if there are any.
func TestPlaceOfTablespacesIsTaken(t *testing.T) {
	w, source, args := precheckBed(t)
	plan := args.Plan
	if err := os.Mkdir(tablespacesDir(plan), 0o700); err != nil {
		t.Fatal(err)
	}
	if problems := w.targetProblems(t.Context(), plan); len(problems) > 0 {
		t.Errorf("without tablespaces: %q", problems)
	}
	user, err := owner(plan)
	if err != nil {
		t.Fatal(err)
	}
	space := filepath.Join(filepath.Dir(source.Pgdata), "space")
	if err := makeDir(space, user); err != nil {
		t.Fatal(err)
	}
	source.Exec(t, "postgres", `CREATE TABLESPACE fast LOCATION '`+space+`'`)
	taken := tablespacesDir(plan) + ", where the tablespaces would go, exists already"
	expectFinding(t, precheckOnHost(t, w, plan, nil), "target-place", upgrade.Blocker, taken)
	plan.Mode = upgrade.InPlace // they stay where they are
	if problems := w.targetProblems(t.Context(), plan); len(problems) > 0 {
		t.Errorf("in place: %q", problems)
	}
	plan.Mode = upgrade.BlueGreen
	if err := os.Remove(tablespacesDir(plan)); err != nil {
		t.Fatal(err)
	}
	if problems := w.targetProblems(t.Context(), plan); len(problems) > 0 {
		t.Errorf("moved away: %q", problems)
	}
}
