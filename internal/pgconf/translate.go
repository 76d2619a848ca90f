package pgconf

import (
	"fmt"
	"strings"
)

// Versions are the major versions that a configuration is carried between.
type Versions struct {
	Source, Target int
}

// Kind says what was done to a line.
type Kind string

const (
	// Dropped: the line is a comment now (postgresql.conf), or rejects whom it
	// let in (pg_hba.conf).
	Dropped Kind = "dropped"
	// Renamed: the setting has another name now, and maybe another value.
	Renamed Kind = "renamed"
	// Changed: the setting has another value now.
	Changed Kind = "changed"
	// Kept: the line is as it was, but somebody should look at it.
	Kept Kind = "kept"
	// Invalid: the target does not take the value, and would not start with it.
	Invalid Kind = "invalid"
	// Context: others may set it, or at another time.
	Context Kind = "context"
	// Default: nobody has set it, and the target's built-in default is another.
	Default Kind = "default"
	// New: the source has no such setting, and the target's default changes
	// what used to happen.
	New Kind = "new"
)

// Change is one line that means something else, or nothing, to the target.
type Change struct {
	Kind Kind `json:"kind"`
	// Name is the setting, or pg_hba.conf's method or option.
	Name string `json:"name"`
	// From and To are the line's settings before and after, or the defaults.
	// What Translate drops or keeps has none, since an unknown value may be a
	// secret; Compare shows those that are not.
	From   string `json:"from,omitempty"`
	To     string `json:"to,omitempty"`
	Reason string `json:"reason"`
	File   string `json:"file,omitempty"`
	Line   int    `json:"line"` // before the translation
	// Weighty tells that somebody should decide on a default.
	Weighty bool `json:"weighty,omitempty"`

	value string // of what was dropped or kept
	edit  *edit  // nil if the text is as it was
}

// Known returns a test for the names of settings that the target knows. Take
// them from its pg_settings: postgres --describe-config leaves out legal ones
// (application_name, zero_damaged_pages; help_config.c, displayStruct).
func Known(names []string) func(name string) bool {
	known := make(map[string]bool, len(names))
	for _, name := range names {
		known[foldName(name)] = true
	}
	return func(name string) bool { return known[foldName(name)] }
}

// translated begins the comment above a line that has been translated, which
// is how a second run knows to leave it alone.
const translated = "was "

// Translate makes conf fit for the target: it renames and converts what has a
// successor there, comments out what the target does not know, and says above
// each line what was done. Names with a dot belong to extensions and are kept.
// A second run with the same versions changes nothing.
func Translate(conf *Conf, v Versions, known func(name string) bool) []Change {
	var changes []Change
	inserted := 0
	for i := 0; i < len(conf.lines); i++ {
		line := conf.lines[i]
		if !line.isSetting() || i > 0 && strings.HasPrefix(conf.lines[i-1].text, remark+translated) {
			continue
		}
		change, more := conf.translateLine(i, v, known)
		if change != nil {
			change.Line = i + 1 - inserted
			if more > 0 {
				change.edit = &edit{old: []string{line.text}, new: conf.texts(i, i+more+1)}
			}
			changes = append(changes, *change)
		}
		i += more
		inserted += more
	}
	return changes
}

// Translate does so with every file of the tree.
func (t *Tree) Translate(v Versions, known func(name string) bool) []Change {
	var changes []Change
	for _, file := range t.Files() {
		for _, change := range Translate(file.Conf, v, known) {
			change.File = file.Path
			changes = append(changes, change)
		}
	}
	return changes
}

// Successor returns what becomes of a setting that stands in no file, such as
// one of a role; empty if it has no successor.
func Successor(name, value string, v Versions, known func(string) bool) string {
	conf := &Conf{lines: []confLine{{}}}
	if err := conf.Set(name, value); err != nil {
		return ""
	}
	var to []string
	for _, change := range Translate(conf, v, known) {
		to = append(to, change.To)
	}
	return strings.Join(to, ", ")
}

// translateLine returns what it has done, if anything, and by how many lines
// the text has grown.
func (c *Conf) translateLine(i int, v Versions, known func(string) bool) (*Change, int) {
	line := c.lines[i]
	change := &Change{Name: line.name, value: line.value}
	for _, r := range rules() {
		if r.name != foldName(line.name) || r.since <= v.Source || r.since > v.Target {
			continue
		}
		switch successor := r.rewrite(line.value); {
		case successor == nil:
		case successor.drop:
			return change.dropped(r.reason), c.commentOutLine(i, r.reason)
		case successor.keep:
			change.Kind, change.Reason = Kept, r.reason
			return change, 0
		case knowsAll(known, successor.settings):
			change.describe(line, successor.settings, r.reason)
			return change, c.replaceLine(i, change.From, r.reason, successor.settings)
		}
	}
	if known(line.name) || strings.Contains(line.name, ".") {
		return nil, 0
	}
	reason := removal(foldName(line.name), v.Target)
	return change.dropped(reason), c.commentOutLine(i, reason)
}

func (c *Change) dropped(reason string) *Change {
	c.Kind, c.Reason = Dropped, reason
	return c
}

func (c *Change) describe(line confLine, successors []assignment, reason string) {
	c.Kind, c.Reason = Changed, reason
	var to []string
	for _, s := range successors {
		to = append(to, s.String())
	}
	if successors[0].name != foldName(line.name) {
		c.Kind = Renamed
	}
	c.From = assignment{line.name, line.value}.String()
	c.To = strings.Join(to, ", ")
}

// replaceLine puts the successors in the place of line i, under a comment, and
// returns by how many lines the text has grown.
func (c *Conf) replaceLine(i int, was, reason string, successors []assignment) int {
	old := c.lines[i]
	c.lines[i] = old.with(successors[0].name, successors[0].value)
	for n, s := range successors[1:] {
		c.insert(i+1+n, s.String(), old.text)
	}
	c.explain(i, translated+was+": "+reason)
	return len(successors)
}

func knowsAll(known func(string) bool, settings []assignment) bool {
	for _, s := range settings {
		if !known(s.name) {
			return false
		}
	}
	return true
}

// assignment is a setting with its value.
type assignment struct {
	name, value string
}

func (a assignment) String() string { return a.name + " = " + Quote(a.value) }

// removal explains why the target does not know a setting.
func removal(name string, target int) string {
	for _, r := range removed() {
		if r.name == name && r.since <= target {
			return fmt.Sprintf("PostgreSQL %d removed it; %s", r.since, r.advice)
		}
	}
	return fmt.Sprintf("PostgreSQL %d does not know it", target)
}
