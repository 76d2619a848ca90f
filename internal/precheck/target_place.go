package precheck

import (
	"context"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// targetPlace: where the target is going to be, as seen on its host.
var targetPlace = Check{
	ID: "target-place", Title: "The target's place cannot be used",
	Severity: upgrade.Blocker, Modes: everyMode(), Scope: PerCluster,
	Why:    "The target gets a data directory and a port of its own. Neither may be in use, and the cluster's owner must be able to make the directory.",
	Remedy: "Choose another data directory or port for the target, or free this one.",
	Find: func(_ context.Context, f *Facts, _ Session) ([]Found, error) {
		if f.Host.Unseen != nil {
			return nil, f.Host.Unseen
		}
		var found []Found
		for _, problem := range f.Host.TargetProblems {
			found = append(found, Found{Object: problem})
		}
		return found, nil
	},
}
