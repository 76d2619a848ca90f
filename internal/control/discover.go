package control

import (
	"context"
	"fmt"

	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/internal/upgrade/step"
)

// Discovered is a cluster found on a host.
type Discovered struct {
	step.Discovered
	// Instance is the id of the instance that the cluster belongs to; empty if none.
	Instance string
}

// Discover asks the host's agent for the clusters there.
func (c *Control) Discover(ctx context.Context) ([]Discovered, error) {
	var clusters []step.Discovered
	if err := c.ask(ctx, c.host, step.Discover, nil, &clusters); err != nil {
		return nil, err
	}
	instances, err := c.catalog.Instances(ctx)
	if err != nil {
		return nil, fmt.Errorf("list instances: %w", err)
	}
	found := make([]Discovered, 0, len(clusters))
	for _, d := range clusters {
		found = append(found, Discovered{Discovered: d, Instance: instanceOf(instances, d.Cluster)})
	}
	return found, nil
}

// instanceOf returns the id of the instance that is made of the cluster. A cluster is where its
// data directory is: its system identifier is that of every physical copy too.
func instanceOf(instances []upgrade.Instance, cluster upgrade.Cluster) string {
	for _, i := range instances {
		if i.Cluster.Host == cluster.Host && i.Cluster.Pgdata == cluster.Pgdata {
			return i.ID
		}
	}
	return ""
}
