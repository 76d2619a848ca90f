package pgconf

import "strings"

// Compared is what becomes of a configuration on another version.
type Compared struct {
	Changes []Change // of the files first, in their order, then of defaults
	Kept    int      // how many settings are carried over as they are
	Diff    string   // of the files
}

// Compare tells what becomes of a tree on the target: what Translate does to it,
// and besides what follows from the servers' descriptions: values that the target
// does not take, settings that others may set now, and the defaults that
// differ of what neither the tree nor isSet names. The tree stays as it is.
func Compare(tree *Tree, v Versions, known func(name string) bool, source, target Description, isSet func(name string) bool) Compared {
	tree = tree.clone()
	before := tree.byName()
	changes := tree.Translate(v, known)
	c := Compared{Diff: Diff(changes, source, target)}
	translated := map[string]bool{}
	for i, change := range changes {
		translated[foldName(change.Name)] = true
		if change.From == "" {
			changes[i].From = Shown(change.Name, change.value, source, target)
		}
	}
	after := tree.byName()
	for _, setting := range tree.Effective() {
		name := foldName(setting.Name)
		old, was := before[name]
		if was {
			setting.File, setting.Line = old.File, old.Line
		} else {
			setting.Line = cameFrom(setting, changes)
		}
		if change := Judge(setting, source, target); change != nil {
			changes = append(changes, *change)
		} else if was && !translated[name] {
			c.Kept++
		}
	}
	c.Changes = append(changes, Defaults(source, target, func(name string) bool {
		_, was := before[foldName(name)]
		_, is := after[foldName(name)]
		return was || is || isSet(name)
	})...)
	return c
}

// cameFrom returns the line, before the translation, that became the setting.
func cameFrom(s Setting, changes []Change) int {
	for _, change := range changes {
		if change.File == s.File && strings.Contains(change.To, s.Name+" = ") {
			return change.Line
		}
	}
	return s.Line
}

// byName returns the lines that count, by folded name.
func (t *Tree) byName() map[string]Setting {
	settings := map[string]Setting{}
	for _, s := range t.Effective() {
		settings[foldName(s.Name)] = s
	}
	return settings
}
