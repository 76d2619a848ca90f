package onhost

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/pgleap/pgleap/internal/pgbin"
	"github.com/pgleap/pgleap/internal/postgres"
	"github.com/pgleap/pgleap/internal/postmaster"
	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/internal/upgrade/step"
)

// pause lets the clients of the endpoint wait. Those who come round it are disconnected by the stop. A transaction that is
// prepared in between would make pg_upgrade refuse the source: its client goes on, to end it, and waits again.
func (o *outage) pause(ctx context.Context) error {
	defer o.stopWatching(context.WithoutCancel(ctx))
	ctx, cancel := context.WithTimeout(ctx, o.plan.Options.SwitchoverTimeout)
	defer cancel()
	for {
		if o.session != nil {
			if err := o.session.Pause(ctx); err != nil {
				return err
			}
		}
		prepared, err := postgres.ListPrepared(ctx, o.watch)
		if err != nil || len(prepared) == 0 {
			return err
		}
		if err := o.resume(ctx); err != nil {
			return err
		}
		if err := o.awaitPrepared(ctx, prepared); err != nil {
			return err
		}
	}
}

func (o *outage) stopSource(ctx context.Context) error {
	err := o.ahead(ctx,
		func() error {
			err := o.host.Stop(ctx, o.plan.Source, pgbin.StopFast, sourceStopWait)
			if _, again := errors.AsType[*postmaster.StartedAgain](err); again {
				return nil // by pg_upgrade, which did not wait for this; if by somebody else, its state will tell
			}
			return err
		},
		func() bool { _, running := o.host.Running(o.plan.Source); return !running })
	if err != nil {
		return err
	}
	as, err := o.caller(o.plan, "pg_controldata")
	if err != nil {
		return err
	}
	control, err := pgbin.PgControldata(ctx, as, o.plan.Source.Bindir, o.plan.Source.Pgdata)
	if err == nil && control.State != pgbin.StateShutDown {
		err = fmt.Errorf("the source was not shut down cleanly: its state is %q", control.State)
	}
	return err
}

func (o *outage) pgUpgrade(ctx context.Context) error {
	as, err := o.caller(o.plan, "pg_upgrade")
	if err != nil {
		return err
	}
	as.Pidfile = o.files.pidfile("pg_upgrade")
	program, err := o.pgUpgradeInPlace(o.plan, o.intent.Prepared, o.intent.Sockets, o.user)
	if err != nil {
		return err
	}
	if program.Transfer == pgbin.TransferSwap {
		ctx = context.WithoutCancel(ctx) // its servers and files must not be left in the middle
	}
	pace := newPace(o.now)
	result, err := program.Run(ctx, as, func(phase string, done, total int64) {
		progressOf(ctx).count("pg_upgrade: "+phase+pace.remaining(phase, done, total), done, total, unitOf(phase))
	})
	if err != nil {
		return explainPgUpgrade(err, o.databases)
	}
	o.told.Events = append(o.told.Events, o.warnedBy(ctx, "pg_upgrade", o.files, as.As, result)...)
	if err := o.carrySettingsOfAllRoles(ctx, o.plan, as, o.intent.OfAllRoles); ctx.Err() == nil && err != nil {
		o.told.Events = append(o.told.Events, o.say(ctx, upgrade.LevelWarning, err.Error()+"; set them by hand"))
	}
	return ctx.Err()
}

// unitOf is what pg_upgrade's progress counts.
func unitOf(phase string) string {
	switch phase {
	case pgbin.PhaseDumping:
		return "databases"
	case pgbin.PhaseTransfer:
		return "relations"
	}
	return "objects"
}

// pace tells how long a phase of pg_upgrade will take at the rate that it has had so far.
type pace struct {
	now   func() time.Time
	phase string
	begun time.Time
}

func newPace(now func() time.Time) *pace { return &pace{now: now} }

// paceAfter is how much of a phase must have passed before its rate says anything.
const paceAfter = 2 * time.Second

func (p *pace) remaining(phase string, done, total int64) string {
	if phase != p.phase {
		p.phase, p.begun = phase, p.now()
	}
	passed := p.now().Sub(p.begun)
	if done <= 0 || total <= done || passed < paceAfter {
		return ""
	}
	left := time.Duration(float64(passed) / float64(done) * float64(total-done))
	return fmt.Sprintf(", about %s left in this phase", max(left, time.Second).Round(time.Second))
}

// targetIsComplete returns the target's checkpoint: as long as that is its last one, nobody has used it.
func (o *outage) targetIsComplete(ctx context.Context) (string, error) {
	if err := o.sourceStayedDown(); err != nil {
		return "", err
	}
	as, err := o.caller(o.plan, "pg_controldata")
	if err != nil {
		return "", err
	}
	control, err := pgbin.PgControldata(ctx, as, o.plan.Target.Bindir, o.plan.Target.Pgdata)
	if err == nil && control.State != pgbin.StateShutDown {
		err = fmt.Errorf("the target was not shut down cleanly by pg_upgrade: its state is %q", control.State)
	}
	return control.CheckpointLSN, err
}

