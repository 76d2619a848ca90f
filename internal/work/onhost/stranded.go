package onhost

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/pgleap/pgleap/internal/pgconf"
	"github.com/pgleap/pgleap/internal/run"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// stranded lists the settings that name places within the source's data directory still when they have been carried
// over to conf: whoever removes that directory takes them from the target, too. They are told as they stand in the
// source's files.
func stranded(plan upgrade.Plan, source []pgconf.Setting, conf *pgconf.Conf) []pgconf.Change {
	var carried []pgconf.Setting
	for _, setting := range source {
		if value, ok := conf.Get(setting.Name); ok {
			setting.Value = value
			carried = append(carried, setting)
		}
	}
	return settingsNaming(plan.Source.Pgdata, carried)
}

// settingsNaming lists the settings whose values name a directory, or places within it.
func settingsNaming(dir string, settings []pgconf.Setting) (changes []pgconf.Change) {
	for _, setting := range settings {
		if mentions(setting.Value, dir) {
			changes = append(changes, naming(dir, setting.Name, setting.File, setting.Line))
		}
	}
	return changes
}

// strandedAccess lists what of the source's pg_hba.conf and pg_ident.conf names files within its data directory still
// when they have been carried over: those that are not there.
func strandedAccess(plan upgrade.Plan, user run.User) ([]pgconf.Change, error) {
	hba, ident, err := sourceAccess(plan, user)
	if err != nil {
		return nil, err
	}
	return accessNaming(plan.Source.Pgdata, accessText{plan.Source.HBAFile, hba.text}, accessText{plan.Source.IdentFile, ident.text})
}

// accessText is the text of a pg_hba.conf or a pg_ident.conf, and where it comes from.
type accessText struct {
	path string
	text []byte
}

// readAccess reads one as it stands.
func readAccess(path string, user run.User) (accessText, error) {
	text, err := user.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return accessText{path, text}, err
}

// accessNaming lists the directives of a pg_hba.conf and a pg_ident.conf that name files within a directory. Without
// its pg_ident.conf a server starts nevertheless, so one that cannot be read as such names nothing.
func accessNaming(dir string, hbaFile, identFile accessText) (changes []pgconf.Change, err error) {
	hba, err := pgconf.ParseHBA(hbaFile.text)
	if err != nil {
		return nil, fmt.Errorf("read who may log in: %w", err)
	}
	ident, identErr := pgconf.ParseIdent(identFile.text)
	note := func(file, name, path string, line int) {
		if mentions(path, dir) {
			changes = append(changes, naming(dir, name, file, line))
		}
	}
	for _, include := range hba.Includes {
		note(hbaFile.path, include.Directive, include.Path, include.Line)
	}
	for _, line := range hba.Lines {
		for _, token := range slices.Concat(line.Databases, line.Users) {
			if path, ok := strings.CutPrefix(token.Text, "@"); ok && !token.Quoted {
				note(hbaFile.path, token.Text, path, line.Line)
			}
		}
	}
	if identErr != nil {
		return changes, nil
	}
	for _, include := range ident.Includes {
		note(identFile.path, include.Directive, include.Path, include.Line)
	}
	return changes, nil
}

func naming(dir, name, file string, line int) pgconf.Change {
	return pgconf.Change{
		Kind: pgconf.Kept, Name: name, File: file, Line: line,
		Reason: fmt.Sprintf("it names a place within the source's data directory %s, and goes on doing so on the target: choose one outside before that directory is removed", dir),
	}
}

// stillNaming lists what of the target's own configuration, as it is now, names places within the source's data
// directory.
func stillNaming(plan upgrade.Plan, user run.User) (changes []pgconf.Change, err error) {
	err = user.Do(func() error { // as its owner, see sourceTree
		tree, err := pgconf.LoadTree(plan.Target.ConfigFile, plan.Target.Pgdata)
		if err == nil {
			changes = settingsNaming(plan.Source.Pgdata, tree.Effective())
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read the target's configuration: %w", err)
	}
	hba, errHBA := readAccess(plan.Target.HBAFile, user)
	ident, errIdent := readAccess(plan.Target.IdentFile, user)
	if err := errors.Join(errHBA, errIdent); err != nil {
		return changes, fmt.Errorf("read who may log in: %w", err)
	}
	access, err := accessNaming(plan.Source.Pgdata, hba, ident)
	return append(changes, access...), err
}

// mentions tells whether a text names a directory, or what is in it: it may be a path, a list of them, or a command.
func mentions(text, dir string) bool {
	names := []string{filepath.Clean(dir)}
	if resolved, err := filepath.EvalSymlinks(dir); err == nil {
		names = append(names, resolved)
	}
	for _, name := range names {
		for from := 0; ; {
			at := strings.Index(text[from:], name)
			if at < 0 {
				break
			}
			from += at + len(name)
			if !strings.ContainsFunc(around(text, from-len(name), from), isOfName) {
				return true
			}
		}
	}
	return filepath.IsAbs(text) && isWithin(text, dir)
}

// around is the byte before a part of a text, and the one after it.
func around(text string, begin, end int) string {
	return text[max(0, begin-1):begin] + text[end:min(end+1, len(text))]
}

// isOfName tells whether a character goes on with a file's name. Bytes of other letters do.
func isOfName(c rune) bool {
	return c == '_' || c == '-' || c == '.' || c > 0x7f ||
		'0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

// namesOf tells where the target's configuration names places within the source's data directory; empty if it does not.
func (w *Worker) namesOf(ctx context.Context, plan upgrade.Plan, user run.User) string {
	changes, err := stillNaming(plan, user)
	if err != nil { // the upgrade has happened nevertheless
		w.log.WarnContext(ctx, "whether the target needs the source's data directory is not known", "task", plan.Number, "error", err)
	}
	var names []string
	for _, change := range changes {
		names = append(names, fmt.Sprintf("%s (%s:%d)", change.Name, change.File, change.Line))
	}
	return strings.Join(names, ", ")
}
