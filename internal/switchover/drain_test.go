package switchover

import "testing"

func TestTookXIDs(t *testing.T) {
	for _, c := range []struct {
		name, before, after string
		transactions        int
		want                bool
	}{
		{"only ours", "750:750:", "751:751:", 1, true},
		{"one in each of three databases", "750:750:", "753:753:", 3, true},
		{"ours is missing: it was not counted", "750:750:", "750:750:", 1, false},
		{"another one ended meanwhile", "750:750:", "752:752:", 1, false},
		{"another one ended beside three", "750:750:", "754:754:", 3, false},
		{"another one is in progress", "750:750:", "750:752:750", 1, false},
		{"one was in progress before", "749:750:749", "751:751:", 1, false},
		{"beyond 32 bits", "4294967295:4294967295:", "4294967296:4294967296:", 1, true},
		{"no snapshot", "", "751:751:", 1, false},
	} {
		if got := tookXIDs(c.before, c.after, c.transactions); got != c.want {
			t.Errorf("%s: from %q to %q: got %t, want %t", c.name, c.before, c.after, got, c.want)
		}
	}
}
