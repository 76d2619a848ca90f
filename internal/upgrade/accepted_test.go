package upgrade

import "testing"

func TestAcceptsObject(t *testing.T) {
	t.Parallel()
	o := Options{Accepted: []string{`unlogged-tables:app.public."Odd ""name"""`, `large-objects:"order"`, `standbys:replica`}}
	for _, c := range []struct {
		check string
		parts []string
		want  bool
	}{
		{"unlogged-tables", []string{"app", "public", `Odd "name"`}, true},
		{"unlogged-tables", []string{"app", "public", "odd"}, false},
		{"unlogged-tables", []string{"app", "public"}, false},
		{"large-objects", []string{"order"}, true},
		{"large-objects", []string{"app"}, false},
		{"standbys", []string{"replica"}, true},
		{"unlogged-tables", []string{"replica"}, false},
	} {
		if got := o.AcceptsObject(c.check, c.parts...); got != c.want {
			t.Errorf("%s of %q: %t, want %t", c.check, c.parts, got, c.want)
		}
	}
}
