package control

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/internal/upgrade/step"
)

// EndpointChoice says how an instance gets its endpoint.
type EndpointChoice string

// The choices. An instance without an endpoint cannot be upgraded in mode zero-downtime.
const (
	EndpointOwn   EndpointChoice = "own"   // pgleap runs a PgBouncer
	EndpointAdopt EndpointChoice = "adopt" // a PgBouncer exists
	EndpointNone  EndpointChoice = "none"
)

// AddRequest names a running cluster, by its data directory or else its port.
type AddRequest struct {
	ID        string // empty: derived from the cluster
	Pgdata    string
	Port      int
	Superuser string // empty: found
	Choice    EndpointChoice
	// Endpoint is what the user wants of it: Listen.Port, AuthType and PoolSize of an own
	// PgBouncer; Console, ConsoleUser, ConsolePassfile and Ini of an adopted one.
	Endpoint upgrade.Endpoint
}

// AddInstance takes a cluster under pgleap's care.
func (c *Control) AddInstance(ctx context.Context, who Actor, req AddRequest) (_ upgrade.Instance, err error) {
	defer func() { c.audit(ctx, who, "add instance", req.ID, err) }()
	if err := req.validate(); err != nil {
		return upgrade.Instance{}, err
	}
	var cluster upgrade.Cluster
	args := step.InspectArgs{Pgdata: req.Pgdata, Port: req.Port, Superuser: req.Superuser}
	if err := c.ask(ctx, c.host, step.Inspect, args, &cluster); err != nil {
		return upgrade.Instance{}, err
	}
	// One that adds the same once more has to wait, and finds it added.
	if err := c.endpoints.Acquire(ctx, 1); err != nil {
		return upgrade.Instance{}, fmt.Errorf("wait for other instances to be added: %w", err)
	}
	defer c.endpoints.Release(1)
	if req.ID, err = c.freeID(ctx, req.ID, cluster); err != nil {
		return upgrade.Instance{}, err
	}
	// From here on no endpoint must be left without an instance because the caller went away.
	ctx = context.WithoutCancel(ctx)
	endpoint, err := c.makeEndpoint(ctx, req, cluster)
	if err != nil {
		return upgrade.Instance{}, err
	}
	instance := upgrade.Instance{ID: req.ID, Cluster: cluster, Endpoint: endpoint, CreatedAt: c.now()}
	if err := c.catalog.AddInstance(ctx, instance); err != nil {
		return upgrade.Instance{}, unrecorded(endpoint, err)
	}
	return c.catalog.Instance(ctx, instance.ID)
}

// unrecorded is why there is no instance for an endpoint. Its PgBouncer is not stopped: it may have been there before,
// and serve applications, or be recorded after all, if only the record's answer was lost.
func unrecorded(endpoint upgrade.Endpoint, cause error) error {
	cause = conflicting(cause)
	if !endpoint.Owned {
		return cause
	}
	return fmt.Errorf("%w (the PgBouncer in %s runs, and is taken when the instance is added again)", cause, endpoint.Dir)
}

// refuseUpgraded refuses a cluster that an upgrade is about: before an endpoint is made that nobody needs. The catalogue has
// the last word.
func (c *Control) refuseUpgraded(ctx context.Context, cluster upgrade.Cluster) error {
	running, err := c.catalog.RunningTasks(ctx, upgrade.TaskUpgrade)
	if err != nil {
		return fmt.Errorf("look for running upgrades: %w", err)
	}
	for _, t := range running {
		if t.Plan != nil && t.Plan.Involves(cluster) {
			return &Conflict{
				Reason: fmt.Sprintf("%s belongs to upgrade %d of instance %s, which is running", cluster, t.Number, t.Instance),
				Remedy: "wait until it has ended: then it is that instance, or free", Cause: upgrade.CauseRunning,
			}
		}
	}
	return nil
}

