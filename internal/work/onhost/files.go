package onhost

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/pgleap/pgleap/internal/pgconf"
	"github.com/pgleap/pgleap/internal/run"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// files is the agent's own directory of one upgrade. It belongs to the agent, not to the cluster's
// owner: an agent that runs as root must not write where somebody else could lay a link.
type files struct{ dir string }

func (w *Worker) files(plan upgrade.Plan) (files, error) {
	f := files{dir: filepath.Join(w.dir, "upgrades", taskName(plan))}
	if err := os.MkdirAll(filepath.Join(f.dir, "transcripts"), 0o700); err != nil {
		return f, fmt.Errorf("make the agent's directory: %w", err)
	}
	return f, nil
}

// taskName names an upgrade in the agent's directory. The number is for people; the UUID keeps it
// apart from one of the same number in a record that was lost since.
func taskName(plan upgrade.Plan) string {
	return strconv.FormatInt(plan.Number, 10) + "-" + plan.ID
}

func (f files) transcript(program string) string {
	return filepath.Join(f.dir, "transcripts", program+".log")
}

func (f files) pidfile(program string) string { return filepath.Join(f.dir, program+".pid") }

// note is something that the agent remembers of an upgrade: a step that is done, or has begun.
type note string

// The notes.
const (
	noteParents        note = "parents.json"       // directories that were made above the target's
	noteSourcePrepared note = "source.prepared"    // or about to be: there is something to restore
	noteTargetDir      note = "target-dir.made"    // the target's data directory was not there before
	noteCloneSockets   note = "clone-sockets.json" // the directory of the clone's socket
	noteAccessFiles    note = "access-files.json"  // what the source's pg_hba.conf and pg_ident.conf were when they were carried over
	noteIdentities     note = "full-identity.json" // the tables that have REPLICA IDENTITY FULL for now, and what they had
	noteBackedUp       note = "base-backup.done"
	noteHandover       note = "handover.json"
	notePromoted       note = "promoted.json"
	noteTargetBegun    note = "target.begun"
	noteUpgradeBegun   note = "pg_upgrade.begun"
	noteUpgraded       note = "pg_upgrade.done"
	noteTargetStarted  note = "target.started"
)

// read reads a note; without one it leaves to as it is.
func (f files) read(n note, to any) (found bool, err error) {
	content, err := os.ReadFile(filepath.Join(f.dir, string(n)))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read note: %w", err)
	}
	if err := json.Unmarshal(content, to); err != nil {
		return false, fmt.Errorf("read note %s: %w", n, err)
	}
	return true, nil
}

func (f files) has(n note) bool {
	_, err := os.Stat(filepath.Join(f.dir, string(n)))
	return err == nil
}

// write writes a note durably.
func (f files) write(n note, content any) error {
	text, err := json.Marshal(content)
	if err != nil {
		return fmt.Errorf("write note %s: %w", n, err)
	}
	root, err := os.OpenRoot(f.dir)
	if err != nil {
		return fmt.Errorf("write note %s: %w", n, err)
	}
	defer root.Close() //nolint:errcheck // nothing is lost with it
	own := pgconf.Owner{UID: os.Geteuid(), GID: os.Getegid()}
	if err := pgconf.WriteFile(root, string(n), text, own, 0o600); err != nil {
		return fmt.Errorf("write note %s: %w", n, err)
	}
	return nil
}

func (f files) remove(n note) error {
	err := os.Remove(filepath.Join(f.dir, string(n)))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// makeDir makes a directory for a cluster's owner alone, or takes one that is his.
func makeDir(path string, user run.User) error {
	err := os.Mkdir(path, 0o700)
	if err == nil {
		err = user.Chown(path)
	}
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("make directory: %w", err)
	}
	return checkOwned(path, user)
}

// makeParents makes the directories above path that are missing, for the owner, and returns them,
// the uppermost first.
func makeParents(path string, user run.User) ([]string, error) {
	parent := filepath.Dir(path)
	_, err := os.Stat(parent)
	if err == nil || !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	made, err := makeParents(parent, user)
	if err != nil {
		return made, err
	}
	if err := os.Mkdir(parent, 0o755); err != nil { //nolint:gosec // as the directories above a data directory are
		return made, fmt.Errorf("make directory: %w", err)
	}
	return append(made, parent), user.Chown(parent)
}

// checkOwned refuses a path that is a link, or that belongs to somebody else.
func checkOwned(path string, user run.User) error {
	info, err := os.Lstat(path)
	if err != nil {
		return fmt.Errorf("look at directory: %w", err)
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !info.IsDir() || !ok || int(stat.Uid) != user.UID {
		return &upgrade.Refused{
			Reason: fmt.Sprintf("%s is not a directory of user %s", path, user.Name),
			Remedy: "move it out of the way or choose another target data directory",
		}
	}
	return nil
}

// writeOwned writes a file for a cluster's owner into one of his directories.
func writeOwned(path string, content []byte, user run.User, mode fs.FileMode) error {
	root, err := os.OpenRoot(filepath.Dir(path))
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	defer root.Close() //nolint:errcheck // nothing is lost with it
	if err := pgconf.WriteFile(root, filepath.Base(path), content, pgconf.Owner{UID: user.UID, GID: user.GID}, mode); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// emptyDir removes what is in a directory, unless somebody has put a link in its place.
func emptyDir(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !info.IsDir() {
		return nil
	}
	if err != nil {
		return err
	}
	above, err := os.OpenRoot(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer above.Close()                              //nolint:errcheck // nothing is lost with it
	root, err := above.OpenRoot(filepath.Base(path)) // a link that leads out is not followed
	if err != nil {
		return err
	}
	defer root.Close() //nolint:errcheck // nothing is lost with it
	entries, err := fs.ReadDir(root.FS(), ".")
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if err := root.RemoveAll(entry.Name()); err != nil {
			return err
		}
	}
	return nil
}
