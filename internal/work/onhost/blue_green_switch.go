package onhost

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"

	"github.com/jackc/pgx/v5"

	"github.com/pgleap/pgleap/internal/endpoint"
	"github.com/pgleap/pgleap/internal/pgbin"
	"github.com/pgleap/pgleap/internal/postgres"
	"github.com/pgleap/pgleap/internal/run"
	"github.com/pgleap/pgleap/internal/switchover"
	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/internal/upgrade/step"
)

// noteCloneSpent says that the clone is, or is about to be, promoted: it cannot follow the source any
// more. It is the last note to go when the clone is thrown away.
const noteCloneSpent note = "clone.spent"

// errLateSwitch is why a switch does not begin whose window has closed: its agent was away, or it was made ready for long.
var errLateSwitch = errors.New("the maintenance window closed before the switch could begin")

// SwitchToClone carries out one attempt to switch to the clone, or ends one that a crash left in the
// middle. Clients wait from the fence on until the clone has become the target, or until the deadline.
// A clone that was promoted in vain is thrown away, once clients go on.
func (w *Worker) SwitchToClone(ctx context.Context, args step.SwitchOverArgs) (step.CloneSwitch, error) {
	var result step.CloneSwitch
	path, err := w.journalPath(args)
	if err != nil {
		return result, err
	}
	journal := switchover.OpenJournal(path, w.now)
	state, err := journal.Read()
	if err != nil {
		return result, err
	}
	if args.SettleOnly && state.Stage == switchover.StageNone {
		if state, err = forbid(journal, false); err != nil {
			return result, err
		}
	}
	config := w.switchoverConfig(args.Plan, journal)
	config.OnStep = func(name string) { progressOf(ctx).text(name) }
	if state.Stage != switchover.StageNone {
		result.Switchover, err = switchover.Recover(context.WithoutCancel(ctx), config)
	} else if err = journal.Announce(); err == nil {
		late := false
		config.StartGuard = func(ctx context.Context) (*endpoint.Guard, error) { return w.startGuard(ctx, args.Plan, path) }
		config.MayBegin = func() error {
			if late = w.isLate(args.NotAfter); late {
				return errLateSwitch
			}
			return nil
		}
		result, err = w.switchToClone(ctx, args.Plan, config)
		result.Late = late
	}
	if err != nil || result.Switchover.Switched {
		return result, err
	}
	result.Spent, err = w.throwAway(context.WithoutCancel(ctx), args.Plan)
	return result, err
}

// switchToClone begins an attempt. All that can be made before clients wait is made first.
func (w *Worker) switchToClone(ctx context.Context, plan upgrade.Plan, config switchover.Config) (step.CloneSwitch, error) {
	// An earlier attempt that was not ended would be ended by somebody later: now is the time.
	last, err := w.settleAll(ctx, plan)
	if err != nil || last.OnTarget() {
		return step.CloneSwitch{Switchover: last.Outcome}, err
	}
	if err = config.MayBegin(); err == nil {
		err = w.stream(ctx, plan)
	}
	if err == nil {
		_, err = w.InitTarget(ctx, plan)
	}
	if err == nil {
		err = w.syncTarget(ctx, plan)
	}
	if err == nil {
		err = w.surveyStandbys(ctx, plan)
	}
	if err == nil {
		err = w.standbysReady(plan)
	}
	if ctx.Err() != nil {
		err = errors.New("interrupted before it began")
	}
	if err != nil {
		return step.CloneSwitch{Switchover: upgrade.Switchover{Reason: err.Error()}}, nil //nolint:nilerr // not switching is a result
	}
	var events []upgrade.Event
	outcome, err := switchover.RunStandby(ctx, config, switchover.Standby{
		Application: cloneApplication,
		Steps:       w.cloneSteps(plan, func(done step.Done) { events = append(events, done.Events...) }),
	})
	return step.CloneSwitch{Done: step.Done{Events: events}, Switchover: outcome}, err
}

