package onhost

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgleap/pgleap/internal/endpoint"
	"github.com/pgleap/pgleap/internal/postgres"
	"github.com/pgleap/pgleap/internal/run"
	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/internal/upgrade/step"
)

// The time limits of an outage. What is begun is not given up on before they have passed.
const (
	sourceStopWait  = 5 * time.Minute  // to stop the source; its checkpoint was made before
	sourceStartWait = 10 * time.Minute // to start it again; it may have to recover
)

// errOutageInterrupted is why an upgrade in place did not happen whose context was cancelled.
var errOutageInterrupted = errors.New("the upgrade was interrupted; the source serves as before")

// errLate is why an outage does not begin whose window has closed: it was made ready for long, or its agent was away.
var errLate = errors.New("the maintenance window closed before the outage could begin")

// agentDied is why an upgrade in place did not happen that somebody else had to end.
const agentDied = "the agent that upgraded it died in the middle; the source serves as before, start the upgrade again"

// UpgradeInPlace stops the source, lets pg_upgrade make the target of its data directory, and starts the
// target on the source's port. If anything fails before the target has begun to write, the source is put
// back as it was and started. A call that finds a journal ends what it tells.
func (w *Worker) UpgradeInPlace(ctx context.Context, args step.InPlaceArgs) (step.InPlaceResult, error) {
	path, err := w.outagePath(args.Plan)
	if err != nil {
		return step.InPlaceResult{}, err
	}
	journal, err := openOutage(ctx, path, w.now)
	if err != nil {
		return step.InPlaceResult{}, err
	}
	defer journal.close()
	if journal.state.Stage != outageNone {
		outcome, err := w.settleOutage(context.WithoutCancel(ctx), journal, agentDied)
		return step.InPlaceResult{Switchover: outcome}, err
	}
	if args.SettleOnly {
		return step.InPlaceResult{Switchover: upgrade.Switchover{Reason: "interrupted before it began"}}, nil
	}
	o := &outage{Worker: w, plan: args.Plan, journal: journal, notAfter: args.NotAfter}
	defer o.close()
	outcome, err := o.run(ctx)
	return step.InPlaceResult{Switchover: outcome, Done: o.told, Late: o.late}, err
}

// outage is one run of the part of an upgrade in which nobody serves.
type outage struct {
	*Worker
	plan    upgrade.Plan
	intent  outageIntent
	journal *outageJournal
	user    run.User
	files   files
	session endpoint.Session // nil: the instance has no endpoint
	disks   fileSystems      // the target's, if pg_upgrade does not sync it
	guard   *endpoint.Guard
	watch   *pgx.Conn // with the source, up to its stop
	// notAfter is when it is too late to begin, if that is set.
	notAfter time.Time
	late     bool // it had passed
	// databases are the source's, by their oids.
	databases map[uint32]string
	outcome   upgrade.Switchover
	told      step.Done
	// pending are what still waits for servers that have stopped or started already, see ahead.
	pending []chan error
	started map[string]string // what the source's server was started with
}

func (o *outage) run(ctx context.Context) (upgrade.Switchover, error) {
	err := o.inTime()
	if err == nil {
		err = o.ready(ctx)
	}
	if err == nil {
		err = o.inTime()
	}
	if err != nil {
		if ctx.Err() != nil {
			err = errOutageInterrupted
		}
		return upgrade.Switchover{Reason: err.Error()}, nil
	}
	if err := o.begin(ctx); err != nil { // nothing was touched
		if ctx.Err() != nil {
			err = errOutageInterrupted
		}
		return upgrade.Switchover{Reason: err.Error()}, nil
	}
	o.outcome.StartedAt = o.now().UTC()
	err = o.watchOver(ctx)
	if err == nil {
		err = o.carryOut(ctx)
	}
	if err == nil {
		err = o.complete(ctx)
	}
	if err == nil {
		return o.outcome, nil
	}
	if ctx.Err() != nil {
		err = errOutageInterrupted
	}
	return o.settle(context.WithoutCancel(ctx), err)
}

