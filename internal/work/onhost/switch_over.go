package onhost

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/pgleap/pgleap/internal/endpoint"
	"github.com/pgleap/pgleap/internal/switchover"
	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/internal/upgrade/step"
)

// SwitchOver carries out one attempt to switch over, there or back, or ends one that a crash left in
// the middle.
func (w *Worker) SwitchOver(ctx context.Context, args step.SwitchOverArgs) (upgrade.Switchover, error) {
	path, err := w.journalPath(args)
	if err != nil {
		return upgrade.Switchover{}, err
	}
	journal := switchover.OpenJournal(path, w.now)
	state, err := journal.Read()
	if err != nil {
		return upgrade.Switchover{}, err
	}
	if args.SettleOnly && state.Stage == switchover.StageNone {
		if state, err = forbid(journal, args.Plan.Reversed); err != nil {
			return upgrade.Switchover{}, err
		}
	}
	config := w.switchoverConfig(args.Plan, journal)
	config.OnStep = func(name string) { progressOf(ctx).text(name) }
	if state.Stage != switchover.StageNone {
		outcome, err := w.recover(context.WithoutCancel(ctx), config)
		if err == nil && args.SettleOnly && !outcome.Switched { // whoever prepared it may be dead
			switchover.Tidy(context.WithoutCancel(ctx), config)
		}
		return outcome, err
	}
	if err := journal.Announce(); err != nil {
		return upgrade.Switchover{}, err
	}
	// An earlier attempt that was not ended would be ended by somebody later: now is the time.
	last, err := w.settleAll(ctx, args.Plan)
	if err != nil {
		return upgrade.Switchover{}, err
	}
	if last.OnTarget() != args.Plan.Reversed { // they are there already, which nobody knew
		return last.Outcome, nil
	}
	var withoutStatistics []upgrade.Event
	if !args.Plan.Reversed {
		if err := w.configurationUnchanged(args.Plan); err != nil {
			return upgrade.Switchover{Reason: err.Error()}, nil //nolint:nilerr // not switching is a result
		}
		if args.Plan.Options.Statistics == upgrade.StatisticsBefore && last.Stage == switchover.StageNone && !args.Rehearse {
			if withoutStatistics, err = w.haveStatistics(ctx, args.Plan); err != nil {
				return upgrade.Switchover{Reason: err.Error()}, nil //nolint:nilerr // not switching is a result
			}
		}
	}
	if args.Plan.Reversed {
		if err := w.commitsThere(ctx, args.Plan); err != nil {
			return upgrade.Switchover{Reason: err.Error(), Back: true}, nil //nolint:nilerr // not switching is a result
		}
	}
	config.FormerConsumers = last.Outcome.Consumers
	if err := w.dropVerification(ctx, args.Plan); err != nil { // it ends by itself, if late
		w.log.WarnContext(ctx, "snapshots of an earlier attempt may still be held", "task", args.Plan.Number, "error", err)
	}
	config.StartGuard = func(ctx context.Context) (*endpoint.Guard, error) { return w.startGuard(ctx, args.Plan, path) }
	config.Rehearse, config.Patience = args.Rehearse, patience(w.lastPause(args.Plan))
	if args.Keep {
		config.Keep = func(s switchover.Snapshots) { w.keepSnapshots(ctx, args.Plan, args.Attempt, s) }
	}
	outcome, err := w.runSwitchover(ctx, config, last)
	for _, event := range withoutStatistics {
		outcome.Told = append(outcome.Told, event.Text)
	}
	return outcome, err
}

// patience is how long clients wait in each try before it gives way to them. It begins short of a quarter of a
// second, with what it takes to let them go on. A try that can hardly be longer than the last pause was is left out.
func patience(last time.Duration) []time.Duration {
	tries := []time.Duration{150 * time.Millisecond, 150 * time.Millisecond, 300 * time.Millisecond, time.Second}
	return slices.DeleteFunc(tries, func(d time.Duration) bool { return d < last+last/2 })
}

// lastPause is that of an upgrade's last switchover or rehearsal in the same direction that came to its end; 0 if
// there is none.
func (w *Worker) lastPause(plan upgrade.Plan) time.Duration {
	last, _ := w.lastAttempt(plan, func(s switchover.State) bool { // what cannot be read is not known
		return (s.Outcome.Switched || s.Outcome.Rehearsed) && s.Intent.Plan.Reversed == plan.Reversed
	})
	return last.Outcome.Pause
}

