package pgconf

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"syscall"
)

// Owner is the user and the group that a file belongs to.
type Owner struct {
	UID, GID int
}

// WriteFile puts data in the place of the file name below root, at once or
// not at all, and durably. A file that is replaced hands on its owner and its
// permissions; a new one gets those given.
//
// The caller may be root and the directory anybody's, so no symbolic link is
// written through: none leads out of root, and name itself must not be one.
// The new file is changed by its descriptor only, never by its name.
func WriteFile(root *os.Root, name string, data []byte, owner Owner, mode fs.FileMode) error {
	dir, err := root.OpenRoot(path.Dir(name))
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	defer func() { _ = dir.Close() }() // nothing was written to it
	if err := writeFile(dir, path.Base(name), data, owner, mode); err != nil {
		return fmt.Errorf("write %s below %s: %w", name, root.Name(), err)
	}
	return nil
}

func writeFile(dir *os.Root, name string, data []byte, owner Owner, mode fs.FileMode) error {
	switch old, err := dir.Lstat(name); {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return err
	case old.Mode()&fs.ModeSymlink != 0:
		return errors.New("it is a symbolic link; name the file that it points to")
	case !old.Mode().IsRegular():
		return errors.New("it is not a regular file")
	default:
		mode = old.Mode()
		if stat, ok := old.Sys().(*syscall.Stat_t); ok {
			owner = Owner{int(stat.Uid), int(stat.Gid)}
		}
	}
	// Hidden and without ".conf", it is nothing that include_dir would read.
	temp := "." + name + "." + rand.Text()
	if err := writeTemp(dir, temp, data, owner, mode.Perm()); err != nil {
		return errors.Join(err, ignoreNotExist(dir.Remove(temp)))
	}
	if err := dir.Rename(temp, name); err != nil {
		return errors.Join(err, ignoreNotExist(dir.Remove(temp)))
	}
	return syncDir(dir)
}

// writeTemp makes a new file; O_EXCL also refuses a symbolic link.
func writeTemp(dir *os.Root, name string, data []byte, owner Owner, perm fs.FileMode) (err error) {
	file, err := dir.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	if _, err := file.Write(data); err != nil {
		return err
	}
	if err := file.Chown(owner.UID, owner.GID); err != nil {
		return fmt.Errorf("give it to user %d, group %d: %w", owner.UID, owner.GID, err)
	}
	if err := file.Chmod(perm); err != nil {
		return err
	}
	return file.Sync()
}

// syncDir makes the rename durable.
func syncDir(dir *os.Root) (err error) {
	d, err := dir.Open(".")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	return d.Sync()
}

func ignoreNotExist(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
