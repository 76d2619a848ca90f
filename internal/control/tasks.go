package control

import (
	"context"
	"fmt"
	"time"

	"github.com/pgleap/pgleap/internal/catalog"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// What the record gives out, under the names by which the facades know it.
type (
	// TaskFilter chooses tasks. What is empty does not matter.
	TaskFilter = catalog.TaskFilter
	// Event is an event with its place in its task's log.
	Event = catalog.NumberedEvent
	// LagSample is the lag at a moment.
	LagSample = catalog.LagSample
)

// Instance returns an instance.
func (c *Control) Instance(ctx context.Context, id string) (upgrade.Instance, error) {
	return c.catalog.Instance(ctx, id)
}

// Instances returns all instances, by id.
func (c *Control) Instances(ctx context.Context) ([]upgrade.Instance, error) {
	return c.catalog.Instances(ctx)
}

// Tasks returns prechecks and upgrades, the newest first.
func (c *Control) Tasks(ctx context.Context, filter TaskFilter) ([]upgrade.Task, error) {
	if filter.Instance != "" {
		// A task outlives its instance, so that only an id that never was is a mistake.
		_, unknown := c.catalog.Instance(ctx, filter.Instance)
		tasks, err := c.catalog.Tasks(ctx, filter)
		if err == nil && len(tasks) == 0 && unknown != nil {
			return nil, unknown
		}
		return tasks, err
	}
	return c.catalog.Tasks(ctx, filter)
}

// Task returns a task.
func (c *Control) Task(ctx context.Context, number int64) (upgrade.Task, error) {
	return c.catalog.Task(ctx, number)
}

// Events returns the log of a task after a place in it, at most so many events (0: all).
func (c *Control) Events(ctx context.Context, number, after int64, limit int) ([]Event, error) {
	if _, err := c.catalog.Task(ctx, number); err != nil {
		return nil, err
	}
	return c.catalog.Events(ctx, number, after, limit)
}

// maxLagPoints is what a chart can show.
const maxLagPoints = 1000

// Lag returns the lag of an upgrade since a moment, for a chart: a sample a second, or, when that
// makes too many, the peaks.
func (c *Control) Lag(ctx context.Context, number int64, since time.Time) ([]LagSample, error) {
	if _, err := c.catalog.Task(ctx, number); err != nil {
		return nil, err
	}
	return c.catalog.LagSamples(ctx, number, since, maxLagPoints)
}

// Report returns what the precheck of a task found.
func (c *Control) Report(ctx context.Context, number int64) (upgrade.Report, error) {
	return c.catalog.Report(ctx, number)
}

// refuseWhileRunning refuses what cannot be done while a task of a kind runs. The empty kind
// stands for all. The catalogue has the last word, when the task is written down.
func (c *Control) refuseWhileRunning(ctx context.Context, instance string, kind upgrade.TaskKind) error {
	running, err := c.catalog.Tasks(ctx, TaskFilter{Instance: instance, Kind: kind, Status: upgrade.StatusRunning})
	if err != nil || len(running) == 0 {
		return err
	}
	t, remedy := running[0], "wait until it has ended"
	switch {
	case t.AwaitsFinish():
		remedy = "finish it, which gives up its way back: pgleap finish " + instance
	case t.Kind == upgrade.TaskUpgrade:
		remedy += ", or abandon it: pgleap switchover " + instance + " cancel"
	}
	return &Conflict{Reason: fmt.Sprintf("%s %d of instance %s is running", t.Kind, t.Number, instance), Remedy: remedy, Cause: upgrade.CauseRunning}
}
