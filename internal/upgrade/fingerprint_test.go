package upgrade

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func fingerprint(t *testing.T, parts ...Part) Fingerprint {
	t.Helper()
	f, err := NewFingerprint(parts)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func tables(database string, from, to int) []Part {
	var parts []Part
	for i := from; i < to; i++ {
		name := fmt.Sprintf("public.t%d", i)
		parts = append(parts, Part{"table", database, name, HashPart(name)})
	}
	return parts
}

func TestChanges(t *testing.T) {
	setting := func(value string) Part { return Part{Kind: PartSetting, Name: "wal_level", Value: value} }
	role := func(name, value string) Part { return Part{Kind: "role", Name: name, Value: HashPart(value)} }
	extension := func(database, version string) Part { return Part{PartExtension, database, "hstore", version} }
	for name, test := range map[string]struct {
		before, after []Part
		want          []string
	}{
		"nothing":        {[]Part{setting("replica")}, []Part{setting("replica")}, nil},
		"a setting":      {[]Part{setting("replica")}, []Part{setting("logical")}, []string{"setting wal_level changed from replica to logical"}},
		"a setting gone": {[]Part{setting("replica"), role("a", "")}, []Part{role("a", "")}, []string{"setting wal_level was dropped"}},
		"emptied":        {[]Part{setting("replica")}, []Part{setting("")}, []string{"setting wal_level changed from replica to nothing"}},
		"an extension in one of two databases": {
			[]Part{extension("shop", "1.7")}, []Part{extension("crm", "1.8"), extension("shop", "1.7")}, []string{"extension hstore 1.8 was added in database crm"},
		},
		"an extension's version": {[]Part{extension("shop", "1.7")}, []Part{extension("shop", "1.8")}, []string{"extension hstore changed from 1.7 to 1.8 in database shop"}},
		"a role comes, one goes, one changes": {
			[]Part{role("a", "x"), role("b", "x")},
			[]Part{role("b", "y"), role("c", "x")},
			[]string{"role a was dropped", "role b was changed", "role c was created"},
		},
		"what can be told exactly comes first": {
			[]Part{role("a", "x"), setting("replica")},
			[]Part{role("a", "y"), setting("logical")},
			[]string{"setting wal_level changed from replica to logical", "role a was changed"},
		},
		"two tables": {tables("shop", 0, 1), tables("shop", 0, 3), []string{"tables were added in database shop: public.t1, public.t2"}},
		"many tables": {
			tables("shop", 0, 1), tables("shop", 0, 100),
			[]string{"tables were added in database shop: public.t1, public.t2, public.t3, public.t4, public.t5 and 94 more"},
		},
		"in two databases": {
			slices.Concat(tables("a", 0, 1), tables("b", 0, 2)), slices.Concat(tables("a", 1, 2), tables("b", 0, 2)),
			[]string{"table public.t0 was dropped in database a", "table public.t1 was added in database a"},
		},
		"a database with all that is in it": {
			tables("a", 0, 1), slices.Concat(tables("a", 0, 1), []Part{{Kind: PartDatabase, Name: "b"}}, tables("b", 0, 3)), []string{"database b was created"},
		},
		"versions": {
			[]Part{{Kind: PartSource, Value: "15.12"}, {Kind: PartTarget, Value: "17.4"}},
			[]Part{{Kind: PartSource, Value: "15.13"}, {Kind: PartTarget, Value: "17.5"}},
			[]string{"source version changed from 15.12 to 15.13", "target version changed from 17.4 to 17.5"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, Changes(fingerprint(t, test.before...), fingerprint(t, test.after...))); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestManyChangesAreCutShort(t *testing.T) {
	var before, after []Part
	for i := range 30 {
		before = append(before, Part{Kind: PartSetting, Name: fmt.Sprintf("s%d", i), Value: "on"})
		after = append(after, Part{Kind: PartSetting, Name: fmt.Sprintf("s%d", i), Value: "off"})
	}
	told := Changes(fingerprint(t, before...), fingerprint(t, after...))
	if len(told) != maxChanges+1 || told[maxChanges] != "and 18 more changes" {
		t.Errorf("got %q", told)
	}
}

// A report that is older than the parts, or whose parts are damaged, is void without a reason.
func TestChangesOfAnOldReport(t *testing.T) {
	now := fingerprint(t, tables("shop", 0, 3)...)
	var old Report
	if err := json.Unmarshal([]byte(`{"number": 3, "fingerprint": "abc", "findings": []}`), &old); err != nil {
		t.Fatal(err)
	}
	for name, before := range map[string]Fingerprint{
		"no parts": old.Seen(), "damaged parts": {Sum: "abc", Parts: PackedParts("no gzip")}, "cut off": {Sum: "abc", Parts: now.Parts[:20]},
		"the same parts, another sum": {Sum: "abc", Parts: now.Parts},
	} {
		if got := Changes(before, now); len(got) != 1 || got[0] != unknownChanges {
			t.Errorf("%s: got %q", name, got)
		}
	}
	// What changed is what is looked at: nobody is to be told that roles or tables have.
	another := fingerprint(t, append(tables("shop", 0, 2), Part{Kind: PartLooked, Value: HashPart("more")})...)
	if got := Changes(now, another); len(got) != 1 || got[0] != otherLook {
		t.Errorf("another look: got %q", got)
	}
	same := now
	same.Parts = nil
	if got := Changes(same, now); len(got) != 0 {
		t.Errorf("the same sum: got %q", got)
	}
}

// However many tables there are, parts take no more than the engine carries; what was summed up is told by database.
func TestPartsAreBounded(t *testing.T) {
	settings := []Part{{Kind: PartSetting, Name: "wal_level", Value: "replica"}}
	before := slices.Concat(settings, tables("shop", 0, 80_000), tables("crm", 0, 1000))
	small := fingerprint(t, slices.Concat(settings, tables("shop", 0, 10))...)
	was := fingerprint(t, before...)
	if len(was.Parts) > maxPackedParts {
		t.Errorf("%d bytes", len(was.Parts))
	}
	changed := slices.Clone(before)
	changed[0].Value = "logical"
	changed[5000].Value = HashPart("another")
	want := []string{"setting wal_level changed from replica to logical", "tables were added, changed or dropped in database shop"}
	if diff := cmp.Diff(want, Changes(was, fingerprint(t, changed...))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	want = []string{"tables were added, changed or dropped in database shop", "tables were added, changed or dropped in database crm"}
	if diff := cmp.Diff(want, Changes(was, small)); diff != "" {
		t.Errorf("summed up on one side (-want +got):\n%s", diff)
	}
}

func TestTenThousandTablesAreToldOneByOne(t *testing.T) {
	before := tables("shop", 0, 10_000)
	after := slices.Delete(slices.Clone(before), 17, 18)
	if got := strings.Join(Changes(fingerprint(t, before...), fingerprint(t, after...)), "; "); got != "table public.t17 was dropped in database shop" {
		t.Errorf("got %s", got)
	}
}

func FuzzUnpack(f *testing.F) {
	packed, err := pack([]Part{{Kind: PartSetting, Name: "wal_level", Value: "replica"}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(packed))
	f.Add([]byte("no gzip"))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, text []byte) {
		parts, err := PackedParts(text).Unpack()
		if err != nil {
			return
		}
		again, err := pack(parts)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := again.Unpack(); err != nil {
			t.Error(err)
		}
	})
}
