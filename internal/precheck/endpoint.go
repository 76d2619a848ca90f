package precheck

import (
	"context"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// endpoint: without something that can hold the clients there is no switchover.
var endpoint = Check{
	ID: "endpoint", Title: "The instance has no endpoint",
	Severity: upgrade.Blocker, Modes: []upgrade.Mode{upgrade.ZeroDowntime, upgrade.BlueGreen}, Scope: PerCluster,
	Why: "In the switchover clients wait, and then go on at the target. " +
		"That takes a PgBouncer between them and the instance.",
	Remedy: "Give the instance an endpoint, one that pgleap runs or a PgBouncer that you have (see pgleap instance add --help), " +
		"and let the applications connect to it.",
	Find: func(_ context.Context, f *Facts, _ Session) ([]Found, error) {
		if f.Plan.Endpoint.Driver == "" && !(f.Plan.Mode == upgrade.BlueGreen && f.Plan.Options.CloneOnly) {
			return []Found{{Object: f.Plan.Instance}}, nil
		}
		return nil, nil
	},
}