// syncTarget makes durable what is on the target's disks before clients wait: what somebody else has written there,
// the source for example, need not become so when pg_upgrade is done.
func (w *Worker) syncTarget(ctx context.Context, plan upgrade.Plan) error {
	files, err := w.files(plan)
	if err != nil {
		return err
	}
	disks, err := openTargets(plan, files)
	if err != nil {
		return err
	}
	defer disks.close()
	return disks.sync(ctx)
}

// cloneSteps make the target of the clone while clients wait.
func (w *Worker) cloneSteps(plan upgrade.Plan, tell func(step.Done)) []switchover.StandbyStep {
	named := func(name string, do func(context.Context, switchover.Standstill) (step.Done, error)) switchover.StandbyStep {
		return switchover.StandbyStep{Name: name, Do: func(ctx context.Context, at switchover.Standstill) error {
			done, err := do(ctx, at)
			tell(done)
			return err
		}}
	}
	planned := func(name string, do func(context.Context, upgrade.Plan) (step.Done, error)) switchover.StandbyStep {
		return named(name, func(ctx context.Context, _ switchover.Standstill) (step.Done, error) { return do(ctx, plan) })
	}
	steps := []switchover.StandbyStep{
		named("promote", func(ctx context.Context, at switchover.Standstill) (step.Done, error) {
			return w.promoteCaughtUp(ctx, plan, at)
		}),
		planned("pg_upgrade", w.PgUpgrade),
		planned("start", func(ctx context.Context, plan upgrade.Plan) (step.Done, error) {
			files, err := w.files(plan)
			if err != nil {
				return step.Done{}, err
			}
			return w.startUpgraded(ctx, plan, files)
		}),
	}
	if plan.Options.WaitForStandbys {
		steps = append(steps, planned("standbys", func(ctx context.Context, plan upgrade.Plan) (step.Done, error) {
			return w.buildStandbys(ctx, plan, 1, true)
		}))
	}
	if plan.Options.Statistics == upgrade.StatisticsBefore {
		steps = append(steps, planned("statistics", func(ctx context.Context, plan upgrade.Plan) (step.Done, error) {
			done, err := w.collectStatistics(ctx, plan)
			if err != nil {
				return done, err
			}
			failed, err := w.haveStatistics(ctx, plan)
			done.Events = append(done.Events, failed...)
			return done, err
		}))
	}
	return steps
}

// promoteCaughtUp makes a primary of the clone, which has replayed the fenced source's last record, lets
// everybody log in to it again, for it has replayed the fence too, and stops it for pg_upgrade. Its
// history file is the proof that nothing is missing.
func (w *Worker) promoteCaughtUp(ctx context.Context, plan upgrade.Plan, at switchover.Standstill) (step.Done, error) {
	files, err := w.files(plan)
	if err != nil {
		return step.Done{}, err
	}
	if err := files.write(noteCloneSpent, w.now()); err != nil {
		return step.Done{}, err
	}
	as, err := w.caller(plan, "clone")
	if err != nil {
		return step.Done{}, err
	}
	if err := (pgbin.PgCtl{Bindir: plan.Source.Bindir, Pgdata: plan.ClonePgdata()}).Promote(ctx, as, cloneStart); err != nil {
		return step.Done{}, err
	}
	ours := w.cloneLogin(plan)
	ours.User = upgrade.Role // the fence has left nobody else
	if err := awaitLogin(ctx, ours, cloneStart); err != nil {
		return step.Done{}, fmt.Errorf("log in to the promoted clone: %w", err)
	}
	err = with(ctx, ours, func(conn *pgx.Conn) error { return postgres.PermitLogins(ctx, conn, at.LoginRoles) })
	if err != nil {
		return step.Done{}, err
	}
	cleaned, err := w.cleanClone(ctx, plan)
	if err != nil {
		return step.Done{}, err
	}
	if err := w.stopClone(ctx, plan); err != nil {
		return step.Done{}, err
	}
	end, err := w.provePromotedAt(ctx, plan, at.LSN)
	if err != nil {
		return step.Done{}, err
	}
	proof := fmt.Sprintf("the fenced source's last record ends at LSN %s, the clone had replayed up to %s and was promoted at %s%s",
		at.LSN, at.Replayed, end, cleaned)
	w.log.InfoContext(ctx, "the clone is promoted", "task", plan.Number, "proof", proof)
	return w.info(ctx, proof), nil
}

