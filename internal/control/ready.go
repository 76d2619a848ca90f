package control

import (
	"context"
	"fmt"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"

	"github.com/pgleap/pgleap/internal/durable"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// Ready tells whether everything that an upgrade needs is up: the record, the engine, somebody
// who carries out workflows, and the host's agent. If not, the error is an *Unavailable.
func (c *Control) Ready(ctx context.Context) error {
	if _, err := c.catalog.RunningTasks(ctx, upgrade.TaskUpgrade); err != nil {
		return &Unavailable{Reason: "the catalogue cannot be read", Remedy: "see the server's log", Cause: upgrade.CauseCatalogue, Err: err}
	}
	if _, err := c.temporal.CheckHealth(ctx, &client.CheckHealthRequest{}); err != nil {
		return &Unavailable{Reason: "the engine does not answer", Remedy: "see the server's log", Cause: upgrade.CauseEngine, Err: err}
	}
	if err := c.polled(ctx, durable.ServerQueue, enumspb.TASK_QUEUE_TYPE_WORKFLOW); err != nil {
		return &Unavailable{Reason: "the server is still starting", Remedy: "wait a moment", Cause: upgrade.CauseEngine, Err: err}
	}
	if err := c.polled(ctx, durable.HostQueue(c.host), enumspb.TASK_QUEUE_TYPE_ACTIVITY); err != nil {
		return &Unavailable{
			Reason: fmt.Sprintf("the agent of host %s is not there", c.host),
			Remedy: "wait a moment, then see whether pgleap runs there", Cause: upgrade.CauseAgent, Err: err,
		}
	}
	return nil
}

// polled tells whether somebody takes tasks from a queue.
func (c *Control) polled(ctx context.Context, queue string, kind enumspb.TaskQueueType) error {
	described, err := c.temporal.DescribeTaskQueue(ctx, queue, kind)
	if err != nil {
		return fmt.Errorf("describe task queue %s: %w", queue, err)
	}
	if len(described.GetPollers()) == 0 {
		return fmt.Errorf("nobody polls task queue %s", queue)
	}
	return nil
}
