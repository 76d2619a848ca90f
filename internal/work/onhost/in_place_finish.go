package onhost

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/pgleap/pgleap/internal/pgbin"
	"github.com/pgleap/pgleap/internal/run"
	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/internal/upgrade/step"
)

// FinishInPlace asks the target who it is, and removes what only the upgrade needed. The source's data
// directory stays, and cannot be started by mistake.
func (w *Worker) FinishInPlace(ctx context.Context, plan upgrade.Plan) (step.FinishResult, error) {
	result := step.FinishResult{Endpoint: plan.Endpoint}
	files, err := w.files(plan)
	if err != nil {
		return result, err
	}
	var prepared inPlacePrepared
	if _, err := files.read(noteInPlacePrepared, &prepared); err != nil {
		return result, err
	}
	result.Cluster, err = w.host.Inspect(ctx, step.InspectArgs{Pgdata: plan.Target.Pgdata, Superuser: plan.Target.Superuser})
	if err != nil {
		return result, err
	}
	if err := w.rememberEndpoint(result.Cluster, result.Endpoint); err != nil {
		return result, err
	}
	if err := removeOutput(plan); err != nil {
		return result, err
	}
	if err := os.RemoveAll(plan.Workdir()); err != nil {
		return result, fmt.Errorf("remove the upgrade's directory: %w", err)
	}
	events := []upgrade.Event{w.say(ctx, upgrade.LevelInfo, fmt.Sprintf("the instance is %s", result.Cluster))}
	for _, text := range leftOfSource(plan, prepared.Chosen.Transfer) {
		events = append(events, w.say(ctx, upgrade.LevelInfo, text))
	}
	user, err := owner(plan)
	if err != nil {
		return result, err
	}
	if names := w.namesOf(ctx, plan, user); names != "" {
		events = append(events, w.say(ctx, upgrade.LevelWarning, fmt.Sprintf(
			"before the source's data directory %s is removed, change what names places within it on the target: %s", plan.Source.Pgdata, names)))
	}
	if plan.Source.Manager == upgrade.ManagerSystemd {
		said, err := w.settleUnits(ctx, plan)
		if err != nil {
			return result, err
		}
		events = append(events, said)
	}
	events = append(events, w.noBaseBackup(ctx, plan.Instance))
	result.Done = step.Done{Events: events}
	return result, nil
}

// settleUnits says what systemd starts. What an agent that died had not come to is done here.
func (w *Worker) settleUnits(ctx context.Context, plan upgrade.Plan) (upgrade.Event, error) {
	if plan.Target.Manager != upgrade.ManagerSystemd {
		return w.say(ctx, upgrade.LevelWarning, fmt.Sprintf(
			"systemd still starts the source with the system, in vain: systemctl disable %s, and have the target started from %s", plan.Source.Unit, plan.Target.Pgdata)), nil
	}
	if !hasOwnUnit(plan) {
		return w.say(ctx, upgrade.LevelInfo, fmt.Sprintf("the instance keeps its unit %s, which starts the target now", plan.Target.Unit)), nil
	}
	path, err := w.outagePath(plan)
	if err != nil {
		return upgrade.Event{}, err
	}
	state, err := readOutage(path)
	if err != nil {
		return upgrade.Event{}, err
	}
	user, err := owner(plan)
	if err != nil {
		return upgrade.Event{}, err
	}
	text := fmt.Sprintf("systemd starts the target by unit %s, which was made of %s", plan.Target.Unit, plan.Source.Unit)
	if state.Intent.Start.Enabled {
		text += "; the former does so with the system now, the latter no more"
	}
	return w.say(ctx, upgrade.LevelInfo, text), w.bootTarget(ctx, plan, state.Intent, user)
}

// noBaseBackup tells what the record keeps telling until it is mended.
func (w *Worker) noBaseBackup(ctx context.Context, instance string) upgrade.Event {
	return w.say(ctx, upgrade.LevelWarning, fmt.Sprintf(
		"there is no base backup of the new version yet: take one, and confirm it by `pgleap instance set %s --base-backup-taken`", instance))
}

// leftOfSource says what is left of the source, and what can be done with it.
func leftOfSource(plan upgrade.Plan, transfer pgbin.Transfer) []string {
	kept := fmt.Sprintf("the source's data directory %s is kept; its global/pg_control is called pg_control.old, so that nobody starts it by mistake", plan.Source.Pgdata)
	switch transfer {
	case pgbin.TransferLink:
		return []string{kept, "its files are the target's: it must not be started any more. Removing it takes no data from the target"}
	case pgbin.TransferSwap:
		return []string{kept, "its files were moved to the target: what is left is of no use as data, and can be removed"}
	case pgbin.TransferCopy, pgbin.TransferClone, pgbin.TransferCopyFileRange:
	}
	return []string{kept, "it holds all that was in it when it was stopped, and nothing that was written since. Remove it when you are sure that you do not need it"}
}

