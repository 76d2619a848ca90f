package precheck

import (
	"context"
	"errors"
	"fmt"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// pgUpgradeCheck stands for what the target's own pg_upgrade says of the running source. Every complaint that
// another check knows is told by that check, see hearPgUpgrade; what is left is told here in pg_upgrade's words.
var pgUpgradeCheck = Check{
	ID: "pg-upgrade", Title: "pg_upgrade --check complains",
	Severity: upgrade.Blocker, Modes: withPgUpgrade(), Scope: PerCluster,
	Why: "The target's own pg_upgrade was run with --check against the running source and an empty target. What it refuses then, it refuses later. " +
		"What other checks find too is told there.",
	Remedy: "Mend what it names. It often stops at its first complaint: check again afterwards.",
	Find: func(_ context.Context, f *Facts, _ Session) ([]Found, error) {
		said, err := f.Host.PgUpgrade.Get()
		if err != nil {
			return nil, fmt.Errorf("run pg_upgrade --check: %w", err)
		}
		if !said.Compatible && len(said.Failures) == 0 {
			return nil, errors.New("pg_upgrade --check failed without a reason")
		}
		return nil, nil
	},
}
