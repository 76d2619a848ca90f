package precheck

import (
	"context"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// cloneFrom: a base backup of a standby needs one that streams from the source.
var cloneFrom = Check{
	ID: "clone-from", Title: "The standby that the clone is to be copied from cannot be used",
	Severity: upgrade.Blocker, Modes: withClone(), Scope: PerCluster,
	Why: "The clone is copied from the standby that you named, to spare the source, and then streams from the source itself. " +
		"So it must be a standby of this very source, on this host, and close behind: neither paused nor with a " +
		"recovery_min_apply_delay of more than a minute.",
	Remedy: "Name another one, see that it streams, or name none: then the source is copied.",
	Find: func(_ context.Context, f *Facts, _ Session) ([]Found, error) {
		if f.Host.CloneFrom == "" {
			return nil, nil
		}
		return []Found{{Object: f.Host.CloneFrom}}, nil
	},
}
