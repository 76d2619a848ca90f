package secret

import (
	"fmt"
	"os"
	"path/filepath"
)

// ReadFile reads a file with a secret in it, and refuses one that others may read: then the
// secret must be taken for known.
func ReadFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return nil, fmt.Errorf("%s has mode %04o: other users may have read it: "+
			"remove it to have a new one made, or, if they have not, chmod 600 it", path, mode)
	}
	return os.ReadFile(path)
}

// WriteFile writes data to a file that only this user can read. Whoever opens path sees all
// of it or what was there before, also after a power failure. publish is os.Rename to replace
// what is there, os.Link to fail if something is.
func WriteFile(path string, data []byte, publish func(from, to string) error) error {
	// CreateTemp makes files of mode 0600.
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	if _, err := f.Write(data); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := publish(f.Name(), path); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}