// inTime refuses to begin when it is too late.
func (o *outage) inTime() error {
	o.late = o.isLate(o.notAfter)
	if o.late {
		return errLate
	}
	return nil
}

// isLate tells whether a time has passed, if it is set.
func (w *Worker) isLate(notAfter time.Time) bool {
	return !notAfter.IsZero() && w.now().After(notAfter)
}

// begin writes the intent, when no RELOAD of PgBouncer is under way that could fall into the pause.
func (o *outage) begin(ctx context.Context) error {
	return o.whileNoneBegins(ctx, func() error {
		return o.journal.write(outageRecord{Stage: outagePausing, Intent: &o.intent})
	})
}

// ready does all that can be done while the source serves, and refuses what would fail.
func (o *outage) ready(ctx context.Context) (err error) {
	plan := o.plan
	if o.user, err = owner(plan); err != nil {
		return err
	}
	if o.files, err = o.Worker.files(plan); err != nil {
		return err
	}
	o.intent.Plan = plan
	found, err := o.files.read(noteInPlacePrepared, &o.intent.Prepared)
	if err == nil && !found {
		err = errors.New("the target is not prepared")
	}
	if err != nil {
		return err
	}
	if _, running := o.host.Running(plan.Source); !running {
		return &upgrade.Refused{Reason: fmt.Sprintf("%s does not run", plan.Source), Remedy: "start it, and start the upgrade again", Cause: upgrade.CauseDown}
	}
	if err := o.restartable(ctx); err != nil {
		return err
	}
	if err := o.renew(ctx); err != nil {
		return err
	}
	if o.intent.Start, err = o.howStarted(ctx, plan, o.user); err != nil {
		return err
	}
	if o.intent.Sockets, err = privateSocketDir(o.user); err != nil {
		return err
	}
	if plan.Endpoint.Driver != "" {
		if o.session, err = driver(plan.Endpoint, plan.Source, plan.Target).Open(ctx); err != nil {
			return fmt.Errorf("open endpoint: %w", err)
		}
	}
	if err := o.surveyStandbys(ctx, plan); err != nil {
		return err
	}
	if err := o.standbysReady(plan); o.session != nil && err != nil {
		return err
	}
	if o.intent.OfAllRoles, err = readSettingsOfAllRoles(ctx, o.host.Login(plan.Source, "postgres")); err != nil {
		return err
	}
	if err := o.unfinished(ctx); err != nil {
		return err
	}
	return o.shorten(ctx)
}

// shorten makes durable what need not become so in the outage then.
func (o *outage) shorten(ctx context.Context) error {
	progressOf(ctx).text("making a checkpoint on the source")
	err := with(ctx, o.host.Login(o.plan.Source, "postgres"), func(conn *pgx.Conn) error { return postgres.Checkpoint(ctx, conn) })
	if err != nil || !o.intent.Prepared.SyncAtOnce {
		return err
	}
	if o.disks, err = openFileSystems(targetDirs(o.plan, o.intent.Prepared.Spaces)...); err != nil {
		return err
	}
	progressOf(ctx).text("making the prepared target durable")
	return o.disks.sync(ctx)
}

// watchOver starts the guard, which ends the outage if this process dies.
func (o *outage) watchOver(ctx context.Context) (err error) {
	// It is told no deadline: how long pg_upgrade takes is not known, and it is watched.
	o.guard, err = o.startGuard(ctx, o.plan, o.journal.file.Name())
	if err != nil {
		return fmt.Errorf("start guard: %w", err)
	}
	return nil
}