// freeID returns the id for a new instance, and refuses an id or a cluster that is in use.
func (c *Control) freeID(ctx context.Context, wanted string, cluster upgrade.Cluster) (string, error) {
	instances, err := c.catalog.Instances(ctx)
	if err != nil {
		return "", fmt.Errorf("list instances: %w", err)
	}
	if id := instanceOf(instances, cluster); id != "" {
		return "", &Conflict{
			Reason: fmt.Sprintf("%s is instance %s already", cluster, id),
			Remedy: fmt.Sprintf("remove that one first if you want to add it anew (pgleap instance remove %s)", id),
		}
	}
	if err := c.refuseUpgraded(ctx, cluster); err != nil {
		return "", err
	}
	taken := func(id string) bool {
		return slices.ContainsFunc(instances, func(i upgrade.Instance) bool { return i.ID == id })
	}
	if wanted == "" {
		wanted = deriveInstanceID(cluster, taken)
	}
	if taken(wanted) {
		return "", &Conflict{Reason: fmt.Sprintf("there is an instance %s already", wanted), Remedy: "choose another id"}
	}
	return wanted, nil
}

func (c *Control) makeEndpoint(ctx context.Context, req AddRequest, cluster upgrade.Cluster) (upgrade.Endpoint, error) {
	if req.Choice == EndpointNone {
		return upgrade.Endpoint{}, nil
	}
	wanted := req.Endpoint
	wanted.Driver, wanted.Owned = upgrade.PgBouncer, req.Choice == EndpointOwn
	args := step.MakeEndpointArgs{Instance: req.ID, Cluster: cluster, Endpoint: wanted}
	var endpoint upgrade.Endpoint
	if err := c.ask(ctx, cluster.Host, step.MakeEndpoint, args, &endpoint); err != nil {
		return upgrade.Endpoint{}, err
	}
	return endpoint, nil
}

// validate checks what can be checked without looking at the host, and fills in the defaults.
func (r *AddRequest) validate() error {
	if r.Choice == "" {
		r.Choice = EndpointOwn
	}
	if r.ID != "" {
		if err := checkInstanceID(r.ID); err != nil {
			return err
		}
	}
	switch {
	case r.Pgdata == "" && r.Port == 0:
		return &Invalid{Reason: "the cluster is not named", Remedy: "give its data directory or its port; `pgleap instance discover` lists both"}
	case r.Pgdata != "" && !filepath.IsAbs(r.Pgdata):
		return &Invalid{Reason: fmt.Sprintf("the data directory %q is not an absolute path", r.Pgdata), Remedy: "begin it with a slash"}
	case !isPort(r.Port):
		return &Invalid{Reason: fmt.Sprintf("%d is not a port number", r.Port), Remedy: "choose 1 to 65535"}
	}
	return r.validateEndpoint()
}

func (r *AddRequest) validateEndpoint() error {
	e := r.Endpoint
	switch r.Choice {
	case EndpointNone:
		return nil
	case EndpointOwn:
		if !isPort(e.Listen.Port) {
			return &Invalid{Reason: fmt.Sprintf("%d is not a port number for PgBouncer", e.Listen.Port), Remedy: "choose 1 to 65535, or 0 for a free one"}
		}
		if e.PoolSize < 0 {
			return &Invalid{Reason: fmt.Sprintf("%d is not a size of a pool", e.PoolSize), Remedy: "choose 1 or more, or 0 for the default"}
		}
		return nil
	case EndpointAdopt:
		if e.Console.Host == "" || e.Console.Port == 0 || !isPort(e.Console.Port) || !filepath.IsAbs(e.Ini) {
			return &Invalid{
				Reason: "the PgBouncer to adopt is not named",
				Remedy: "give the address of its admin console and the absolute path of its configuration file",
			}
		}
		return nil
	default:
		return &Invalid{Reason: fmt.Sprintf("pgbouncer %q is unknown", r.Choice), Remedy: `choose "own", "adopt" or "none"`}
	}
}

// isPort tells whether a port is one, or left open (0).
func isPort(port int) bool { return port >= 0 && port <= 65535 }
