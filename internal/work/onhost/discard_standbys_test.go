package onhost

import (
	"log/slog"
	"os"
	"os/user"
	"path/filepath"
	"testing"
	"time"

	"github.com/pgleap/pgleap/internal/postmaster"
	"github.com/pgleap/pgleap/internal/run"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// What is in the place of a standby's successor is removed if this upgrade has put it there, and left alone otherwise.
func TestDiscardStandbyOfOthers(t *testing.T) {
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	const ours, others = "\x01target!", "\x02another"
	for _, test := range []struct {
		name     string
		files    map[string]string
		clearing bool
		removed  bool
	}{
		{name: "nothing yet", removed: true},
		{name: "the WAL of a copy that has begun", files: map[string]string{"pg_wal/0": ""}, removed: true},
		{name: "a part of a copy", files: map[string]string{"backup_label": "START TIME: now\nLABEL: pgleap upgrade 7, standby s1\n", "base/1/1": ""}, removed: true},
		{name: "a part of somebody's copy", files: map[string]string{"backup_label": "LABEL: nightly\n", "base/1/1": ""}},
		{name: "somebody's files", files: map[string]string{"notes.txt": "mine"}},
		{name: "a copy of the target", files: map[string]string{"global/pg_control": ours + "..."}, removed: true},
		{name: "another cluster", files: map[string]string{"global/pg_control": others + "..."}},
		{name: "a copy that is half removed", files: map[string]string{"pg_xact/0": ""}, clearing: true, removed: true},
		{name: "another cluster where a copy was half removed", files: map[string]string{"global/pg_control": others + "..."}, clearing: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			log := slog.New(slog.DiscardHandler)
			runner := run.New(log)
			w := New(postmaster.New("h1", runner, nil, log), runner, filepath.Join(dir, "agent"), GuardCommand{}, log, time.Now)
			plan := upgrade.Plan{Number: 7, ID: "a", Source: upgrade.Cluster{Owner: me.Username}}
			files, err := w.files(plan)
			if err != nil {
				t.Fatal(err)
			}
			if err := files.write(noteTargetPlace, targetPlace{Number: 7, ID: "a", Identifier: []byte(ours)}); err != nil {
				t.Fatal(err)
			}
			old := upgrade.Cluster{Owner: me.Username, Pgdata: filepath.Join(dir, "old")}
			pgdata := filepath.Join(dir, "new")
			records := standbyRecords{All: []standbyRecord{{
				Standby: upgrade.Standby{Name: "s1", Cluster: &old}, Stage: standbyBegun, MadeDir: true, Clearing: test.clearing,
				Successor: upgrade.Cluster{Owner: me.Username, Pgdata: pgdata, Manager: upgrade.ManagerPgCtl},
			}}}
			for name, text := range test.files {
				path := filepath.Join(pgdata, name)
				if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if err := w.discardStandby(t.Context(), plan, files, &records, 0); err != nil {
				t.Fatal(err)
			}
			if _, err := os.Stat(pgdata); os.IsNotExist(err) != test.removed {
				t.Errorf("removed: %v", err)
			}
			if records.All[0].Stage != standbyFound {
				t.Errorf("the record says %+v", records.All[0])
			}
		})
	}
}
