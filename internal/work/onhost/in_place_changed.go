package onhost

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/pgleap/pgleap/internal/run"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// sourceHashes are the hashes of all that a target's configuration is made of: the source's files, what it was started
// with, who may log in, and the files that settings name.
func sourceHashes(plan upgrade.Plan, user run.User, started map[string]string) (map[string]string, error) {
	tree, err := sourceTree(plan, started)
	if err != nil {
		return nil, err
	}
	hashes := map[string]string{}
	for _, file := range tree.Files() {
		hashes[file.Path] = hash(file.Conf.Bytes())
	}
	conf, err := tree.Flat()
	if err != nil {
		return nil, err
	}
	if err := settleFiles(conf, plan); err != nil {
		return nil, err
	}
	for _, path := range []string{plan.Source.HBAFile, plan.Source.IdentFile} {
		access, err := accessOf(path, plan.Source.Pgdata, user)
		if err != nil {
			return nil, err
		}
		hashes[path] = hash(access.text)
	}
	var paths []string
	for _, inside := range carriedFrom(conf) {
		paths = append(paths, filepath.Join(plan.Source.Pgdata, inside))
	}
	err = user.Do(func() error {
		for _, path := range paths {
			if err := hashFile(path, hashes); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read what the target's configuration is made of: %w", err)
	}
	return hashes, nil
}

// hashFile notes the hash of a file, or of each in a directory. One that is missing has none.
func hashFile(path string, hashes map[string]string) error {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode().IsRegular():
		content, err := os.ReadFile(path) //nolint:gosec // as the owner
		hashes[path] = hash(content)
		return err
	case !info.IsDir():
		return nil
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if below := filepath.Join(path, entry.Name()); !entry.IsDir() {
			if err := hashFile(below, hashes); err != nil {
				return err
			}
		}
	}
	return nil
}

// differing are the files that are not in both as they are in the other, in order.
func differing(before, after map[string]string) []string {
	changed := map[string]bool{}
	for path, sum := range before {
		changed[path] = after[path] != sum
	}
	for path, sum := range after {
		changed[path] = before[path] != sum
	}
	maps.DeleteFunc(changed, func(_ string, is bool) bool { return !is })
	return slices.Sorted(maps.Keys(changed))
}

// renew takes up what was changed on the source since the target was prepared: hours may have passed, and a program of
// the user's has run. The configuration is carried over once more. What pg_upgrade --check would have to see is refused,
// as long as that costs no outage.
func (o *outage) renew(ctx context.Context) error {
	prepared := &o.intent.Prepared
	if err := o.sameTablespaces(ctx); err != nil {
		return err
	}
	if prepared.Sources == nil {
		return nil // it was prepared by an agent that noted none
	}
	var err error
	if o.started, err = commandLine(ctx, o.host.Login(o.plan.Source, "postgres")); err != nil {
		return err
	}
	now, err := sourceHashes(o.plan, o.user, o.started)
	if err != nil {
		return err
	}
	changed := differing(prepared.Sources, now)
	if len(changed) == 0 {
		return nil
	}
	server, events, err := o.stageConfiguration(ctx, o.plan, o.user)
	if err != nil {
		return err
	}
	if !slices.Equal(server, prepared.Server) {
		return &upgrade.Refused{
			Reason: fmt.Sprintf("%s was changed since the target was prepared, and so what its server has to load", strings.Join(changed, ", ")),
			Remedy: "start the upgrade again: pg_upgrade --check has to see that",
		}
	}
	prepared.Sources = now
	o.told.Events = append(o.told.Events, o.say(ctx, upgrade.LevelInfo,
		"changed since the target was prepared, and carried over to it once more: "+strings.Join(changed, ", ")))
	for _, event := range events {
		if !slices.ContainsFunc(prepared.Done.Events, func(told upgrade.Event) bool { return told.Text == event.Text }) {
			o.told.Events = append(o.told.Events, event)
		}
	}
	return o.files.write(noteInPlacePrepared, *prepared)
}

// sameTablespaces refuses when a tablespace was made or dropped since: whether files can be transferred there, and how
// they become durable, was looked at before.
func (o *outage) sameTablespaces(ctx context.Context) error {
	spaces, err := o.tablespaces(ctx, o.plan)
	if err != nil {
		return err
	}
	now := slices.Sorted(maps.Values(spaces))
	var then []string
	for _, dir := range o.intent.Prepared.Spaces {
		then = append(then, filepath.Dir(dir))
	}
	slices.Sort(then)
	if !slices.Equal(then, now) {
		return &upgrade.Refused{
			Reason: "a tablespace was made, or dropped, since the target was prepared",
			Remedy: "start the upgrade again",
		}
	}
	return nil
}

// tellLateChanges tells what was changed on the source when the target was about to take its place: the target does not
// have it.
func (o *outage) tellLateChanges(ctx context.Context) {
	if o.intent.Prepared.Sources == nil {
		return
	}
	now, err := sourceHashes(o.plan, o.user, o.started)
	if err != nil {
		o.log.WarnContext(ctx, "whether the source's configuration was changed in the outage is not known", "task", o.plan.Number, "error", err)
		return
	}
	if changed := differing(o.intent.Prepared.Sources, now); len(changed) > 0 {
		o.told.Events = append(o.told.Events, o.say(ctx, upgrade.LevelWarning,
			"changed on the source while it was upgraded, and not on the target: "+strings.Join(changed, ", ")+"; make the same changes there"))
	}
}
