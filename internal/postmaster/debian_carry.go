package postmaster

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"

	"github.com/pgleap/pgleap/internal/run"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// debianFile is a file of a source's that its target gets in the place of the one that RegisterDebian has made.
type debianFile struct {
	path, content, made string
	mode                fs.FileMode
}

// CarryDebian gives a cluster that RegisterDebian has registered what its source has beside its configuration: the
// server's environment, pg_ctl's options, and who may read the log. What somebody has written there since stays. It tells
// what it leaves out. Nothing happens for clusters of other managers.
func (h *Host) CarryDebian(target, source upgrade.Cluster) (leftOut []string, err error) {
	files, leftOut, err := h.debianFiles(target, source)
	if err != nil || len(files) == 0 {
		return leftOut, err
	}
	owner, err := run.LookupUser(target.Owner)
	if err != nil {
		return leftOut, err
	}
	err = owner.Do(func() error { // in directories of his
		for _, file := range files {
			if now, err := os.ReadFile(file.path); err != nil || string(now) != file.made {
				continue
			}
			if err := replaceFile(file); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return leftOut, fmt.Errorf("carry over what %s has beside its configuration: %w", source, err)
	}
	return leftOut, h.carryLogMode(target, source, owner)
}

// LeftOutOnDebian tells what CarryDebian leaves out, and changes nothing.
func (h *Host) LeftOutOnDebian(target, source upgrade.Cluster) ([]string, error) {
	_, leftOut, err := h.debianFiles(target, source)
	return leftOut, err
}

func (h *Host) debianFiles(target, source upgrade.Cluster) (files []debianFile, leftOut []string, err error) {
	if target.Manager != upgrade.ManagerPgCtlcluster || source.Manager != upgrade.ManagerPgCtlcluster {
		return nil, nil, nil
	}
	owner, err := run.LookupUser(source.Owner)
	if err != nil {
		return nil, nil, err
	}
	from, to := h.debian.confDir(source.Version.Major(), source.Name), h.debian.confDir(target.Version.Major(), target.Name)
	for _, file := range []struct {
		name, made string
		translate  func(string, upgrade.Cluster) (string, []string)
	}{
		{"environment", environment, environmentFor},
		{"pg_ctl.conf", pgCtlConf, pgCtlFor},
	} {
		path := filepath.Join(from, file.name)
		var mode fs.FileMode
		text, err := owner.ReadFile(path)
		if err == nil {
			mode, err = modeOf(path, owner)
		}
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			leftOut = append(leftOut, fmt.Sprintf("%s: not carried over: %v", path, err))
			continue
		}
		content, left := file.translate(string(text), source)
		for i := range left {
			left[i] = fmt.Sprintf("%s: not carried over: %s", path, left[i])
		}
		files, leftOut = append(files, debianFile{filepath.Join(to, file.name), content, file.made, mode}), append(leftOut, left...)
	}
	return files, leftOut, nil
}

func modeOf(path string, owner run.User) (mode fs.FileMode, err error) {
	err = owner.Do(func() error {
		info, err := os.Stat(path)
		if err == nil {
			mode = info.Mode().Perm()
		}
		return err
	})
	return mode, err
}

// environmentFor leaves out the lines that name directories of the source's: LD_LIBRARY_PATH with the libraries of its
// version, for example.
func environmentFor(text string, source upgrade.Cluster) (string, []string) {
	var leftOut []string
	lines := strings.SplitAfter(text, "\n")
	for i, line := range lines {
		name, _, _ := strings.Cut(strings.TrimSpace(line), "=")
		if strings.HasPrefix(name, "#") || !namesDir(line, filepath.Dir(source.Bindir)) && !namesDir(line, source.Pgdata) {
			continue
		}
		lines[i] = "# pgleap: it names a directory of the source\n#" + line
		leftOut = append(leftOut, strings.TrimSpace(name)+", which names a directory of the source; set it for the target if it needs it")
	}
	return strings.Join(lines, ""), leftOut
}

// namesDir tells whether a text names a directory, and not one whose name only begins alike.
func namesDir(text, dir string) bool {
	return regexp.MustCompile(regexp.QuoteMeta(dir) + `($|[^\w.-])`).MatchString(text)
}

// pgCtlOptions is the line of pg_ctl.conf that pg_ctlcluster reads.
var pgCtlOptions = regexp.MustCompile(`(?m)^(\s*pg_ctl_options\s*=?\s*')((?:[^'\n]|'')*)(')`)

// pgCtlFor leaves out options with places of the source, and those with settings: they stand in the target's
// postgresql.conf already, in its words. pg_ctlcluster knows no quotes there.
func pgCtlFor(text string, _ upgrade.Cluster) (string, []string) {
	var leftOut []string
	text = pgCtlOptions.ReplaceAllStringFunc(text, func(line string) string {
		parts := pgCtlOptions.FindStringSubmatch(line)
		words := strings.Fields(parts[2])
		var kept []string
		for i := 0; i < len(words); i++ {
			name, _, whole := strings.Cut(words[i], "=")
			switch {
			case slices.Contains([]string{"-o", "-D", "-l", "-p", "--options", "--pgdata", "--log"}, words[i]):
				i++ // its value
				leftOut = append(leftOut, words[i-1])
			case whole && slices.Contains([]string{"--options", "--pgdata", "--log"}, name):
				leftOut = append(leftOut, name)
			case !strings.HasPrefix(name, "--") && len(name) > 2 && slices.Contains([]string{"-o", "-D", "-l", "-p"}, name[:2]):
				leftOut = append(leftOut, name[:2])
			default:
				kept = append(kept, words[i])
			}
		}
		return parts[1] + strings.Join(kept, " ") + parts[3]
	})
	for i := range leftOut {
		leftOut[i] = "option " + leftOut[i] + " of pg_ctl; settings of the server stand in the target's postgresql.conf"
	}
	return text, leftOut
}

// replaceFile replaces a file as a whole.
func replaceFile(file debianFile) error {
	scratch := file.path + ".pgleap"
	if err := os.RemoveAll(scratch); err != nil {
		return err
	}
	if err := os.WriteFile(scratch, []byte(file.content), 0o600); err != nil {
		return err
	}
	if err := os.Chmod(scratch, file.mode); err != nil {
		return err
	}
	return os.Rename(scratch, file.path)
}

// carryLogMode lets those read the target's log who may read the source's, on Debian the group adm. Its directory is one
// in which its owner may write: it is changed by its descriptor, and only if it is his and has no other name.
func (h *Host) carryLogMode(target, source upgrade.Cluster, owner run.User) error {
	like, err := os.Lstat(h.debian.logfile(source.Version.Major(), source.Name))
	if err != nil || !like.Mode().IsRegular() {
		return nil //nolint:nilerr // it writes its log elsewhere
	}
	log, err := os.OpenFile(h.debian.logfile(target.Version.Major(), target.Name), os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return fmt.Errorf("let others read the target's log: %w", err)
	}
	defer log.Close() //nolint:errcheck // nothing is written to it
	info, err := log.Stat()
	if err != nil {
		return err
	}
	now, ok := info.Sys().(*syscall.Stat_t)
	then, okThen := like.Sys().(*syscall.Stat_t)
	if !ok || !okThen || !info.Mode().IsRegular() || int(now.Uid) != owner.UID || now.Nlink != 1 {
		return nil
	}
	if now.Gid != then.Gid && os.Geteuid() == 0 {
		if err := log.Chown(-1, int(then.Gid)); err != nil {
			return fmt.Errorf("let others read the target's log: %w", err)
		}
	}
	return log.Chmod(like.Mode().Perm())
}
