package pgbouncer

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// replacement is a file's new content, already on the disk beside it: one rename away.
type replacement struct {
	path, temp string
}

// prepareReplacement writes the new content with the old owner and mode, and forces it to the disk.
func prepareReplacement(path, text string, old fs.FileInfo) (r replacement, err error) {
	f, err := os.CreateTemp(filepath.Dir(path), tempPattern(path))
	if err != nil {
		return replacement{}, fmt.Errorf("prepare %s: %w", path, err)
	}
	r = replacement{path: path, temp: f.Name()}
	defer func() {
		if err != nil {
			r.discard()
			err = fmt.Errorf("prepare %s: %w", path, err)
		}
	}()
	_, err = f.WriteString(text)
	return r, errors.Join(err, copyOwner(f, old), f.Sync(), f.Close())
}

// commit puts the new content in place. The rename survives a crash of this process; surviving one
// of the machine needs syncDir, which can wait until no client does.
func (r replacement) commit() error { return os.Rename(r.temp, r.path) }

// discard removes a content that was not used.
func (r replacement) discard() { _ = os.Remove(r.temp) }

// syncDir makes a rename durable.
func syncDir(path string) error {
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// writeFile replaces a file durably.
func writeFile(path, text string, old fs.FileInfo) error {
	r, err := prepareReplacement(path, text, old)
	if err != nil {
		return err
	}
	if err := r.commit(); err != nil {
		r.discard()
		return err
	}
	return syncDir(path)
}

// copyOwner gives a new file the mode and the owner of the one it will replace.
func copyOwner(f *os.File, old fs.FileInfo) error {
	if err := f.Chmod(old.Mode().Perm()); err != nil {
		return err
	}
	was, known := old.Sys().(*syscall.Stat_t)
	if !known {
		return nil
	}
	info, err := f.Stat()
	if err != nil {
		return err
	}
	is, known := info.Sys().(*syscall.Stat_t)
	if !known || is.Uid == was.Uid && is.Gid == was.Gid {
		return nil
	}
	if err := f.Chown(int(was.Uid), int(was.Gid)); err != nil {
		return fmt.Errorf("keep its owner: %w", err)
	}
	return nil
}

// tempPattern names our temporary files, so that those of a process that died are found.
func tempPattern(path string) string { return "." + filepath.Base(path) + ".pgleap-*" }

// removeLeftovers removes what a process that died had prepared for a file.
func removeLeftovers(path string, keep map[string]bool) {
	left, _ := filepath.Glob(filepath.Join(globEscape(filepath.Dir(path)), globEscape("."+filepath.Base(path)+".pgleap-")+"*"))
	for _, l := range left {
		if !keep[l] {
			_ = os.Remove(l)
		}
	}
}

func globEscape(s string) string {
	var out []byte
	for i := range len(s) {
		if c := s[i]; c == '*' || c == '?' || c == '[' || c == '\\' {
			out = append(out, '\\')
		}
		out = append(out, s[i])
	}
	return string(out)
}
