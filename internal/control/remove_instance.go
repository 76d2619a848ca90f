package control

import (
	"context"

	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/internal/upgrade/step"
)

// Removal tells what became of a removed instance's endpoint.
type Removal struct {
	// EndpointLeft tells that a PgBouncer that pgleap started for the instance still runs.
	EndpointLeft bool
	Endpoint     upgrade.Endpoint
}

// RemoveInstance forgets an instance. Its cluster is not touched. An owned PgBouncer serves on,
// since applications use it, unless stopEndpoint is set.
func (c *Control) RemoveInstance(ctx context.Context, who Actor, id string, stopEndpoint bool) (_ Removal, err error) {
	defer func() { c.audit(ctx, who, "remove instance", id, err) }()
	instance, err := c.catalog.Instance(ctx, id)
	if err != nil {
		return Removal{}, err
	}
	if err := c.refuseWhileRunning(ctx, id, ""); err != nil {
		return Removal{}, err
	}
	stop := stopEndpoint && instance.Endpoint.Owned
	if stop {
		if err := c.ask(ctx, instance.Cluster.Host, step.RemoveEndpoint, instance.Endpoint, nil); err != nil {
			return Removal{}, err
		}
	}
	if err := c.catalog.RemoveInstance(ctx, id); err != nil {
		return Removal{}, conflicting(err)
	}
	return Removal{EndpointLeft: instance.Endpoint.Owned && !stop, Endpoint: instance.Endpoint}, nil
}