// endOfRecovery is the last line of a history file as the promotion of a standby writes it (timeline.c,
// writeTimeLineHistory): parent timeline, LSN of the switch, reason.
var endOfRecovery = regexp.MustCompile(`(?m)^\d+\t([0-9A-F]+/[0-9A-F]+)\tno recovery target specified\s*\z`)

// promotedAt reads from a timeline's history where it began.
func promotedAt(history []byte) (postgres.LSN, error) {
	found := endOfRecovery.FindSubmatch(history)
	if found == nil {
		return 0, fmt.Errorf("the clone's timeline history does not tell of a promotion: %q", history)
	}
	return postgres.ParseLSN(string(found[1]))
}

// provePromotedAt wants the history of the timeline that the clone, which is stopped, is on to say that
// it began at x or later.
func (w *Worker) provePromotedAt(ctx context.Context, plan upgrade.Plan, x postgres.LSN) (postgres.LSN, error) {
	as, err := w.caller(plan, "pg_controldata")
	if err != nil {
		return 0, err
	}
	control, err := pgbin.PgControldata(ctx, as, plan.Source.Bindir, plan.ClonePgdata())
	if err != nil {
		return 0, err
	}
	history, err := os.ReadFile(filepath.Join(plan.ClonePgdata(), "pg_wal", fmt.Sprintf("%08X.history", control.TimelineID)))
	if err != nil {
		return 0, fmt.Errorf("the clone is on timeline %d, which no promotion began: %w", control.TimelineID, err)
	}
	end, err := promotedAt(history)
	if err == nil && end < x {
		err = fmt.Errorf("the clone was promoted at LSN %s, before the source's last record ended at %s", end, x)
	}
	return end, err
}

// throwAway removes a clone that was promoted in vain, and what was made of it, so that another one can
// be made. It reports whether there was one.
func (w *Worker) throwAway(ctx context.Context, plan upgrade.Plan) (spent bool, err error) {
	files, err := w.files(plan)
	if err != nil || !files.has(noteCloneSpent) {
		return false, err
	}
	if err := run.EndLeftover(ctx, files.pidfile("pg_upgrade")); err != nil {
		return true, err
	}
	if err := w.discardStandbys(ctx, plan, files); err != nil {
		return true, err
	}
	if err := w.refuseStranger(plan, files); err != nil {
		return true, err
	}
	if err := w.stopServers(ctx, plan, files); err != nil {
		return true, err
	}
	if err := w.removeUpgraded(ctx, plan, files); err != nil {
		return true, err
	}
	err = with(ctx, login(plan, plan.Source), func(conn *pgx.Conn) error {
		return postgres.DropSlot(ctx, conn, upgrade.BaseBackupSlot)
	})
	if err != nil {
		return true, err
	}
	return true, files.forgetClone()
}

// forgetClone removes the notes of a clone that was thrown away, in order. If one stays, so do those after it: the last one
// is why this is done again.
func (f files) forgetClone() error {
	for _, n := range []note{
		noteTargetStarted, noteBaseline, noteUpgraded, noteUpgradeBegun, noteTargetBegun, noteTargetDir, noteBackedUp, noteCloneSpent,
	} {
		if err := f.remove(n); err != nil {
			return fmt.Errorf("forget the clone that was thrown away: %w", err)
		}
	}
	return nil
}

// removeUpgraded removes the clone and the target.
func (w *Worker) removeUpgraded(ctx context.Context, plan upgrade.Plan, files files) error {
	if files.has(noteTargetBegun) {
		if err := removeTarget(plan, files); err != nil {
			return err
		}
		if err := w.host.Unregister(ctx, plan.Target); err != nil {
			return err
		}
	}
	if err := removeClone(plan, files); err != nil {
		return err
	}
	return removeTablespacesDir(plan, files)
}
