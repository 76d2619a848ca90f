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

// removeParts removes from each tablespace in that directory, if it is this upgrade's, the part of one version: pg_upgrade
// puts the target's beside the clone's (relpath.h, TABLESPACE_VERSION_DIRECTORY).
func removeParts(plan upgrade.Plan, files files, major upgrade.Major) error {
	if !files.has(noteTablespacesDir) {
		return nil
	}
	root, err := os.OpenRoot(tablespacesDir(plan))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("remove parts of tablespaces: %w", err)
	}
	defer root.Close() //nolint:errcheck // nothing is lost with it
	parts, err := fs.Glob(root.FS(), fmt.Sprintf("*/PG_%d_*", major))
	for _, part := range parts {
		err = errors.Join(err, root.RemoveAll(part))
	}
	if err != nil {
		return fmt.Errorf("remove parts of tablespaces: %w", err)
	}
	return nil
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
	if isTaken(dir) {
		return taken(dir)
	}
	if err := note(); err != nil {
		return err
	}
	err := os.Mkdir(dir, 0o700)
	if err == nil {
		return nil
	}
	if errors.Is(err, fs.ErrExist) {
		err = taken(dir)
	}
	return errors.Join(err, forget())
}

func isTaken(dir string) bool {
	_, err := os.Lstat(dir)
	return err == nil
}

// taken refuses a directory for tablespaces that somebody else has made.
func taken(dir string) error {
	return &upgrade.Refused{
		Reason: fmt.Sprintf("%s, where the tablespaces would go, exists already", dir),
		Remedy: "see what uses it; if nothing does, move it away and start the upgrade again",
		Cause:  upgrade.CausePlace,
	}
}
