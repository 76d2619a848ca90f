package onhost

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/pgleap/pgleap/internal/pgbin"
	"github.com/pgleap/pgleap/internal/postmaster"
	"github.com/pgleap/pgleap/internal/run"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// settleOutage ends an outage that was left in the middle: the source is put back, or, if the target has
// begun to write, the target serves. It may be called any number of times.
func (w *Worker) settleOutage(ctx context.Context, journal *outageJournal, reason string, steps ...upgrade.StepDuration) (upgrade.Switchover, error) {
	state := journal.state
	if state.Stage.ended() || state.Stage == outageNone {
		return state.Outcome, nil
	}
	plan := state.Intent.Plan
	user, err := owner(plan)
	if err != nil {
		return upgrade.Switchover{}, err
	}
	files, err := w.files(plan)
	if err != nil {
		return upgrade.Switchover{}, err
	}
	s := &settlement{Worker: w, journal: journal, plan: plan, intent: state.Intent, user: user, files: files, steps: steps}
	if state.Reason != "" {
		reason = state.Reason // it is decided already, and tells why
	}
	outcome, err := s.end(ctx, reason)
	if err == nil {
		_ = os.RemoveAll(state.Intent.Sockets) // an empty directory is no harm
	}
	return outcome, err
}

// settlement is the end of an outage.
type settlement struct {
	*Worker
	journal *outageJournal
	plan    upgrade.Plan
	intent  outageIntent
	user    run.User
	files   files
	steps   []upgrade.StepDuration // taken so far, as far as they are known
}

// end goes the one way or the other.
func (s *settlement) end(ctx context.Context, reason string) (upgrade.Switchover, error) {
	goOn, err := s.mustGoOn(ctx)
	switch {
	case err != nil:
		return upgrade.Switchover{}, err
	case goOn:
		return s.goOn(ctx)
	}
	return s.goBack(ctx, reason)
}

// mustGoOn tells whether the target has begun to write: then whatever it was told is lost if the source is
// put back, and with links its files are no longer what they were. A start that failed before, over a
// configuration that does not suit for example, has left the target's last checkpoint as it was.
func (s *settlement) mustGoOn(ctx context.Context) (bool, error) {
	switch stage := s.journal.state.Stage; {
	case stage == outageUpgrading && s.intent.Prepared.Chosen.Transfer == pgbin.TransferSwap:
		return s.awaitSwap(ctx)
	case stage != outageStarting:
		return false, nil
	}
	if s.targetRuns(ctx) {
		return true, nil
	}
	if _, err := os.Stat(controlFile(s.plan.Target.Pgdata)); errors.Is(err, fs.ErrNotExist) {
		return false, nil // taken away by somebody who was putting the source back
	}
	as, err := s.caller(s.plan, "pg_controldata")
	if err != nil {
		return false, err
	}
	control, err := pgbin.PgControldata(ctx, as, s.plan.Target.Bindir, s.plan.Target.Pgdata)
	if err != nil {
		return false, err
	}
	untouched := control.State == pgbin.StateShutDown && control.CheckpointLSN == s.journal.state.Checkpoint
	return !untouched || s.intent.Prepared.Chosen.Transfer == pgbin.TransferSwap, nil
}

// startedWait is how long a server may take from its first instruction to its lock file.
const startedWait = 10 * time.Second

// targetRuns tells whether the target's server runs. One that a dead agent has just started may not have
// its lock file yet: it is waited for.
func (s *settlement) targetRuns(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, startedWait)
	defer cancel()
	for {
		if _, running := s.host.Running(s.plan.Target); running {
			return true
		}
		if !isWorkedOn(s.plan.Target.Pgdata) || sleep(ctx, lockPoll) != nil {
			return false
		}
	}
}

// goOn lets the target serve. If it cannot be started, clients are let go nevertheless: they see an
// error instead of nothing, and the start is tried again.
func (s *settlement) goOn(ctx context.Context) (upgrade.Switchover, error) {
	var err error
	if _, running := s.host.Running(s.plan.Target); !running {
		// Up to its first start it may lack its configuration.
		if err = s.disableSource(); err == nil {
			err = s.installConfiguration(ctx, s.plan, s.user)
		}
	}
	if err == nil {
		err = s.host.Start(ctx, s.plan.Target, targetLogInPlace(s.intent), targetStart)
	}
	if err = errors.Join(err, s.release(ctx)); err != nil {
		return upgrade.Switchover{}, fmt.Errorf("%s was started and is not in order yet; it is tried again. %s: %w",
			s.plan.Target, afterFirstStart(s.intent.Prepared.Chosen.Transfer, s.plan), err)
	}
	outcome := s.outcome()
	outcome.Switched, outcome.TargetPort = true, s.plan.Target.Port
	if err := s.journal.write(outageRecord{Stage: outageDone, Outcome: &outcome}); err != nil {
		return upgrade.Switchover{}, err
	}
	return outcome, s.bootTarget(ctx, s.plan, s.intent, s.user)
}

