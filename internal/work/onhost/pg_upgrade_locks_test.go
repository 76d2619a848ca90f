package onhost

import (
	"strconv"
	"strings"
	"testing"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// pg_upgrade's servers have the locks that the source had at least, and enough for its jobs.
func TestLocksOfPgUpgrade(t *testing.T) {
	for name, c := range map[string]struct {
		needs              lockNeeds
		source, target, to int // to: the target's version, 17 when 0
	}{
		"a small source":                                {lockNeeds{64, 100, 500}, 128, 128, 0},
		"few connections, with many locks each":         {lockNeeds{2048, 20, 40_000}, 4000, 2048, 0},
		"what was configured suffices":                  {lockNeeds{8192, 20, 40_000}, 8192, 8192, 0},
		"many tables":                                   {lockNeeds{64, 100, 100_000}, 2000, 2000, 0},
		"many connections need few each":                {lockNeeds{64, 5000, 1_000_000}, 400, 20_000, 0},
		"twice as many to 19, which counts differently": {lockNeeds{256, 100, 100_000}, 2000, 4000, 19},
	} {
		t.Run(name, func(t *testing.T) {
			major := 17
			if c.to != 0 {
				major = c.to
			}
			number := func(setting string) int {
				n, err := strconv.Atoi(strings.TrimPrefix(setting, "max_locks_per_transaction="))
				if err != nil {
					t.Fatal(err)
				}
				return n
			}
			if source, target := number(c.needs.source()), number(c.needs.target(upgrade.Major(major))); source != c.source || target != c.target {
				t.Errorf("got %d and %d, want %d and %d", source, target, c.source, c.target)
			}
		})
	}
}
