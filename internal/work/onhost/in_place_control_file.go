package onhost

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// controlFile is what a cluster cannot be started without.
func controlFile(pgdata string) string { return filepath.Join(pgdata, "global", "pg_control") }

// isDisabled tells whether pg_control's name was taken away. A .old may lie beside it from before.
func isDisabled(pgdata string) bool {
	_, missing := os.Lstat(controlFile(pgdata))
	_, disabled := os.Lstat(controlFile(pgdata) + ".old")
	return errors.Is(missing, fs.ErrNotExist) && disabled == nil
}

// disableControl takes pg_control's name away, as pg_upgrade does with links (controldata.c,
// disable_old_cluster): a cluster without it cannot be started.
func disableControl(pgdata string) error {
	path := controlFile(pgdata)
	if err := os.Rename(path, path+".old"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("disable %s: %w", pgdata, err)
	}
	return syncPath(filepath.Dir(path))
}

// enableControl gives it back.
func enableControl(pgdata string) error {
	path := controlFile(pgdata)
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	if err := os.Rename(path+".old", path); err != nil {
		return fmt.Errorf("enable %s: %w", pgdata, err)
	}
	return syncPath(filepath.Dir(path))
}

// removeControl disables a cluster for good.
func removeControl(pgdata string) error {
	path := controlFile(pgdata)
	err := os.Remove(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("disable %s: %w", pgdata, err)
	}
	return syncPath(filepath.Dir(path))
}
