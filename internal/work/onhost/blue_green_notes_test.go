package onhost

import (
	"os"
	"path/filepath"
	"testing"
)

// As long as something is left of a clone that was promoted in vain, it is known that it was: it must not be followed.
func TestForgetClone(t *testing.T) {
	f := files{dir: t.TempDir()}
	for _, n := range []note{noteTargetStarted, noteUpgraded, noteBackedUp, noteCloneSpent} {
		if err := f.write(n, true); err != nil {
			t.Fatal(err)
		}
	}
	obstacle := filepath.Join(f.dir, string(noteUpgradeBegun), "held")
	if err := os.MkdirAll(obstacle, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := f.forgetClone(); err == nil || !f.has(noteCloneSpent) || !f.has(noteBackedUp) {
		t.Errorf("with a note that cannot be removed: %v; it is known that the clone is spent: %t, that it is there: %t", err, f.has(noteCloneSpent), f.has(noteBackedUp))
	}
	if err := os.Remove(obstacle); err != nil {
		t.Fatal(err)
	}
	if err := f.forgetClone(); err != nil {
		t.Error(err)
	}
	if left := list(t, f.dir); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}
