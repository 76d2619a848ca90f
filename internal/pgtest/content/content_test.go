package content

import (
	"testing"

	"github.com/pgleap/pgleap/internal/pgtest"
)

// The scripts run on every version under test, whatever the target.
func TestLoad(t *testing.T) {
	pgtest.Slow(t)
	for _, major := range pgtest.Versions(t) {
		cluster := pgtest.Start(t, major, pgtest.Config(Settings()))
		Load(t, cluster, For{Target: major + 1})
	}
}