// runSwitchover is the critical section. Where clients have been before, pg_hba.conf lets nobody in: it
// is opened before the section, whose own fence still holds there, and closed again if they do not come.
func (w *Worker) runSwitchover(ctx context.Context, config switchover.Config, last switchover.State) (upgrade.Switchover, error) {
	if last.Stage == switchover.StageNone {
		return switchover.Run(ctx, config)
	}
	config.Barred = last.Intent.LoginRoles
	if err := w.openAccess(ctx, config.Plan, config.Plan.Target); err != nil {
		w.barFormer(ctx, config.Plan)
		return upgrade.Switchover{Reason: err.Error(), Back: config.Plan.Reversed}, nil //nolint:nilerr // not switching is a result
	}
	outcome, err := switchover.Run(ctx, config)
	if err == nil && !outcome.Switched {
		w.barFormer(ctx, config.Plan)
	}
	return outcome, err
}

// lastSwitched is the last attempt of an upgrade that switched and is done, if there is one.
func (w *Worker) lastSwitched(plan upgrade.Plan) (switchover.State, error) {
	return w.lastAttempt(plan, func(s switchover.State) bool { return s.Stage == switchover.StageDone })
}

// lastAttempt is the last attempt of an upgrade that is so, if there is one.
func (w *Worker) lastAttempt(plan upgrade.Plan, is func(switchover.State) bool) (last switchover.State, err error) {
	journals, err := w.journals(taskName(plan))
	if err != nil {
		return last, err
	}
	for _, journal := range journals {
		state, err := journal.Read()
		if err != nil {
			return last, err
		}
		if is(state) {
			last = state
		}
	}
	return last, nil
}

// recover ends an attempt that a crash left in the middle. The side that clients have left before is
// barred again: the attempt may have opened its pg_hba.conf.
func (w *Worker) recover(ctx context.Context, config switchover.Config) (upgrade.Switchover, error) {
	outcome, err := switchover.Recover(ctx, config)
	if err == nil {
		w.barFormer(ctx, config.Plan)
	}
	return outcome, err
}

// barFormer closes the pg_hba.conf of the side that clients have left, if they have left one.
func (w *Worker) barFormer(ctx context.Context, plan upgrade.Plan) {
	last, err := w.lastSwitched(plan)
	if err == nil && last.Stage == switchover.StageDone {
		err = w.closeAccess(context.WithoutCancel(ctx), last.Intent.Plan, last.Intent.Plan.Source)
	}
	if err != nil {
		w.log.WarnContext(ctx, "pg_hba.conf of the side that clients have left may be open; its roles cannot log in", "error", err)
	}
}

// settleAll ends every attempt of an upgrade that is not ended, and returns the last one that switched.
func (w *Worker) settleAll(ctx context.Context, plan upgrade.Plan) (last switchover.State, err error) {
	journals, err := w.journals(taskName(plan))
	if err != nil {
		return last, err
	}
	for _, journal := range journals {
		state, err := journal.Read()
		if err != nil {
			return last, err
		}
		if state.Stage == switchover.StageNone || state.Stage.Ended() {
			continue
		}
		if _, err := switchover.Recover(ctx, w.switchoverConfig(state.Intent.Plan, journal)); err != nil {
			return last, err
		}
	}
	return w.lastSwitched(plan)
}

// forbid keeps an attempt that is to be ended, and has not begun, from beginning: its activity may be over for the
// engine, and still be preparing it. It returns where the journal stands then.
func forbid(journal *switchover.Journal, back bool) (switchover.State, error) {
	err := journal.Forbid(upgrade.Switchover{Reason: "interrupted before it began", Back: back})
	if _, began := errors.AsType[*switchover.WrongStage](err); err != nil && !began {
		return switchover.State{}, err
	}
	return journal.Read()
}

// settleForGood is settleAll of an upgrade that is given up: no attempt begins any more that is being prepared.
func (w *Worker) settleForGood(ctx context.Context, plan upgrade.Plan) (last switchover.State, err error) {
	journals, err := w.journals(taskName(plan))
	if err != nil {
		return last, err
	}
	for _, journal := range journals {
		if _, err := forbid(journal, false); err != nil {
			return last, err
		}
	}
	return w.settleAll(ctx, plan)
}

