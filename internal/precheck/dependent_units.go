package precheck

import (
	"context"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// Dependent is a unit that systemd stops with the source's.
type Dependent struct {
	Unit    string
	Setting string // that ties it: Requires=postgresql-15.service
	// IsEndpoint says that it runs the PgBouncer of the instance's endpoint.
	IsEndpoint bool
}

// dependentUnits: systemd.unit(5) on Requires=, BindsTo=, PartOf= and their kind.
var dependentUnits = Check{
	ID: "dependent-units", Title: "systemd stops other units with the source's",
	Severity: upgrade.Warning, Modes: everyMode(), Scope: PerCluster,
	Why: "When the source is stopped, in the outage of an upgrade in place or when it is retired afterwards, systemd stops these units too, and nobody starts them again. " +
		"Where the target has a unit of another name, they ask for the source's at the next boot, which must not start any more, and do not start either. " +
		"A PgBouncer that holds the clients while the instance is upgraded in place must not be stopped: that is a blocker.",
	Remedy: "Take the setting out of the unit (systemctl edit --full UNIT), or have Wants= and After= say it, which order the boot and stop nothing, and run systemctl daemon-reload. " +
		"What may stop can be started again by a program after the switch (pgleap instance set ID --after-switch PATH).",
	Find: func(_ context.Context, f *Facts, _ Session) ([]Found, error) {
		units, err := f.Host.Dependents.Get()
		if err != nil {
			return nil, err
		}
		var found []Found
		for _, unit := range units {
			one := Found{Object: unit.Unit, Note: unit.Setting}
			if unit.IsEndpoint {
				one.Note += "; it is the PgBouncer of the endpoint"
				if f.Plan.Mode == upgrade.InPlace {
					one.Severity = upgrade.Blocker
				}
			}
			found = append(found, one)
		}
		return found, nil
	},
}
