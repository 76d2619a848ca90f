package onserver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"

	"github.com/pgleap/pgleap/internal/catalog"
	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/internal/upgrade/step"
)

// Worker writes the catalogue.
type Worker struct {
	catalog *catalog.Catalog
	log     *slog.Logger
	now     func() time.Time
}

// New makes the worker of the server.
func New(c *catalog.Catalog, log *slog.Logger, now func() time.Time) *Worker {
	return &Worker{catalog: c, log: log, now: now}
}

// Registry is what activities are registered with: a Temporal worker.
type Registry interface {
	RegisterActivityWithOptions(a any, options activity.RegisterOptions)
}

// Register registers every activity of the server.
func (w *Worker) Register(r Registry) {
	for name, do := range map[string]any{
		step.IsTaskOver: w.IsTaskOver, step.Record: w.Record, step.SaveReport: w.SaveReport, step.EndTask: w.EndTask,
		step.AmendTask: w.AmendTask, step.MoveInstance: w.MoveInstance,
		step.RetireFormer: w.RetireFormer, step.RegisterClone: w.RegisterClone, step.RecordFindings: w.RecordFindings,
	} {
		r.RegisterActivityWithOptions(do, activity.RegisterOptions{Name: name})
	}
}

// IsTaskOver tells whether a task has ended, or is not known any more.
func (w *Worker) IsTaskOver(ctx context.Context, number int64) (bool, error) {
	task, err := w.catalog.Task(ctx, number)
	if _, unknown := errors.AsType[*upgrade.NotFound](err); unknown {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("look whether task %d has ended: %w", number, err)
	}
	return task.Status.Ended(), nil
}

// Record writes down where a task stands and what happened.
func (w *Worker) Record(ctx context.Context, args step.RecordArgs) error {
	if args.Phase != "" {
		if err := w.catalog.EnterPhase(ctx, args.Number, args.Phase, w.now()); err != nil {
			return fmt.Errorf("record phase of task %d: %w", args.Number, err)
		}
		w.log.InfoContext(ctx, "phase", "task", args.Number, "phase", string(args.Phase))
	}
	if len(args.Events) > 0 {
		if err := w.catalog.AppendEvents(ctx, args.Number, args.Key, args.Events); err != nil {
			return fmt.Errorf("record events of task %d: %w", args.Number, err)
		}
	}
	for _, event := range args.Events {
		w.log.Log(ctx, levelOf(event.Level), event.Text, "task", args.Number, "phase", string(event.Phase)) //nolint:sloglint // the message is the event
	}
	if args.Switchover != nil {
		if err := w.catalog.SetSwitchover(ctx, args.Number, *args.Switchover); err != nil {
			return fmt.Errorf("record switchover of task %d: %w", args.Number, err)
		}
	}
	if args.Rehearsal != nil {
		if err := w.catalog.SetRehearsal(ctx, args.Number, *args.Rehearsal); err != nil {
			return fmt.Errorf("record rehearsal of task %d: %w", args.Number, err)
		}
	}
	if args.Verification != nil {
		if err := w.catalog.SetVerification(ctx, args.Number, *args.Verification); err != nil {
			return fmt.Errorf("record verification of task %d: %w", args.Number, err)
		}
	}
	return nil
}

func levelOf(l upgrade.Level) slog.Level {
	switch l {
	case upgrade.LevelError:
		return slog.LevelError
	case upgrade.LevelWarning:
		return slog.LevelWarn
	case upgrade.LevelInfo:
	}
	return slog.LevelInfo
}

// SaveReport stores a report.
func (w *Worker) SaveReport(ctx context.Context, report upgrade.Report) error {
	if err := w.catalog.SaveReport(ctx, report); err != nil {
		return fmt.Errorf("save report %d: %w", report.Number, err)
	}
	return nil
}

// EndTask writes how a task ended.
func (w *Worker) EndTask(ctx context.Context, args step.EndTaskArgs) error {
	if err := w.catalog.EndTask(ctx, args.Number, args.Outcome, w.now()); err != nil {
		return fmt.Errorf("end task %d: %w", args.Number, err)
	}
	w.log.InfoContext(ctx, "task ended", "task", args.Number, "status", string(args.Outcome.Status), "reason", args.Outcome.Reason)
	return nil
}

// AmendTask writes how a task ended that was taken for failed.
func (w *Worker) AmendTask(ctx context.Context, args step.EndTaskArgs) error {
	if err := w.catalog.AmendTask(ctx, args.Number, args.Outcome, w.now()); err != nil {
		return fmt.Errorf("amend the end of task %d: %w", args.Number, err)
	}
	w.log.InfoContext(ctx, "task ended otherwise than was recorded", "task", args.Number, "status", string(args.Outcome.Status), "reason", args.Outcome.Reason)
	return nil
}

// RetireFormer records that the former cluster of an upgrade was stopped for good.
func (w *Worker) RetireFormer(ctx context.Context, number int64) error {
	if err := w.catalog.RetireFormerCluster(ctx, number, w.now()); err != nil {
		return fmt.Errorf("record that the former cluster of upgrade %d is retired: %w", number, err)
	}
	return nil
}

// MoveInstance says which cluster an instance is made of now.
func (w *Worker) MoveInstance(ctx context.Context, args step.MoveInstanceArgs) error {
	instance, err := w.catalog.Instance(ctx, args.Instance)
	if err != nil {
		return fmt.Errorf("move instance %s: %w", args.Instance, err)
	}
	if args.Former != nil {
		former := catalog.FormerCluster{Number: args.Number, Instance: args.Instance, Cluster: *args.Former, Since: w.now()}
		if err := w.catalog.AddFormerCluster(ctx, former); err != nil {
			return fmt.Errorf("move instance %s: %w", args.Instance, err)
		}
	}
	if args.Returned {
		if err := w.catalog.RemoveFormerCluster(ctx, args.Number); err != nil {
			return fmt.Errorf("move instance %s: %w", args.Instance, err)
		}
		if at := instance.Cluster; at.Host == args.Cluster.Host && at.Pgdata == args.Cluster.Pgdata {
			return nil // it was back already
		}
	}
	if was, is := instance.Cluster.Version.Major(), args.Cluster.Version.Major(); was < is {
		instance.Backup = &upgrade.MissingBackup{Number: args.Number, Version: args.Cluster.Version, Since: w.now()}
		instance.Findings = nil // those of an upgrade before
	}
	if args.Returned { // to a cluster that was backed up before
		instance.Backup, instance.Findings = nil, nil
	}
	instance.Cluster, instance.Endpoint = args.Cluster, args.Endpoint
	err = w.catalog.UpdateInstance(ctx, instance)
	if refused, ok := errors.AsType[*upgrade.Refused](err); ok { // the upgrade tells, and goes on
		return temporal.NewNonRetryableApplicationError(
			fmt.Sprintf("instance %s is not recorded at %s: %s", args.Instance, args.Cluster, refused), "Refused", nil, refused)
	}
	if err != nil {
		return fmt.Errorf("move instance %s: %w", args.Instance, err)
	}
	return nil
}