func (w *Worker) switchoverConfig(plan upgrade.Plan, journal *switchover.Journal) switchover.Config {
	return switchover.Config{
		Plan: plan, Source: quiet(login(plan, plan.Source)), Target: quiet(login(plan, plan.Target)),
		Endpoint: driver(plan.Endpoint, plan.Source, plan.Target), Journal: journal, Log: w.log, Now: w.now,
		StartTarget: func(ctx context.Context) error { return w.startWhereClientsGo(ctx, plan) },
	}
}

// startWhereClientsGo starts the cluster that a plan leads clients to, unless it runs. The other one, which is
// fenced, is never started: a committed switchover does not need it.
func (w *Worker) startWhereClientsGo(ctx context.Context, plan upgrade.Plan) error {
	if _, running := w.host.Running(plan.Target); running {
		return nil
	}
	w.log.WarnContext(ctx, "the server that clients are led to does not run; it is started", "task", plan.Number, "cluster", plan.Target.String())
	logfile := targetLog(plan)
	if plan.Reversed { // that is the other cluster's log
		logfile = ""
	}
	return w.host.Start(ctx, plan.Target, logfile, targetStart)
}

// journalPath is where an attempt keeps its record: in the agent's own directory.
func (w *Worker) journalPath(args step.SwitchOverArgs) (string, error) {
	if err := os.MkdirAll(w.journalDir(), 0o700); err != nil {
		return "", fmt.Errorf("make the agent's directory: %w", err)
	}
	return filepath.Join(w.journalDir(), attemptName(args.Plan, args.Attempt)+".journal"), nil
}

func attemptName(plan upgrade.Plan, attempt int) string {
	return fmt.Sprintf("%s-%d", taskName(plan), attempt)
}

func (w *Worker) journalDir() string { return filepath.Join(w.dir, "switchovers") }

// journalPaths lists the journals of an upgrade, or of all, in the order of their attempts.
func (w *Worker) journalPaths(name string) ([]string, error) {
	paths, err := filepath.Glob(filepath.Join(w.journalDir(), name+"-*.journal"))
	if err != nil {
		return nil, fmt.Errorf("look for switchovers: %w", err)
	}
	slices.SortFunc(paths, func(a, b string) int { return cmp.Compare(attemptOf(a), attemptOf(b)) })
	return paths, nil
}

func (w *Worker) journals(name string) ([]*switchover.Journal, error) {
	paths, err := w.journalPaths(name)
	if err != nil {
		return nil, err
	}
	journals := make([]*switchover.Journal, len(paths))
	for i, path := range paths {
		journals[i] = switchover.OpenJournal(path, w.now)
	}
	return journals, nil
}

// attemptOf reads the number of an attempt from its journal's name.
func attemptOf(path string) int {
	name := strings.TrimSuffix(filepath.Base(path), ".journal")
	number, _ := strconv.Atoi(name[strings.LastIndex(name, "-")+1:])
	return number
}

// RecoverSwitchovers ends what switchovers a crash left in the middle. It is the first thing that
// an agent does: clients may be waiting. One that cannot be ended, since its source is gone for
// example, does not keep the others waiting.
func (w *Worker) RecoverSwitchovers(ctx context.Context) error {
	journals, err := w.journals("*")
	if err != nil {
		return err
	}
	errs := make([]error, len(journals))
	var all sync.WaitGroup
	for i, journal := range journals {
		all.Go(func() { errs[i] = w.recoverSwitchover(ctx, journal) })
	}
	all.Wait()
	return errors.Join(errs...)
}

func (w *Worker) recoverSwitchover(ctx context.Context, journal *switchover.Journal) error {
	state, err := journal.Read()
	if err != nil || state.Stage == switchover.StageNone || state.Stage.Ended() {
		return err
	}
	plan := state.Intent.Plan
	w.log.WarnContext(ctx, "a switchover was left in the middle; it is ended now", "task", plan.Number, "stage", string(state.Stage))
	_, err = w.recover(ctx, w.switchoverConfig(plan, journal))
	return err
}
