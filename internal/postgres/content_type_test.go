package postgres

import (
	"strings"
	"testing"
)

// TestTextChanged: only where a value is printed within another's text does its hash depend on words
// that differ between versions.
func TestTextChanged(t *testing.T) {
	t.Parallel()
	builtIn := func(oid uint32, name string) ContentType { return ContentType{OID: oid, Name: name, BuiltIn: true} }
	types := ContentTypes{
		18: builtIn(18, "char"), 23: builtIn(23, "int4"), 3220: builtIn(3220, "pg_lsn"),
		1:  {OID: 1, Name: "_char", BuiltIn: true, Element: 18},
		2:  {OID: 2, Name: "lsn_domain", Base: 3220},
		3:  {OID: 3, Name: "pair", Fields: []string{"letter", "at"}, FieldTypes: []uint32{18, 2}},
		4:  {OID: 4, Name: "_pair", Element: 3},
		5:  {OID: 5, Name: "lsnrange", Subtype: 3220},
		6:  {OID: 6, Name: "holder", Fields: []string{"range"}, FieldTypes: []uint32{5}},
		7:  {OID: 7, Name: "_int4", BuiltIn: true, Element: 23},
		8:  {OID: 8, Name: "char"}, // a user's
		9:  {OID: 9, Name: "_char", Element: 8},
		10: {OID: 10, Name: "pair_domain", Base: 3},
	}
	for oid, want := range map[uint32]int{18: 0, 3220: 0, 1: 0, 2: 0, 3: 0, 4: 19, 5: 19, 6: 19, 7: 0, 8: 0, 9: 0, 10: 0} {
		if got := types.TextChanged(oid); got != want {
			t.Errorf("%s: the text changed in %d, want %d", types[oid].Name, got, want)
		}
	}
}

// TestRowHash: no two columns share a seed, and a wide row makes a shallow expression.
func TestRowHash(t *testing.T) {
	t.Parallel()
	types := ContentTypes{23: {OID: 23, Name: "int4", BuiltIn: true}}
	columns := make([]ContentColumn, 1600)
	for i := range columns {
		columns[i] = ContentColumn{Name: "c", Type: 23}
	}
	seen := map[string]bool{}
	for _, hash := range types.columnHashes(columns) {
		seen[hash] = true
	}
	if len(seen) != len(columns) {
		t.Errorf("%d different hashes for %d columns", len(seen), len(columns))
	}
	depth, deepest := 0, 0
	for _, char := range types.RowHash(columns) {
		depth += map[rune]int{'(': 1, ')': -1}[char]
		deepest = max(deepest, depth)
	}
	if deepest > 16 {
		t.Errorf("the expression is %d levels deep", deepest)
	}
	if got := (ContentTypes{}).RowHash(nil); !strings.Contains(got, "0") {
		t.Errorf("a row without columns has no hash: %s", got)
	}
}
