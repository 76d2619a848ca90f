package onhost

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"

	"github.com/pgleap/pgleap/internal/pgconf"
	"github.com/pgleap/pgleap/internal/run"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// accessFiles pairs the files of source and target that say who may log in.
func accessFiles(plan upgrade.Plan) map[string][2]string {
	return map[string][2]string{
		"pg_hba.conf":   {plan.Source.HBAFile, plan.Target.HBAFile},
		"pg_ident.conf": {plan.Source.IdentFile, plan.Target.IdentFile},
	}
}

// noteConfiguration notes what the source's files are before they are carried over.
func noteConfiguration(plan upgrade.Plan, user run.User, files files) error {
	hashes := map[string]string{}
	for name, paths := range accessFiles(plan) {
		text, err := accessOf(paths[0], plan.Source.Pgdata, user)
		if err != nil {
			return err
		}
		hashes[name] = hash(text.text)
	}
	return files.write(noteAccessFiles, hashes)
}

// configurationUnchanged refuses when the source's pg_hba.conf or pg_ident.conf was changed since it
// was carried over, unless the same change was made on the target: who was let in since would be
// shut out by the switchover, and who was shut out let in.
func (w *Worker) configurationUnchanged(plan upgrade.Plan) error {
	files, err := w.files(plan)
	if err != nil {
		return err
	}
	var hashes map[string]string
	if found, err := files.read(noteAccessFiles, &hashes); !found || err != nil {
		return err
	}
	user, err := owner(plan)
	if err != nil {
		return err
	}
	for name, paths := range accessFiles(plan) {
		source, err := accessOf(paths[0], plan.Source.Pgdata, user)
		if err != nil {
			return err
		}
		if hash(source.text) == hashes[name] {
			continue
		}
		target, err := accessOf(paths[1], plan.Target.Pgdata, user)
		if err != nil {
			return err
		}
		if !bytes.Equal(source.text, target.text) && !bytes.Equal(translated(plan, name, source.text), target.text) {
			return &upgrade.Refused{
				Reason: fmt.Sprintf("%s, or what it includes, was changed since it was carried over to the target", paths[0]),
				Remedy: fmt.Sprintf("make %s the same, but for the block of pgleap, and reload the target; or undo the change", paths[1]),
			}
		}
	}
	return nil
}

// translated is a file of the source's in the words of the target.
func translated(plan upgrade.Plan, name string, text []byte) []byte {
	if name != "pg_hba.conf" {
		return text
	}
	versions := pgconf.Versions{Source: int(plan.Source.Version.Major()), Target: int(plan.Target.Version.Major())}
	words, _, err := pgconf.TranslateHBA(text, versions)
	if err != nil {
		return text
	}
	return words
}

// access is what a cluster's pg_hba.conf or pg_ident.conf says, in one file.
type access struct {
	text    []byte
	mode    fs.FileMode     // who may read all of it
	changes []pgconf.Change // as InlineAccess tells them
}

// accessOf reads a cluster's file without our block, and with what it includes in its place.
func accessOf(path, pgdata string, user run.User) (access, error) {
	text, err := withoutOurs(path, user)
	if err != nil {
		return access{}, err
	}
	var inlined pgconf.Access
	err = user.Do(func() (err error) { // as the owner, see sourceTree
		inlined, err = pgconf.InlineAccess(path, text, func(path string) bool {
			_, inside := below(path, pgdata)
			return inside
		})
		return err
	})
	if err != nil {
		return access{}, fmt.Errorf("read what %s includes: %w", path, err)
	}
	found := access{text: inlined.Text, mode: modeOf(path, user), changes: inlined.Changes}
	for i := range found.changes {
		found.changes[i].File = path
	}
	for _, file := range inlined.Files {
		found.mode &= modeOf(file, user)
	}
	return found, nil
}

// withoutOurs reads a file without our block; one that is missing is empty.
func withoutOurs(path string, user run.User) ([]byte, error) {
	text, err := user.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	text, err = pgconf.RemoveBlock(text, hbaBlock)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return text, nil
}

func hash(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}
