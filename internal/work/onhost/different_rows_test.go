package onhost

import (
	"testing"

	"github.com/pgleap/pgleap/internal/verify"
)

func TestDifferentRows(t *testing.T) {
	text := func(s string) *string { return &s }
	key := []verify.KeyColumn{{Column: "shop", Text: "1"}, {Column: "id", Text: "77"}}
	row := func(change string, columns ...string) verify.Row {
		return verify.Row{Change: change, Key: key, Columns: columns}
	}
	for _, c := range []struct {
		name string
		rows []verify.Row
		want string
	}{
		{"none", nil, ""},
		{"changed", []verify.Row{row(verify.Changed, "name", "note")}, "changed shop=1, id=77 in name, note"},
		{
			"changed, with values",
			[]verify.Row{{
				Change: verify.Changed, Key: key, Columns: []string{"name", "note"},
				Source: []verify.Value{{Column: "name", Text: text("old")}, {Column: "note"}},
				Target: []verify.Value{{Column: "name", Text: text("new\x1b")}, {Column: "note", Text: text("")}},
			}},
			`changed shop=1, id=77 in name ("old", on the target "new\x1b"), note (NULL, on the target "")`,
		},
		{
			"missing, with values, beside one too many without a key",
			[]verify.Row{
				{Change: verify.Missing, Key: key, Source: []verify.Value{{Column: "id", Text: text("77")}, {Column: "name"}}},
				{Change: verify.Extra, Hash: "00ff"},
			},
			`missing shop=1, id=77 in id ("77"), name (NULL); extra 00ff`,
		},
		{"many", make([]verify.Row, rowsShown+1), " ;  ;  ;  ;  ; ..."},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := rowsOf(c.rows); got != c.want {
				t.Errorf("%s\nwant %s", got, c.want)
			}
		})
	}
}
