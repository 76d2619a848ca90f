package precheck

import (
	"context"
	"errors"

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
		if f.Host.Unseen != nil {
			return nil, errors.New("an endpoint belongs to an instance that is registered, and this server is not")
		}
		if f.Plan.Endpoint.Driver == "" && !(f.Plan.Mode == upgrade.BlueGreen && f.Plan.Options.CloneOnly) {
			return []Found{{Object: f.Plan.Instance}}, nil
		}
		return nil, nil
	},
}
