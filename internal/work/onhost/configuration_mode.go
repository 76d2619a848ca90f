package onhost

import (
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/pgleap/pgleap/internal/pgconf"
	"github.com/pgleap/pgleap/internal/run"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// confMode says who may read a target's postgresql.conf: who may read the source's. Debian's tools, run by anybody, look
// for the port there, and take the default one if they may not (PgCommon.pm, read_conf_file). What the source keeps to
// itself stays so: the text of an included file, and what ALTER SYSTEM wrote, may hold secrets. The names of settings
// that closed it are returned.
func confMode(plan upgrade.Plan, user run.User) (mode fs.FileMode, closedBy []string, err error) {
	tree, err := sourceTree(plan, nil)
	if err != nil {
		return 0, nil, err
	}
	mode = modeOf(plan.Source.ConfigFile, user)
	for _, file := range tree.Files() {
		closed := mode & modeOf(file.Path, user)
		if closed == mode || file == tree.CommandLine {
			continue
		}
		if file != tree.Auto {
			mode = closed
			continue
		}
		for _, setting := range file.Conf.Settings() {
			if mayBeSecret(setting) && !slices.Contains(recoverySettings(), strings.ToLower(setting.Name)) {
				closedBy = append(closedBy, setting.Name)
			}
		}
		if len(closedBy) > 0 {
			mode = closed
		}
	}
	return mode, closedBy, nil
}

// mayBeSecret tells whether the value of a setting may hold a secret. Nobody knows what those of extensions hold; a
// number or a switch is none.
func mayBeSecret(setting pgconf.Setting) bool {
	if pgconf.IsSecretive(setting.Name) {
		return true
	}
	if !strings.Contains(setting.Name, ".") {
		return false
	}
	_, err := strconv.ParseFloat(strings.TrimRight(setting.Value, "abcdefghijklmnopqrstuvwxyzBGMT "), 64)
	return err != nil && !slices.Contains([]string{"on", "off", "true", "false", "yes", "no"}, strings.ToLower(setting.Value))
}

// modeOf says who may read a file of the source's; its owner alone, if that is not known.
func modeOf(path string, user run.User) fs.FileMode {
	mode := fs.FileMode(0o600)
	_ = user.Do(func() error {
		info, err := os.Stat(path)
		if err == nil {
			mode = info.Mode().Perm()&0o044 | 0o600
		}
		return err
	})
	return mode
}

// writeWithMode writes a file for the owner as writeOwned does, and gives it a mode though it was there.
func writeWithMode(path string, content []byte, user run.User, mode fs.FileMode) error {
	if err := writeOwned(path, content, user, mode); err != nil {
		return err
	}
	if err := user.Do(func() error { return os.Chmod(path, mode) }); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// tellClosed says why others cannot look for the target's port.
func tellClosed(plan upgrade.Plan, names []string) []pgconf.Change {
	if len(names) == 0 || plan.Target.Manager != upgrade.ManagerPgCtlcluster {
		return nil
	}
	return []pgconf.Change{{
		Kind: pgconf.Changed, Name: strings.Join(names, ", "),
		Reason: fmt.Sprintf("ALTER SYSTEM wrote what may be a secret, so %s is for its owner to read: "+
			"pg_lsclusters and psql, run by others, do not find the port there. Keep it in a file of its own, and open that one", plan.Target.ConfigFile),
	}}
}