// UpdateInPlace brings the extensions of every database to the version that the target has.
func (w *Worker) UpdateInPlace(ctx context.Context, plan upgrade.Plan) (step.Done, error) {
	return w.updateExtensions(ctx, plan)
}

// AnalyzeInPlace collects statistics: from 18 on what pg_upgrade has not carried over, before all of
// them, in stages, since clients are at work. Partitioned tables come last, since vacuumdb leaves them out
// before 19. What was collected within the outage is not thinned out again.
func (w *Worker) AnalyzeInPlace(ctx context.Context, plan upgrade.Plan) (step.Done, error) {
	return w.analyzeOnce(plan, func() (step.Done, error) { return w.analyzeInPlace(ctx, plan, pgbin.AnalyzeInStages) })
}

// analyzeInPlace does so, to 17 as it is told.
func (w *Worker) analyzeInPlace(ctx context.Context, plan upgrade.Plan, how pgbin.Analyze) (step.Done, error) {
	if plan.Target.Version.Major() >= 18 {
		how = pgbin.AnalyzeMissing
	}
	return w.analyzeTarget(ctx, plan, w.host.Login(plan.Target, "postgres"), how)
}

// DiscardInPlace undoes an upgrade in place that has not happened: an outage that was left in the middle
// is ended, and the target removed. It refuses once the target serves.
func (w *Worker) DiscardInPlace(ctx context.Context, plan upgrade.Plan) (step.Done, error) {
	files, err := w.files(plan)
	if err != nil || !files.has(noteInPlaceBegun) {
		return step.Done{}, err
	}
	stage, err := w.endOutage(ctx, plan)
	if err != nil {
		return step.Done{}, err
	}
	switch stage {
	case outageDone:
		return step.Done{}, &upgrade.Refused{
			Reason: fmt.Sprintf("upgrade %d has happened: the instance is %s", plan.Number, plan.Target),
			Remedy: "nothing is removed; what can be done with the source is told in docs/in-place.md",
		}
	case outageLost: // nothing is removed of what may be all that there is
		return step.Done{}, nil
	}
	if err := w.discardStandbys(ctx, plan, files); err != nil {
		return step.Done{}, err
	}
	if err := run.EndLeftover(ctx, files.pidfile("pg_upgrade_check")); err != nil {
		return step.Done{}, err
	}
	return w.discardPrepared(ctx, plan, files)
}

// discardPrepared removes the target of an upgrade in place, unless somebody else has taken its place.
func (w *Worker) discardPrepared(ctx context.Context, plan upgrade.Plan, files files) (step.Done, error) {
	done := w.info(ctx, "the target is removed; the source is as it was before the upgrade")
	stranger, err := w.stranger(plan, files)
	if err == nil && stranger != "" {
		done = step.Done{Events: []upgrade.Event{w.say(ctx, upgrade.LevelWarning, leftAlone(plan, stranger))}}
	}
	if err == nil && stranger == "" {
		err = w.stopLeftover(ctx, plan, plan.Target.Bindir, plan.Target.Pgdata, pgbin.StopImmediate)
	}
	if err != nil {
		return step.Done{}, err
	}
	if err := files.remove(noteInPlacePrepared); err != nil { // first: it may be prepared again
		return step.Done{}, fmt.Errorf("remove note: %w", err)
	}
	if stranger == "" {
		if err := w.removeFiles(ctx, plan, files); err != nil {
			return step.Done{}, err
		}
	}
	if err := files.remove(noteInPlaceBegun); err != nil {
		return step.Done{}, fmt.Errorf("remove note: %w", err)
	}
	return done, nil
}

// endOutage ends the outage of a plan, if there was one, and tells how.
func (w *Worker) endOutage(ctx context.Context, plan upgrade.Plan) (outageStage, error) {
	path, err := w.outagePath(plan)
	if err != nil {
		return outageNone, err
	}
	if _, err := os.Stat(filepath.Clean(path)); os.IsNotExist(err) {
		return outageNone, nil
	}
	journal, err := openOutage(ctx, path, w.now)
	if err != nil {
		return outageNone, err
	}
	defer journal.close()
	_, err = w.settleOutage(context.WithoutCancel(ctx), journal, "the upgrade was given up")
	return journal.state.Stage, err
}
