package precheck

import (
	"context"
	"fmt"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// targetMinor: release notes 16.9 and 17.5, "incorrect reset of replication origin". Other
// versions never had the fault.
var targetMinor = Check{
	ID: "target-minor", Title: "The target's minor release can apply a transaction twice",
	Severity: upgrade.Blocker, Modes: withReplication(), Scope: PerCluster,
	Why: "Before 16.9 and 17.5 an apply worker that meets an error could reset its replication origin wrongly, " +
		"and then apply the same changes again.",
	Remedy: "Install the latest minor release of the target's major version.",
	Find: func(_ context.Context, f *Facts, _ Session) ([]Found, error) {
		target := f.Plan.Target.Version
		if f.Host.Unseen != nil && f.Plan.Target.Bindir == "" {
			return nil, fmt.Errorf("which minor release of PostgreSQL %d it will be is not known", target.Major())
		}
		first := map[upgrade.Major]upgrade.VersionNum{16: 160009, 17: 170005}[target.Major()]
		if target < first {
			return []Found{{Object: target.String(), Note: fmt.Sprintf("%s or later is needed", first)}}, nil
		}
		return nil, nil
	},
}
