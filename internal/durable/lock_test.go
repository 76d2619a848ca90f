package durable

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

func TestLockDirIsForOneOnly(t *testing.T) {
	dir := t.TempDir()
	unlock, err := LockDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	wantMode(t, filepath.Join(dir, "lock"), 0o600)
	_, err = LockDir(dir)
	if err == nil || !strings.Contains(err.Error(), "pid "+strconv.Itoa(os.Getpid())) {
		t.Errorf("got error %v, want one that names the holder", err)
	}
	unlock()
	unlock, err = LockDir(dir)
	if err != nil {
		t.Fatalf("lock again after unlock: %v", err)
	}
	unlock()
}

func TestLockDirIgnoresWhatADeadProcessLeft(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "lock"), []byte("123456789\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	unlock, err := LockDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	text, err := os.ReadFile(filepath.Join(dir, "lock"))
	if err != nil {
		t.Fatal(err)
	}
	if want := strconv.Itoa(os.Getpid()) + "\n"; string(text) != want {
		t.Errorf("lock file says %q, want %q", text, want)
	}
}

func TestLockDirWithoutDirectory(t *testing.T) {
	if _, err := LockDir(filepath.Join(t.TempDir(), "missing")); err == nil {
		t.Error("locked a directory that does not exist")
	}
}
