package pgconf

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func openRoot(t *testing.T, dir string) *os.Root {
	t.Helper()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = root.Close() })
	return root
}

func self() Owner { return Owner{os.Getuid(), os.Getgid()} }

func assertFile(t *testing.T, path, text string, mode fs.FileMode, owner Owner) {
	t.Helper()
	got, err := os.ReadFile(path)
	if err != nil || string(got) != text {
		t.Errorf("%s holds %q, %v, want %q", path, got, err, text)
	}
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	stat := info.Sys().(*syscall.Stat_t)
	if info.Mode() != mode || (Owner{int(stat.Uid), int(stat.Gid)}) != owner {
		t.Errorf("%s: mode %v, owner %d:%d, want %v, %v", path, info.Mode(), stat.Uid, stat.Gid, mode, owner)
	}
}

func assertEntries(t *testing.T, dir string, want ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	if strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("%s holds %q, want %q", dir, got, want)
	}
}

func TestWriteFile(t *testing.T) {
	dir := writeTree(t, map[string]string{"old.conf": "old", "conf.d/a.conf": "old"})
	if err := os.Chmod(filepath.Join(dir, "old.conf"), 0o640); err != nil {
		t.Fatal(err)
	}
	root := openRoot(t, dir)
	for _, name := range []string{"old.conf", "new.conf", "conf.d/a.conf"} {
		if err := WriteFile(root, name, []byte("new"), self(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	assertFile(t, filepath.Join(dir, "old.conf"), "new", 0o640, self())
	assertFile(t, filepath.Join(dir, "new.conf"), "new", 0o644, self())
	assertFile(t, filepath.Join(dir, "conf.d/a.conf"), "new", 0o600, self())
	assertEntries(t, dir, "conf.d", "new.conf", "old.conf")
	assertEntries(t, filepath.Join(dir, "conf.d"), "a.conf")
}

func TestWriteFileAsRootKeepsTheOwner(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can give files away")
	}
	dir := writeTree(t, map[string]string{"old.conf": "old"})
	other := Owner{12345, 12346}
	if err := os.Chown(filepath.Join(dir, "old.conf"), other.UID, other.GID); err != nil {
		t.Fatal(err)
	}
	root := openRoot(t, dir)
	if err := WriteFile(root, "old.conf", []byte("new"), self(), 0o644); err != nil {
		t.Fatal(err)
	}
	assertFile(t, filepath.Join(dir, "old.conf"), "new", 0o600, other)
	if err := WriteFile(root, "new.conf", []byte("new"), other, 0o600); err != nil {
		t.Fatal(err)
	}
	assertFile(t, filepath.Join(dir, "new.conf"), "new", 0o600, other)
}

func TestWriteFileDoesNotFollowLinks(t *testing.T) {
	outside := writeTree(t, map[string]string{"shadow": "untouched"})
	dir := writeTree(t, map[string]string{"real.conf": "untouched", "folder/x": "untouched"})
	links := map[string]string{
		"out.conf":      filepath.Join(outside, "shadow"),
		"in.conf":       "real.conf",
		"dangling.conf": filepath.Join(outside, "made"),
		"outdir":        outside,
	}
	for name, target := range links {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	root := openRoot(t, dir)
	for name, want := range map[string]string{
		"out.conf":                            "symbolic link",
		"in.conf":                             "symbolic link",
		"dangling.conf":                       "symbolic link",
		"outdir/shadow":                       "escapes",
		"../" + filepath.Base(outside) + "/x": "escapes",
		filepath.Join(outside, "shadow"):      "escapes",
		"folder":                              "not a regular file",
		"none/x.conf":                         "no such file",
	} {
		err := WriteFile(root, name, []byte("overwritten"), self(), 0o600)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", name, err, want)
		}
	}
	assertFile(t, filepath.Join(outside, "shadow"), "untouched", 0o600, self())
	assertFile(t, filepath.Join(dir, "real.conf"), "untouched", 0o600, self())
	assertEntries(t, outside, "shadow")
	assertEntries(t, dir, "dangling.conf", "folder", "in.conf", "out.conf", "outdir", "real.conf")
}

func TestWriteFileFailsWithoutATrace(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("root may give files away, so nothing fails here")
	}
	dir := writeTree(t, map[string]string{"a.conf": "old"})
	err := WriteFile(openRoot(t, dir), "b.conf", []byte("new"), Owner{0, 0}, 0o600)
	if err == nil {
		t.Error("a file was given to root")
	}
	assertEntries(t, dir, "a.conf")
}
