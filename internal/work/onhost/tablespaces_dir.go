package onhost

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/pgleap/pgleap/internal/run"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// noteTablespacesDir says that the directory of the target's tablespaces is this upgrade's, or is about to be.
const noteTablespacesDir note = "tablespaces-dir.made"

// tablespacesDir holds the target's tablespaces, one directory each by the source's oid.
func tablespacesDir(plan upgrade.Plan) string { return plan.Target.Pgdata + ".tablespaces" }

// makeTablespacesDir makes the directory of the target's tablespaces, unless an earlier attempt did. One that
// somebody else has made is not taken, for whoever discards the upgrade removes it.
func makeTablespacesDir(plan upgrade.Plan, files files, user run.User) error {
	dir := tablespacesDir(plan)
	if !files.has(noteTablespacesDir) {
		note := func() error { return files.write(noteTablespacesDir, dir) }
		if err := makeOwnDir(dir, note, func() error { return files.remove(noteTablespacesDir) }); err != nil {
			return err
		}
	}
	return ownDir(dir, user)
}

// removeTablespacesDir removes it, if it is this upgrade's.
func removeTablespacesDir(plan upgrade.Plan, files files) error {
	if !files.has(noteTablespacesDir) {
		return nil
	}
	if err := os.RemoveAll(tablespacesDir(plan)); err != nil {
		return fmt.Errorf("remove the target's tablespaces: %w", err)
	}
	return files.remove(noteTablespacesDir)
}

// ownDir gives a directory that is this upgrade's to the clusters' owner, and makes it if it is not there: an agent
// may have died before it did either.
func ownDir(dir string, user run.User) error {
	err := os.Mkdir(dir, 0o700)
	if err == nil || errors.Is(err, fs.ErrExist) {
		err = user.Chown(dir)
	}
	if err != nil {
		return fmt.Errorf("make directory: %w", err)
	}
	return checkOwned(dir, user)
}

// makeOwnDir makes a directory that was not there before. It is noted first, so that whatever dies in between,
// what is left is known; the note goes again if somebody else was faster.
func makeOwnDir(dir string, note, forget func() error) error {
	taken := &upgrade.Refused{
		Reason: fmt.Sprintf("%s, where the tablespaces would go, exists already", dir),
		Remedy: "see what uses it; if nothing does, move it away and start the upgrade again",
		Cause:  upgrade.CausePlace,
	}
	if _, err := os.Lstat(dir); err == nil {
		return taken
	}
	if err := note(); err != nil {
		return err
	}
	err := os.Mkdir(dir, 0o700)
	if err == nil {
		return nil
	}
	if errors.Is(err, fs.ErrExist) {
		err = taken
	}
	return errors.Join(err, forget())
}
