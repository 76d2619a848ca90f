package native

import (
	"context"

	"github.com/pgleap/pgleap/internal/control"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// ListInstances implements StrictServerInterface.
func (a *api) ListInstances(ctx context.Context, _ ListInstancesRequestObject) (ListInstancesResponseObject, error) {
	instances, err := a.control.Instances(ctx)
	if err != nil {
		return nil, err
	}
	return ListInstances200JSONResponse(list(instances)), nil
}

// GetInstance implements StrictServerInterface.
func (a *api) GetInstance(ctx context.Context, r GetInstanceRequestObject) (GetInstanceResponseObject, error) {
	instance, err := a.control.Instance(ctx, r.Id)
	if err != nil {
		return nil, err
	}
	return GetInstance200JSONResponse(instance), nil
}

// DiscoverClusters implements StrictServerInterface.
func (a *api) DiscoverClusters(ctx context.Context, _ DiscoverClustersRequestObject) (DiscoverClustersResponseObject, error) {
	found, err := a.control.Discover(ctx)
	if err != nil {
		return nil, err
	}
	answer := make([]Discovered, 0, len(found))
	for _, d := range found {
		answer = append(answer, Discovered{Cluster: d.Cluster, Running: d.Running, Problem: d.Problem, Instance: d.Instance})
	}
	return DiscoverClusters200JSONResponse(answer), nil
}

// AddInstance implements StrictServerInterface.
func (a *api) AddInstance(ctx context.Context, r AddInstanceRequestObject) (AddInstanceResponseObject, error) {
	b := r.Body
	instance, err := a.control.AddInstance(ctx, actor(ctx), control.AddRequest{
		ID: b.Id, Pgdata: b.Pgdata, Port: b.Port, Superuser: b.Superuser,
		Choice: control.EndpointChoice(b.Pgbouncer), Endpoint: wantedEndpoint(b),
	})
	if err != nil {
		return nil, err
	}
	return AddInstance201JSONResponse(instance), nil
}

// wantedEndpoint takes from the request what belongs to its choice.
func wantedEndpoint(b *AddInstanceRequest) upgrade.Endpoint {
	switch b.Pgbouncer {
	case Adopt:
		return upgrade.Endpoint{
			Console: b.Adopt.Console, ConsoleUser: b.Adopt.ConsoleUser,
			ConsolePassfile: b.Adopt.ConsolePassfile, Ini: b.Adopt.Ini,
		}
	case None:
		return upgrade.Endpoint{}
	default:
		return upgrade.Endpoint{
			Listen:   upgrade.Address{Port: b.Own.ListenPort},
			AuthType: b.Own.AuthType, PoolSize: b.Own.PoolSize,
		}
	}
}

// RemoveInstance implements StrictServerInterface.
func (a *api) RemoveInstance(ctx context.Context, r RemoveInstanceRequestObject) (RemoveInstanceResponseObject, error) {
	removal, err := a.control.RemoveInstance(ctx, actor(ctx), r.Id, r.Params.StopEndpoint)
	if err != nil {
		return nil, err
	}
	return RemoveInstance200JSONResponse{EndpointLeft: removal.EndpointLeft, Endpoint: removal.Endpoint}, nil
}

// SetWindow implements StrictServerInterface.
func (a *api) SetWindow(ctx context.Context, r SetWindowRequestObject) (SetWindowResponseObject, error) {
	// Written as text, a time of day that is none cannot be read.
	window, err := upgrade.ParseWindow(r.Body.String())
	if err != nil {
		return nil, &control.Invalid{
			Reason: err.Error(), Remedy: "give start and end as different minutes after midnight UTC, 0 to 1439",
		}
	}
	if err := a.control.SetWindow(ctx, actor(ctx), r.Id, window); err != nil {
		return nil, err
	}
	instance, err := a.control.Instance(ctx, r.Id)
	if err != nil {
		return nil, err
	}
	return SetWindow200JSONResponse(instance), nil
}

// list makes JSON's empty array of an empty list.
func list[T any](all []T) []T {
	if all == nil {
		return []T{}
	}
	return all
}
