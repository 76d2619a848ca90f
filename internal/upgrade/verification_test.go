package upgrade

import (
	"strings"
	"testing"
)

// TestUnproven: who waits for a rehearsal that cannot pass is told what to do about it.
func TestUnproven(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name         string
		verification *Verification
		advised      bool
	}{
		{"not everything was compared", &Verification{NotCompared: []string{"shop, public.large: the snapshots have reached the age"}}, true},
		{"something differed", &Verification{Total: 1, NotCompared: []string{"shop, public.large: the snapshots have reached the age"}}, false},
		{"it could not be carried out", &Verification{Problem: "the snapshots are gone"}, false},
		{"there was none", nil, false},
	} {
		said := Rehearsal{Verification: c.verification}.Unproven()
		if !strings.HasPrefix(said, "the rehearsal did not prove that nothing is lost") || strings.Contains(said, "--skip-rehearsal") != c.advised {
			t.Errorf("%s: %q", c.name, said)
		}
	}
}