// carryOut goes up to the moment at which the target is complete, and nobody has used it yet.
func (o *outage) carryOut(ctx context.Context) error {
	if err := o.timed(ctx, "pause", o.pause); err != nil {
		return err
	}
	if err := o.journal.write(outageRecord{Stage: outageStopping}); err != nil {
		return err
	}
	if err := o.timed(ctx, "stop", o.stopSource); err != nil {
		return err
	}
	if err := o.journal.write(outageRecord{Stage: outageUpgrading}); err != nil {
		return err
	}
	if err := o.timed(ctx, "pg_upgrade", o.pgUpgrade); err != nil {
		return err
	}
	checkpoint, err := o.targetIsComplete(ctx)
	if err != nil {
		return err
	}
	if err := o.timed(ctx, "sync", o.disks.sync); err != nil {
		return err
	}
	return o.journal.write(outageRecord{Stage: outageStarting, Checkpoint: checkpoint})
}

// complete starts the target and lets clients go on. A failure before it has begun to write is undone,
// one after it is not.
func (o *outage) complete(ctx context.Context) error {
	if err := o.timed(ctx, "configure", o.configure); err != nil {
		return err
	}
	if err := o.timed(ctx, "start", o.startTarget); err != nil {
		return err
	}
	if o.session != nil {
		o.whileClientsWait(ctx)
	}
	ctx = context.WithoutCancel(ctx) // the target serves: there is no way back, whoever wants one
	if err := o.timed(ctx, "resume", o.resume); err != nil {
		return err
	}
	o.outcome.EndedAt = o.now().UTC()
	if err := o.caughtUp(); err != nil { // it serves nevertheless
		o.told.Events = append(o.told.Events, o.say(ctx, upgrade.LevelWarning, "the target runs, but what started it says: "+err.Error()))
	}
	o.outcome.Pause = o.outcome.EndedAt.Sub(o.outcome.StartedAt)
	o.outcome.Switched, o.outcome.TargetPort = true, o.plan.Target.Port
	if err := o.journal.write(outageRecord{Stage: outageDone, Outcome: &o.outcome}); err != nil {
		return err
	}
	o.dismissGuard(ctx)
	o.tellLateChanges(ctx)
	return o.bootTarget(ctx, o.plan, o.intent, o.user)
}

// settle ends an outage that failed, as anybody else would who found the journal.
func (o *outage) settle(ctx context.Context, reason error) (upgrade.Switchover, error) {
	o.log.WarnContext(ctx, "an upgrade in place failed", "task", o.plan.Number, "stage", string(o.journal.state.Stage), "reason", reason)
	progressOf(ctx).text("putting the source back")
	_ = o.caughtUp() // it fails because of the reason, or changes nothing
	o.closeSession()
	outcome, err := o.settleOutage(ctx, o.journal, reason.Error(), o.outcome.Steps...)
	if err != nil {
		return outcome, err // the guard stays: it tries, too
	}
	o.dismissGuard(ctx)
	return outcome, nil
}

// timed runs a part of the outage and notes how long it took.
func (o *outage) timed(ctx context.Context, name string, do func(context.Context) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	progressOf(ctx).text(name)
	begun := o.now()
	err := do(ctx)
	o.outcome.Steps = append(o.outcome.Steps, upgrade.StepDuration{Step: name, Duration: o.now().Sub(begun)})
	if err != nil && name != "pg_upgrade" { // which tells its name
		return fmt.Errorf("%s: %w", name, err)
	}
	return err
}

func (o *outage) dismissGuard(ctx context.Context) {
	if o.guard == nil {
		return
	}
	if err := o.guard.Done(); err != nil {
		o.log.WarnContext(ctx, "guard was not dismissed; it will find the upgrade ended", "error", err)
	}
	o.guard = nil
}

// closeSession lets go of the endpoint without letting clients go: whoever settles the outage does
// that, in a session of his own.
func (o *outage) closeSession() {
	if o.session != nil {
		o.session.Close()
		o.session = nil
	}
}

func (o *outage) close() {
	o.stopWatching(context.Background())
	o.closeSession()
	o.disks.close()
	if o.intent.Sockets != "" {
		_ = os.RemoveAll(o.intent.Sockets)
	}
}
