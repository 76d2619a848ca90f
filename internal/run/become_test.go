package run

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

func TestFilesAreReadWithTheRightsOfTheUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can become somebody else")
	}
	nobody, err := LookupUser("nobody")
	if err != nil {
		t.Skip("there is no user nobody: " + err.Error())
	}
	dir, err := os.MkdirTemp("/tmp", "pgleap-run-") // nobody must be able to pass through
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	secret, link, open := filepath.Join(dir, "secret"), filepath.Join(dir, "link"), filepath.Join(dir, "open")
	write(t, secret, 0o600)
	write(t, open, 0o644)
	if err := os.Symlink(secret, link); err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for range 30 { // threads are shared: none may keep the other's rights
		all.Go(func() {
			if _, err := nobody.ReadFile(link); !errors.Is(err, fs.ErrPermission) {
				t.Errorf("read a secret of root's through a link: %v", err)
			}
			if content, err := nobody.ReadFile(open); err != nil || string(content) != "text" {
				t.Errorf("read an open file: %q, %v", content, err)
			}
			if _, err := os.ReadFile(secret); err != nil {
				t.Errorf("root has lost his rights: %v", err)
			}
		})
	}
	all.Wait()
}

func write(t *testing.T, path string, mode fs.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, []byte("text"), mode); err != nil {
		t.Fatal(err)
	}
}
