package control

import (
	"context"
	"slices"

	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/internal/upgrade/step"
)

// Targets returns the versions that an instance can be upgraded to: those installed on its host, of
// each major version the newest, in ascending order.
func (c *Control) Targets(ctx context.Context, id string) ([]upgrade.VersionNum, error) {
	instance, err := c.catalog.Instance(ctx, id)
	if err != nil {
		return nil, err
	}
	var installed []upgrade.VersionNum
	if err := c.ask(ctx, instance.Cluster.Host, step.Installations, nil, &installed); err != nil {
		return nil, err
	}
	slices.Sort(installed)
	targets := []upgrade.VersionNum{}
	for i, version := range installed {
		newest := i+1 == len(installed) || installed[i+1].Major() != version.Major()
		if newest && version.Major() > instance.Cluster.Version.Major() {
			targets = append(targets, version)
		}
	}
	return targets, nil
}
