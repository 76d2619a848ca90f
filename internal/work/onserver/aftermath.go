package onserver

import (
	"context"
	"errors"
	"fmt"

	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/internal/upgrade/step"
)

// RegisterClone records a clone as an instance of its own. One that cannot be is told.
func (w *Worker) RegisterClone(ctx context.Context, args step.RegisterCloneArgs) (step.Done, error) {
	id := upgrade.CloneID(args.Instance, args.Number)
	event := upgrade.Event{
		At: w.now().UTC(), Level: upgrade.LevelInfo, Phase: upgrade.PhaseFinishing,
		Text: fmt.Sprintf("the clone is instance %s", id),
	}
	err := w.catalog.AddClone(ctx, args.Number, upgrade.Instance{
		ID: id, Cluster: args.Cluster, CreatedAt: w.now(),
		Backup: &upgrade.MissingBackup{Number: args.Number, Version: args.Cluster.Version, Since: w.now()},
	})
	if refused, ok := errors.AsType[*upgrade.Refused](err); ok {
		event.Level, event.Text, err = upgrade.LevelWarning, "the clone is no instance of its own yet: "+refused.Error(), nil
	}
	if err != nil {
		return step.Done{}, fmt.Errorf("register clone %s: %w", id, err)
	}
	return step.Done{Events: []upgrade.Event{event}}, nil
}

// RecordFindings records what an upgrade has left to be mended. An instance that is gone needs nothing.
func (w *Worker) RecordFindings(ctx context.Context, args step.RecordFindingsArgs) error {
	err := w.catalog.SetFindings(ctx, args.Instance, args.Findings)
	if _, gone := errors.AsType[*upgrade.NotFound](err); gone {
		return nil
	}
	if err != nil {
		return fmt.Errorf("record findings of upgrade %d: %w", args.Number, err)
	}
	return nil
}
