package upgrade

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Fingerprint sums up what the checks of a precheck saw. As long as its sum is the same, a report holds; the
// parts tell what has changed when it is not.
type Fingerprint struct {
	Sum   string      `json:"sum"`
	Parts PackedParts `json:"parts,omitempty"`
}

// Part is one thing that the checks saw. It holds no secret: a value that might is a hash.
type Part struct {
	Kind     string // such as "setting", "extension" or "table"
	Database string // empty: it belongs to the cluster
	Name     string
	Value    string // as it is for the kinds that PlainParts lists, else a hash
}

// The kinds of parts that mean more than their name: PlainParts, and databases, whose own parts come and go with them.
const (
	PartSource    = "source version"
	PartTarget    = "target version"
	PartSetting   = "setting"
	PartExtension = "extension"
	PartDatabase  = "database"
	// PartLooked tells, as a hash, what the pgleap that took the fingerprint looks at.
	PartLooked = "looked at"
)

// PlainParts lists the kinds whose values are kept as they are. None can be a secret.
func PlainParts() []string { return []string{PartSource, PartTarget, PartSetting, PartExtension} }

// NewFingerprint makes the fingerprint of parts, which are in an order of their own.
func NewFingerprint(parts []Part) (Fingerprint, error) {
	sum := sha256.New()
	for _, p := range parts {
		fmt.Fprintf(sum, "%q\n", []string{p.Kind, p.Database, p.Name, p.Value})
	}
	packed, err := packParts(parts)
	return Fingerprint{Sum: hex.EncodeToString(sum.Sum(nil)), Parts: packed}, err
}

// PackedParts are parts as they are kept with a report: compressed JSON.
type PackedParts []byte

// maxPackedParts bounds what parts take of a report, which travels through the engine: there a payload of
// more than 2 MB is refused. It is enough for some ten thousand tables.
const maxPackedParts = 384 << 10

// keptOfHash is what is kept of the hash of a part: enough to tell which one has changed. That something has is told
// by the sum, which has it whole.
const keptOfHash = 8

// maxUnpackedParts bounds what is read of them.
const maxUnpackedParts = 256 << 20

// packParts packs parts. If they are too many, those of the most numerous kind are summed up by database, and
// so on.
func packParts(parts []Part) (PackedParts, error) {
	for {
		packed, err := pack(parts)
		if err != nil || len(packed) <= maxPackedParts {
			return packed, err
		}
		fewer := sumUp(parts, mostNumerous(parts))
		if len(fewer) == len(parts) {
			return nil, nil // nothing more to sum up: what changed will not be told
		}
		parts = fewer
	}
}

func pack(parts []Part) (PackedParts, error) {
	rows := make([][4]string, len(parts))
	for i, p := range parts {
		if !slices.Contains(PlainParts(), p.Kind) {
			p.Value = p.Value[:min(len(p.Value), keptOfHash)]
		}
		rows[i] = [4]string{p.Kind, p.Database, p.Name, p.Value}
	}
	var packed bytes.Buffer
	out := gzip.NewWriter(&packed)
	err := errors.Join(json.NewEncoder(out).Encode(rows), out.Close())
	if err != nil {
		return nil, fmt.Errorf("pack the parts of a fingerprint: %w", err)
	}
	return packed.Bytes(), nil
}

// Unpack returns the parts; none for a report that is older than they are.
func (p PackedParts) Unpack() ([]Part, error) {
	if len(p) == 0 {
		return nil, nil
	}
	in, err := gzip.NewReader(bytes.NewReader(p))
	if err != nil {
		return nil, fmt.Errorf("unpack the parts of a fingerprint: %w", err)
	}
	var rows [][4]string
	if err := json.NewDecoder(io.LimitReader(in, maxUnpackedParts)).Decode(&rows); err != nil {
		return nil, fmt.Errorf("unpack the parts of a fingerprint: %w", err)
	}
	parts := make([]Part, len(rows))
	for i, r := range rows {
		parts[i] = Part{Kind: r[0], Database: r[1], Name: r[2], Value: r[3]}
	}
	return parts, nil
}

func mostNumerous(parts []Part) string {
	count, most := map[string]int{}, ""
	for _, p := range parts {
		if count[p.Kind]++; count[p.Kind] > count[most] {
			most = p.Kind
		}
	}
	return most
}

// sumUp makes one part without a name of all parts of a kind in a database.
func sumUp(parts []Part, kind string) []Part {
	var kept []Part
	sums := map[string][]byte{}
	var databases []string
	for _, p := range parts {
		if p.Kind != kind {
			kept = append(kept, p)
			continue
		}
		if _, known := sums[p.Database]; !known {
			databases = append(databases, p.Database)
		}
		sum := sha256.Sum256(fmt.Appendf(sums[p.Database], "%q %q", p.Name, p.Value))
		sums[p.Database] = sum[:]
	}
	for _, database := range databases {
		kept = append(kept, Part{Kind: kind, Database: database, Value: HashPart(string(sums[database]))})
	}
	return kept
}