// sourceStayedDown tells whether nobody but pg_upgrade has started the source since that was stopped: what somebody wrote
// to it while its files were copied would be in neither cluster as a whole. Each server writes how it was started before
// it does anything else (postmaster.c, CreateOptsFile). With links and swap the source cannot be started by then.
func (o *outage) sourceStayedDown() error {
	switch o.intent.Prepared.Chosen.Transfer {
	case pgbin.TransferLink, pgbin.TransferSwap:
		return nil
	case pgbin.TransferCopy, pgbin.TransferClone, pgbin.TransferCopyFileRange:
	}
	options, err := pgbin.PostmasterOpts(o.plan.Source.Pgdata)
	if err == nil && !strings.Contains(options, o.intent.Sockets) {
		err = fmt.Errorf("somebody has started %s while its files were copied: keep what restarts it by itself from doing so, and start the upgrade again", o.plan.Source)
	}
	return err
}

// configure makes the target what the instance's cluster is, and keeps anybody from starting the source,
// at boot for example, on the port that it had.
func (o *outage) configure(ctx context.Context) error {
	if err := disableControl(o.plan.Source.Pgdata); err != nil {
		return err
	}
	if err := setBoot(o.plan.Source, notAtBoot, o.user); err != nil {
		return err
	}
	return o.installConfiguration(ctx, o.plan, o.user)
}

func (o *outage) startTarget(ctx context.Context) error {
	if err := o.caughtUp(); err != nil {
		return err
	}
	// What is left waiting when the target has started is not to be ended by a cancel that comes later.
	starting, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	detach := context.AfterFunc(ctx, func() { cancel(context.Cause(ctx)) })
	err := o.ahead(ctx,
		func() error { return o.host.Start(starting, o.plan.Target, targetLogInPlace(o.intent), targetStart) },
		func() bool {
			lock, running := pgbin.RunningPostmaster(o.plan.Target.Pgdata)
			return running && lock.Status == "ready"
		})
	detach()
	if err != nil {
		return o.explainStart(ctx, o.plan, err)
	}
	return nil
}

// ahead returns as soon as a server has stopped or started, while the program that does it still waits for
// that: pg_ctl looks every 100 ms, and pg_ctlcluster stays for seconds. Meanwhile nobody serves.
func (o *outage) ahead(ctx context.Context, do func() error, done func() bool) error {
	ended := make(chan error, 1)
	go func() { ended <- do() }()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case err := <-ended:
			return err
		case <-tick.C:
			if done() {
				o.pending = append(o.pending, ended)
				return ctx.Err()
			}
		}
	}
}

// caughtUp waits for the programs that ahead has left waiting.
func (o *outage) caughtUp() error {
	var errs []error
	for _, ended := range o.pending {
		errs = append(errs, <-ended)
	}
	o.pending = nil
	return errors.Join(errs...)
}

// whileClientsWait does what clients are to wait for, though the target could serve them. It is all that a cancel ends now:
// what is left of it is done when they have gone on.
func (o *outage) whileClientsWait(ctx context.Context) {
	if o.plan.Options.Statistics == upgrade.StatisticsBefore {
		_ = o.timed(ctx, "statistics", o.statisticsBefore)
	}
	if o.plan.Options.WaitForStandbys {
		_ = o.timed(ctx, "standbys", o.standbysBefore)
	}
	if ctx.Err() != nil {
		o.told.Events = append(o.told.Events, o.say(ctx, upgrade.LevelWarning, "clients were let go on before all was done that they waited for; the rest follows now"))
	}
}

// statisticsBefore collects all statistics at once: clients wait for the last stage anyway.
func (o *outage) statisticsBefore(ctx context.Context) error {
	done, err := o.analyzeOnce(o.plan, func() (step.Done, error) { return o.analyzeInPlace(ctx, o.plan, pgbin.AnalyzeOnly) })
	o.told.Events = append(o.told.Events, done.Events...)
	if err != nil && ctx.Err() == nil {
		o.told.Events = append(o.told.Events, o.say(ctx, upgrade.LevelWarning, "statistics could not be collected before clients went on: "+err.Error()))
	}
	return nil
}

// standbysBefore makes the target's standbys while clients still wait. The target serves: those that
// cannot be made are told, and tried once more when clients go on.
func (o *outage) standbysBefore(ctx context.Context) error {
	if err := removeOutput(o.plan); err != nil { // FinishInPlace tries it again
		o.log.WarnContext(ctx, "the standbys get pg_upgrade's output too", "error", err)
	}
	done, err := o.buildStandbys(ctx, o.plan, 1, false)
	o.told.Events = append(o.told.Events, done.Events...)
	if err != nil && ctx.Err() == nil {
		o.told.Events = append(o.told.Events, o.say(ctx, upgrade.LevelWarning, "standbys could not be made before clients went on: "+err.Error()))
	}
	return nil
}

func (o *outage) resume(ctx context.Context) error {
	if o.session == nil {
		return nil
	}
	return o.session.Resume(ctx)
}
