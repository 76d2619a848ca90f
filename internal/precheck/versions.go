package precheck

import (
	"context"
	"fmt"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// The versions that pgleap has been proven with.
const (
	oldestSource upgrade.Major = 13
	newestTarget upgrade.Major = 19
)

// versions: pg_upgrade goes upwards only (version.c, check_cluster_versions).
var versions = Check{
	ID: "versions", Title: "The versions cannot be combined",
	Severity: upgrade.Blocker, Modes: everyMode(), Scope: PerCluster,
	Why:       fmt.Sprintf("An upgrade leads to a newer major version, from %d or later to %d or earlier: the combinations that pgleap is tested with.", oldestSource, newestTarget),
	Remedy:    "Choose another target version.",
	PgUpgrade: []string{"This utility can", "Swap mode can only upgrade"},
	Find: func(_ context.Context, f *Facts, _ Session) ([]Found, error) {
		source, target := f.Version.Major(), f.Plan.Target.Version.Major()
		pair := fmt.Sprintf("%s to %s", f.Version, f.Plan.Target.Version)
		switch {
		case target <= source:
			return []Found{{Object: pair, Note: "the target is not newer"}}, nil
		case source < oldestSource:
			return []Found{{Object: pair, Note: fmt.Sprintf("a source of version %d is not supported", source)}}, nil
		case target > newestTarget:
			return []Found{{Object: pair, Note: fmt.Sprintf("a target of version %d is not supported", target)}}, nil
		}
		return nil, nil
	},
}