func (s *settlement) disableSource() error {
	if err := disableControl(s.plan.Source.Pgdata); err != nil {
		return err
	}
	return setBoot(s.plan.Source, notAtBoot, s.user)
}

// afterFirstStart says what is possible when the target has begun to write.
func afterFirstStart(transfer pgbin.Transfer, plan upgrade.Plan) string {
	if transfer == pgbin.TransferLink || transfer == pgbin.TransferSwap {
		return "There is no way back to the source but a backup, since the target has changed its files"
	}
	return fmt.Sprintf("The source's files in %s are as they were when it was stopped: what the target has written since is not in them (see docs/in-place.md)", plan.Source.Pgdata)
}

// goBack puts the source back as it was and starts it. The target is disabled first: never do both
// serve, and with links never do both use the same files.
func (s *settlement) goBack(ctx context.Context, reason string) (upgrade.Switchover, error) {
	if s.journal.state.Stage != outageUndoing {
		if err := s.journal.write(outageRecord{Stage: outageUndoing, Reason: reason}); err != nil {
			// Whoever comes later finds the target disabled and decides the same.
			s.log.WarnContext(ctx, "journal does not say that the upgrade is undone", "error", err)
		}
	}
	stranger, err := s.stranger(s.plan, s.files)
	if err != nil { // nobody serves: that comes first
		s.log.WarnContext(ctx, "it is not known whose the target's data directory is", "task", s.plan.Number, "error", err)
	}
	if err := s.endPgUpgrade(ctx, stranger == ""); err != nil {
		return upgrade.Switchover{}, err
	}
	if s.hasSwapped() {
		return s.giveUp(ctx, reason)
	}
	if stranger == "" {
		if err := removeControl(s.plan.Target.Pgdata); err != nil {
			return upgrade.Switchover{}, err
		}
	}
	err = s.putSourceBack(ctx)
	if err != nil && stranger == "" { // a disk that the target has filled may be the source's, too
		s.log.WarnContext(ctx, "the source cannot be put back; the target is removed first", "task", s.plan.Number, "error", err)
		if err = s.removeTarget(ctx); err == nil {
			err = s.putSourceBack(ctx)
		}
	}
	if err = errors.Join(err, s.release(ctx)); err != nil {
		return upgrade.Switchover{}, fmt.Errorf("put %s back: %w", s.plan.Source, err)
	}
	outcome := s.outcome()
	outcome.Reason = reason
	if err := s.removeTarget(ctx); err != nil { // it may be what fills the disk
		return upgrade.Switchover{}, err
	}
	return outcome, s.journal.write(outageRecord{Stage: outageUndone, Outcome: &outcome})
}

// putSourceBack makes the source what it was, and starts it. The target cannot be started any more.
func (s *settlement) putSourceBack(ctx context.Context) error {
	err := s.host.Withdraw(ctx, s.plan.Target, s.plan.Source, time.Minute)
	if err == nil {
		err = enableControl(s.plan.Source.Pgdata)
	}
	if err == nil {
		err = restoreBoot(s.plan.Source, s.intent.Start.Boot, s.user)
	}
	if err == nil {
		err = s.startSource(ctx)
	}
	return err
}

// outcome is that of an outage that ends now.
func (s *settlement) outcome() upgrade.Switchover {
	begun, now := s.journal.state.BegunAt, s.now().UTC()
	return upgrade.Switchover{Steps: s.steps, StartedAt: begun, EndedAt: now, Pause: now.Sub(begun)}
}

// endPgUpgrade ends what pg_upgrade has left running: itself, and the servers that it started. One in the target's
// place is stopped if that is ours: somebody may have restored the instance there, when the source could not be put
// back for long.
func (s *settlement) endPgUpgrade(ctx context.Context, ours bool) error {
	if err := run.EndLeftover(ctx, s.files.pidfile("pg_upgrade")); err != nil {
		return err
	}
	// The target is thrown away: nobody waits for its shutdown, which a full disk may keep from ending.
	if ours {
		if err := s.stopLeftover(ctx, s.plan, s.plan.Target.Bindir, s.plan.Target.Pgdata, pgbin.StopImmediate); err != nil {
			return err
		}
	}
	return s.stopPrivate(ctx)
}

// stopPrivate stops a server of pg_upgrade's that runs on the source: nobody but pg_upgrade can reach it.
func (s *settlement) stopPrivate(ctx context.Context) error {
	if lock, running := s.sourceServer(ctx); !running || lock.SocketDir != s.intent.Sockets {
		return nil
	}
	as, err := s.caller(s.plan, "pg_ctl")
	if err != nil {
		return err
	}
	source := pgbin.PgCtl{Bindir: s.plan.Source.Bindir, Pgdata: s.plan.Source.Pgdata}
	if source.Stop(ctx, as, pgbin.StopFast, 10*time.Second) == nil {
		return nil
	}
	return source.Stop(ctx, as, pgbin.StopImmediate, time.Minute) // it recovers
}

