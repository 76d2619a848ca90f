package control

import (
	"context"
	"fmt"

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
// since applications use it, unless stopEndpoint is set; one that cannot be stopped is left, too.
func (c *Control) RemoveInstance(ctx context.Context, who Actor, id string, stopEndpoint bool) (_ Removal, err error) {
	defer func() { c.audit(ctx, who, "remove instance", id, err) }()
	if err := c.endpoints.Acquire(ctx, 1); err != nil {
		return Removal{}, fmt.Errorf("wait for other instances to be added or removed: %w", err)
	}
	defer c.endpoints.Release(1)
	instance, err := c.catalog.Instance(ctx, id)
	if err != nil {
		return Removal{}, err
	}
	if err := c.refuseWhileRunning(ctx, id, ""); err != nil {
		return Removal{}, err
	}
	// The record has the last word: an upgrade may have begun, and needs the endpoint.
	if err := c.catalog.RemoveInstance(ctx, id); err != nil {
		return Removal{}, conflicting(err)
	}
	removal := Removal{EndpointLeft: instance.Endpoint.Owned, Endpoint: instance.Endpoint}
	if !stopEndpoint || !instance.Endpoint.Owned {
		return removal, nil
	}
	if err := c.ask(context.WithoutCancel(ctx), instance.Cluster.Host, step.RemoveEndpoint, instance.Endpoint, nil); err != nil {
		c.log.ErrorContext(ctx, "PgBouncer of a removed instance not stopped", "instance", id, "endpoint", instance.Endpoint.Dir, "error", err)
		return removal, nil
	}
	removal.EndpointLeft = false
	return removal, nil
}