// HashPart is the value of a part that is not told.
func HashPart(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// What is told of a change at most.
const (
	maxChanges     = 12
	maxNamedInOne  = 5
	unknownChanges = "what exactly is not known"
	otherLook      = "the report is of a pgleap that looked at other things than this one does"
)

// Changes tells what is different between two fingerprints, in sentences without a full stop. It is empty if
// nothing is.
func Changes(before, after Fingerprint) []string {
	if before.Sum == after.Sum {
		return nil
	}
	was, errWas := before.Parts.Unpack()
	is, errIs := after.Parts.Unpack()
	if errWas != nil || errIs != nil || len(was) == 0 || len(is) == 0 {
		return []string{unknownChanges}
	}
	if lookedAt(was) != lookedAt(is) {
		return []string{otherLook}
	}
	told := tell(compare(was, is))
	if len(told) == 0 {
		return []string{unknownChanges}
	}
	if rest := len(told) - maxChanges; rest > 0 {
		told = append(told[:maxChanges], fmt.Sprintf("and %d more changes", rest))
	}
	return told
}

// lookedAt is the value of PartLooked; empty for a report that is older.
func lookedAt(parts []Part) string {
	for _, p := range parts {
		if p.Kind == PartLooked {
			return p.Value
		}
	}
	return ""
}

// change is what became of a part; one of the two values is missing when it came or went.
type change struct {
	Part // as it is, or as it was

	was  string
	verb string
}

const (
	verbAdded   = "added"
	verbDropped = "dropped"
	verbChanged = "changed"
)

type partKey struct{ kind, database, name string }

func (p Part) key() partKey { return partKey{p.Kind, p.Database, p.Name} }

// compare returns the changes in the order of the parts. A kind that was summed up on one side only, as there
// were too many of it, has changed in that database and no more is known.
func compare(was, is []Part) []change {
	before, after := index(was), index(is)
	vague := map[partKey]bool{}
	for _, p := range slices.Concat(was, is) {
		if p.Name == "" && p.Kind != PartSource && p.Kind != PartTarget {
			vague[partKey{kind: p.Kind, database: p.Database}] = true
		}
	}
	var changes []change
	told := map[partKey]bool{}
	add := func(c change) {
		group := partKey{kind: c.Kind, database: c.Database}
		if vague[group] {
			if told[group] {
				return
			}
			told[group] = true
			c.Name, c.verb = "", verbChanged
		}
		changes = append(changes, c)
	}
	for _, p := range was {
		if now, there := after[p.key()]; !there {
			add(change{Part: p, was: p.Value, verb: verbDropped})
		} else if now != p.Value {
			add(change{Part: Part{p.Kind, p.Database, p.Name, now}, was: p.Value, verb: verbChanged})
		}
	}
	for _, p := range is {
		if _, there := before[p.key()]; !there {
			add(change{Part: p, verb: verbAdded})
		}
	}
	return slices.DeleteFunc(changes, func(c change) bool { return c.Database != "" && before.has(c.Database) != after.has(c.Database) })
}

// indexed are the values of parts.
type indexed map[partKey]string

// has tells whether there is a database.
func (i indexed) has(database string) bool {
	_, there := i[partKey{kind: PartDatabase, name: database}]
	return there
}

func index(parts []Part) indexed {
	values := make(indexed, len(parts))
	for _, p := range parts {
		values[p.key()] = p.Value
	}
	return values
}

// tell writes changes as sentences: one for each of what is told with its value, one for all of the same kind,
// verb and database of the rest.
func tell(changes []change) []string {
	plain := func(c change) bool { return slices.Contains(PlainParts(), c.Kind) }
	slices.SortStableFunc(changes, func(a, b change) int {
		switch {
		case plain(a) == plain(b):
			return 0
		case plain(a):
			return -1
		}
		return 1
	})
	var told []string
	var done []partKey
	for _, c := range changes {
		if plain(c) {
			told = append(told, c.plainly())
			continue
		}
		group := partKey{c.Kind, c.Database, c.verb}
		if slices.Contains(done, group) {
			continue
		}
		done = append(done, group)
		var names []string
		for _, other := range changes {
			if (partKey{other.Kind, other.Database, other.verb}) == group && other.Name != "" {
				names = append(names, other.Name)
			}
		}
		told = append(told, sentence(group, names))
	}
	return told
}

// plainly tells of a change with its values.
func (c change) plainly() string {
	what := strings.TrimSpace(c.Kind + " " + c.Name)
	where := ""
	if c.Database != "" {
		where = " in database " + c.Database
	}
	switch {
	case c.verb == verbChanged:
		return fmt.Sprintf("%s changed from %s to %s%s", what, orEmpty(c.was), orEmpty(c.Value), where)
	case c.Kind == PartExtension:
		return fmt.Sprintf("%s %s was %s%s", what, c.Value, c.verb, where)
	}
	return fmt.Sprintf("%s was %s%s", what, c.verb, where)
}

func orEmpty(value string) string {
	if value == "" {
		return "nothing"
	}
	return value
}

// sentence tells of what happened to things of one kind in one place.
func sentence(group partKey, names []string) string {
	verb, where := group.name, ""
	if group.database != "" {
		where = " in database " + group.database
	} else if verb == verbAdded {
		verb = "created"
	}
	if len(names) == 0 {
		return fmt.Sprintf("%s were added, changed or dropped%s", pluralOf(group.kind), where)
	}
	if len(names) == 1 {
		return fmt.Sprintf("%s %s was %s%s", group.kind, names[0], verb, where)
	}
	more := ""
	if rest := len(names) - maxNamedInOne; rest > 0 {
		names, more = names[:maxNamedInOne], fmt.Sprintf(" and %d more", rest)
	}
	return fmt.Sprintf("%s were %s%s: %s%s", pluralOf(group.kind), verb, where, strings.Join(names, ", "), more)
}

func pluralOf(kind string) string { return kind + "s" }