// sourceServer finds the server that runs on the source, if one does, when it has said where it listens, which comes
// before its status (postmaster.c, PostmasterMain). One that pg_upgrade has just started is in a session of its own, and
// outlives pg_upgrade, but it may not have its lock file yet: it is waited for.
func (s *settlement) sourceServer(ctx context.Context) (lock pgbin.PostmasterPid, running bool) {
	ctx, cancel := context.WithTimeout(ctx, startedWait)
	defer cancel()
	for {
		lock, running = pgbin.RunningPostmaster(s.plan.Source.Pgdata)
		known := running && lock.Status != "" || !running && !isWorkedOn(s.plan.Source.Pgdata)
		if known || sleep(ctx, lockPoll) != nil {
			return lock, running
		}
	}
}

// startSource starts the source as it was started before. One that is still stopping is given time,
// and then no more: clients wait.
func (s *settlement) startSource(ctx context.Context) error {
	source := s.plan.Source
	if err := s.stopPrivate(ctx); err != nil { // it may have come late
		return err
	}
	if lock, running := pgbin.RunningPostmaster(source.Pgdata); running && lock.Status == "stopping" {
		if err := s.host.Stop(ctx, source, pgbin.StopFast, 30*time.Second); err != nil {
			if err := s.host.Stop(ctx, source, pgbin.StopImmediate, time.Minute); err != nil {
				return err
			}
		}
	}
	_, running := s.host.Running(source)
	if running || source.Manager != upgrade.ManagerPgCtl || s.intent.Start.Options == "" {
		return s.host.Start(ctx, source, s.intent.Start.Log, sourceStartWait)
	}
	as, err := s.caller(s.plan, "pg_ctl")
	if err != nil {
		return err
	}
	log, options := s.intent.Start.Log, postmaster.WithConfiguration(source, s.intent.Start.Options)
	if log == "" {
		log = filepath.Join(source.Pgdata, "pg_ctl.log")
	}
	return pgbin.PgCtl{Bindir: source.Bindir, Pgdata: source.Pgdata}.Start(ctx, as, log, options, sourceStartWait)
}

// release lets the clients of the endpoint go, and puts back what was set for their waiting.
func (s *settlement) release(ctx context.Context) error {
	if s.plan.Endpoint.Driver == "" {
		return nil
	}
	d := driver(s.plan.Endpoint, s.plan.Source, s.plan.Target)
	state, err := d.Describe(ctx)
	if err != nil {
		return fmt.Errorf("look at the endpoint: %w", err)
	}
	session, err := d.Open(ctx)
	if err != nil {
		return fmt.Errorf("open endpoint: %w", err)
	}
	defer session.Close()
	// Nothing was moved, so clients go on where they are. Entries that lead to the instance in several
	// ways are left as they are.
	if len(state.Databases) > 0 && state.At(state.Databases[0].Address) {
		return session.Recover(ctx, state.Databases[0].Address)
	}
	return session.Resume(ctx)
}

// removeTarget removes what pg_upgrade has made. With links that takes names away, and nothing else.
func (s *settlement) removeTarget(ctx context.Context) error {
	stranger, err := s.stranger(s.plan, s.files)
	if err != nil {
		return err
	}
	if stranger != "" {
		s.log.WarnContext(ctx, "the target is not removed", "task", s.plan.Number, "reason", leftAlone(s.plan, stranger))
		return nil
	}
	for _, dir := range s.intent.Prepared.Spaces {
		if err := os.RemoveAll(dir); err != nil {
			return fmt.Errorf("remove the target's tablespaces: %w", err)
		}
	}
	return removeTarget(s.plan, s.files)
}

// bootTarget has the target started with the system as the source was.
func (w *Worker) bootTarget(ctx context.Context, plan upgrade.Plan, intent outageIntent, user run.User) error {
	if hasOwnUnit(plan) && intent.Start.Enabled {
		if err := w.host.SetBoot(ctx, plan.Source, false); err != nil {
			return err
		}
		return w.host.SetBoot(ctx, plan.Target, true)
	}
	var err error
	if boot := intent.Start.Boot; boot != nil { // else it is as it was made
		err = setBoot(plan.Target, *boot, user)
	}
	w.host.HeedStartConf(ctx, plan.Target)
	return err
}

// targetLogInPlace is the file that the source wrote to, unless it goes with the source.
func targetLogInPlace(intent outageIntent) string {
	if log := intent.Start.Log; log != "" && !strings.HasPrefix(log, intent.Plan.Source.Pgdata+"/") {
		return log
	}
	return ""
}
