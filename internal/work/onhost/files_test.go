package onhost

import (
	"errors"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pgleap/pgleap/internal/run"
	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/internal/upgrade/step"
)

func self(t *testing.T) run.User {
	t.Helper()
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	found, err := run.LookupUser(me.Username)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestNotes(t *testing.T) {
	w := &Worker{dir: t.TempDir()}
	files, err := w.files(upgrade.Plan{Number: 7, ID: "u"})
	if err != nil {
		t.Fatal(err)
	}
	written := step.Handover{LSN: "0/5000028", Slots: []step.Slot{{Database: "shop", DatabaseOID: 5, Name: "pgleap_5", LSN: "0/5000000"}}}
	var got step.Handover
	if found, err := files.read(noteHandover, &got); found || err != nil || files.has(noteHandover) {
		t.Errorf("before it is written: found %t, %v", found, err)
	}
	if err := files.write(noteHandover, written); err != nil {
		t.Fatal(err)
	}
	if found, err := files.read(noteHandover, &got); !found || err != nil {
		t.Fatalf("found %t, %v", found, err)
	}
	if diff := cmp.Diff(written, got); diff != "" {
		t.Errorf("(-written +read):\n%s", diff)
	}
	if names := list(t, files.dir); len(names) != 2 { // it and the transcripts: nothing half-written
		t.Errorf("files: %v", names)
	}
	if info, err := os.Stat(filepath.Join(files.dir, string(noteHandover))); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	// An upgrade of another record has notes of its own, even if its number is the same.
	other, err := w.files(upgrade.Plan{Number: 7, ID: "another"})
	if err != nil || other.has(noteHandover) {
		t.Errorf("another upgrade has the note: %v", err)
	}
	for range 2 {
		if err := files.remove(noteHandover); err != nil || files.has(noteHandover) {
			t.Errorf("remove: %v", err)
		}
	}
}

func TestNoteThatCannotBeRead(t *testing.T) {
	w := &Worker{dir: t.TempDir()}
	files, err := w.files(upgrade.Plan{Number: 7})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(files.dir, string(noteHandover)), []byte(`{"lsn": "0/5`), 0o600); err != nil {
		t.Fatal(err)
	}
	var got step.Handover
	if _, err := files.read(noteHandover, &got); err == nil || !strings.Contains(err.Error(), "read note handover.json") {
		t.Errorf("a torn note: %v", err)
	}
}

func TestMakeDir(t *testing.T) {
	user := self(t)
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	for range 2 { // a second time it is taken as it is
		if err := makeDir(path("new"), user); err != nil {
			t.Fatal(err)
		}
	}
	if info, err := os.Stat(path("new")); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if err := os.Symlink(path("new"), path("link")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path("file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"link", "file"} {
		err := makeDir(path(name), user)
		if refused, ok := errors.AsType[*upgrade.Refused](err); !ok || refused.Remedy == "" {
			t.Errorf("a %s in its place: %v", name, err)
		}
	}
	stranger := user
	stranger.UID, stranger.Name = user.UID+1, "somebody"
	if err := checkOwned(path("new"), stranger); err == nil || !strings.Contains(err.Error(), "is not a directory of user somebody") {
		t.Errorf("a directory of another user: %v", err)
	}
}

func TestMakeParents(t *testing.T) {
	top := t.TempDir()
	path := filepath.Join(top, "a", "b", "data")
	made, err := makeParents(path, self(t))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{filepath.Join(top, "a"), filepath.Join(top, "a", "b")}, made); diff != "" {
		t.Errorf("made (-want +got):\n%s", diff)
	}
	if again, err := makeParents(path, self(t)); err != nil || len(again) != 0 {
		t.Errorf("a second time: %v, %v", again, err)
	}
}

// Where somebody else could lay a link, nothing is written through it.
func TestWriteOwnedFollowsNoLink(t *testing.T) {
	dir := t.TempDir()
	precious := filepath.Join(t.TempDir(), "precious")
	if err := os.WriteFile(precious, []byte("as it was"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(precious, filepath.Join(dir, "postgresql.conf")); err != nil {
		t.Fatal(err)
	}
	err := writeOwned(filepath.Join(dir, "postgresql.conf"), []byte("port = 1\n"), self(t), 0o600)
	if got := read(precious); got != "as it was" {
		t.Errorf("it holds %q; writing said %v", got, err)
	}
}
