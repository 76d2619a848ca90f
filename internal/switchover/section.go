package switchover

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"github.com/pgleap/pgleap/internal/endpoint"
	"github.com/pgleap/pgleap/internal/postgres"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// Config is what a switchover works on.
type Config struct {
	Plan     upgrade.Plan
	Source   postgres.Login // pgleap's own role; the database is filled in
	Target   postgres.Login
	Endpoint endpoint.Driver
	Journal  *Journal
	// FormerConsumers are the slots of others at the switchover before, which led the other way.
	FormerConsumers []upgrade.ConsumerSlot
	// StartGuard starts a process that ends the switchover if this one dies or misses the deadline. It returns
	// when that stands.
	StartGuard func(context.Context) (*endpoint.Guard, error)
	// StartTarget starts the target's server unless it runs: after the commit point clients have no other, and
	// after a crash of the machine nobody else may start it. It must bear others who do the same. nil: it is
	// somebody else's to start.
	StartTarget func(context.Context) error
	// MayBegin is asked last of all before clients wait for a standby to take over (RunStandby), and says why they are
	// not to. nil: nothing is in the way.
	MayBegin func() error
	// OnStep is told each step when it begins. It must return at once.
	OnStep func(step string)
	// Patience is how long clients may wait in each of the first tries (see Run). nil: until the deadline.
	Patience []time.Duration
	// Rehearse ends the section before the commit point, with clients on the source as they were.
	Rehearse bool
	// Barred are roles that a fence keeps from logging in to the target: clients come back to a cluster
	// that they have left before.
	Barred []string
	// Keep takes over the snapshots of both sides, taken while both stood still, when clients have gone
	// on: it owns their connections from then on. nil: none are taken.
	Keep func(Snapshots)
	Log  *slog.Logger
	Now  func() time.Time
}

// guardSlack is how much later than the deadline the guard acts: only if we did not.
const guardSlack = 5 * time.Second

// clientsFirst is how long clients have the processors for themselves when they have gone on: all of them
// come at once, over new connections, and the turn can wait.
const clientsFirst = 200 * time.Millisecond

// undoPatience bounds the way back, which no cancel may cut short.
const undoPatience = 2 * time.Minute

// errInterrupted is why a switchover did not switch whose context was cancelled.
var errInterrupted = errors.New("the switchover was interrupted")

// because is err, unless ctx was cancelled: then it failed for that, whatever it says.
func because(ctx context.Context, err error) error {
	if errors.Is(ctx.Err(), context.Canceled) {
		return errInterrupted
	}
	return err
}

// section is one run of the critical section.
type section struct {
	Config
	databases  []database
	postmaster int       // the source's
	control    *pgx.Conn // source, for what belongs to the cluster
	pauses     endpoint.Session
	guard      *endpoint.Guard
	arrivals   *pgx.Conn // target, to ask how far it has come
	pooled     []int     // pids of the endpoint's own backends on the source, when it was paused and a moment before
	leaving    []int     // pids on the source of those who were told to leave
	shutOut    []string  // roles that must be let in to the target

	// rolesLocked says that control holds the lock on roles.
	rolesLocked bool

	patience  time.Duration // how long clients may wait in this try; 0: until the deadline
	giveWayAt time.Time     // when they have waited as long
	gaveWay   bool          // it was undone for that reason, and can be tried again
	// carriedSince are, by database, the xids of largeObjects.since if an earlier try has compared them.
	carriedSince map[string]string

	intent  Intent
	from    endpoint.Address // as the endpoint writes them
	to      endpoint.Address
	outcome upgrade.Switchover
	// snapshotsAt is when the snapshots of both sides were opened.
	snapshotsAt time.Time
	before      string // the source's pg_current_snapshot() before the markers, see prove
	// globalsMark is of the source's roles and databases when they were found alike.
	globalsMark string
}

// run is one try.
func (s *section) run(ctx context.Context) (upgrade.Switchover, error) {
	s.outcome.Back = s.Plan.Reversed
	defer s.close()
	if err := s.prepare(ctx); err != nil {
		err = because(ctx, err)
		s.dropConsumers(ctx)
		s.Log.InfoContext(ctx, "switchover refused", "reason", err)
		return upgrade.Switchover{Reason: err.Error(), Back: s.Plan.Reversed}, nil
	}
	if err := s.Journal.Begin(ctx, s.intent); err != nil {
		if _, begun := errors.AsType[*WrongStage](err); begun {
			return upgrade.Switchover{}, err // by another process: its attempt has to be ended first
		}
		s.dropConsumers(ctx)
		return upgrade.Switchover{Reason: because(ctx, err).Error(), Back: s.Plan.Reversed}, nil
	}
	deadline, err := s.startGuard(ctx)
	if err == nil {
		err = s.standStill(ctx, deadline)
	}
	if err != nil {
		return s.undo(ctx, because(ctx, err))
	}
	if s.Rehearse {
		return s.endRehearsal(ctx)
	}
	return s.forward(ctx)
}

// prepare does all that can be done while nobody waits, and refuses what would fail. Reading all large objects
// takes as long as it takes.
func (s *section) prepare(ctx context.Context) error {
	s.step("ready")
	if err := s.soon(ctx, s.open, s.sourceReady, s.globalsAlike); err != nil {
		return err
	}
	if err := s.inEach(ctx, s.carryLargeObjects); err != nil {
		return err
	}
	return s.soon(ctx, s.ready)
}

// soon does things that may take no longer than clients may wait.
func (s *section) soon(ctx context.Context, things ...func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, s.Plan.Options.SwitchoverTimeout)
	defer cancel()
	for _, do := range things {
		err := do(ctx)
		if errors.Is(err, context.DeadlineExceeded) {
			return fmt.Errorf("the preparations were not done within %s (switchoverTimeout): %w", s.Plan.Options.SwitchoverTimeout, err)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// standStill is the part of the section before the commit point, under its deadline.
func (s *section) standStill(ctx context.Context, deadline time.Time) error {
	ctx, cancel := context.WithDeadlineCause(ctx, deadline,
		fmt.Errorf("the switchover was not done within %s (switchoverTimeout)", s.Plan.Options.SwitchoverTimeout))
	defer cancel()
	runtime.GC() // now, when nobody waits: the next one comes when as much again has been allocated
	s.outcome.StartedAt = s.Now()
	if s.patience > 0 {
		s.giveWayAt = s.outcome.StartedAt.Add(s.patience)
	}
	for _, part := range []struct {
		name string
		do   func(context.Context) error
	}{
		{"pause", s.pause},
		{"fence", s.fence},
		{"drain", s.drain},
		{"sequences", s.sequences},
		{"proof", s.prove},
		{"snapshots", s.openSnapshots},
		{"commit", s.commit},
	} {
		if part.name == "commit" && s.Rehearse {
			break
		}
		if s.heldTooLong() {
			return fmt.Errorf("%s: %w", part.name, errHeldTooLong)
		}
		if err := s.timed(ctx, part.name, part.do); err != nil {
			if cause := context.Cause(ctx); cause != nil && !errors.Is(err, cause) {
				return fmt.Errorf("%w: %s: %w", cause, part.name, err)
			}
			return fmt.Errorf("%s: %w", part.name, err)
		}
	}
	return nil
}

// timed runs a step and notes how long it took.
func (s *section) timed(ctx context.Context, name string, do func(context.Context) error) error {
	s.step(name)
	begun := s.Now()
	err := do(ctx)
	s.outcome.Steps = append(s.outcome.Steps, upgrade.StepDuration{Step: name, Duration: s.Now().Sub(begun)})
	return err
}

func (s *section) step(name string) {
	if s.OnStep != nil {
		s.OnStep(name)
	}
}

func (s *section) commit(ctx context.Context) error {
	if len(s.outcome.Consumers) > 0 {
		if err := s.consumersHeld(ctx); err != nil {
			return err
		}
	}
	if err := placeConsumers(s.outcome.Consumers, s.outcome.SourceLSN, s.outcome.TargetLSN); err != nil {
		return err
	}
	return s.Journal.Commit(s.outcome)
}

// forward is the part after the commit point: it ends with clients on the target, or with an error
// after which Recover does the same again. Clients come first: the source is fenced, so the
// replication that is still on has nothing to bring.
func (s *section) forward(ctx context.Context) (upgrade.Switchover, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoPatience)
	defer cancel()
	err := s.timed(ctx, "move", s.move)
	if err == nil {
		err = s.timed(ctx, "resume", s.pauses.Resume)
	}
	if err == nil {
		s.outcome.EndedAt = s.Now()
		s.outcome.Pause = s.outcome.EndedAt.Sub(s.outcome.StartedAt)
		s.outcome.Switched = true
		s.outcome.TargetPort = s.to.Port
		_ = sleep(ctx, clientsFirst)
		s.closeEndpoint() // what dies before it has put the settings back is still looked after
		err = s.timed(ctx, "turn", func(ctx context.Context) error { return turn(ctx, s.Config, s.intent.Databases, s.outcome) })
	}
	if err != nil {
		s.Log.ErrorContext(ctx, "switchover is committed but not complete; it is carried on", "error", err)
		return s.recover(ctx)
	}
	s.dismissGuard(ctx)
	s.keep(ctx)
	s.settleConsumers(ctx, s.outcome)
	return s.outcome, nil
}

// move lets clients in at the target, as far as a fence of an earlier switchover keeps them out, and
// leads the endpoint there. The two have nothing to do with each other.
func (s *section) move(ctx context.Context) error {
	both, ctx := errgroup.WithContext(ctx)
	both.Go(func() error { return s.pauses.Move(ctx, s.to) })
	switch {
	case len(s.databases) == 0 && s.Plan.Reversed: // see RunReturn
		both.Go(func() error { return admit(ctx, s.Config, s.intent) })
	case len(s.shutOut) > 0:
		both.Go(func() error { return postgres.PermitLogins(ctx, s.databases[0].target, s.shutOut) })
	}
	return both.Wait()
}

// recover ends the switchover as anybody else would who found the journal.
func (s *section) recover(ctx context.Context) (upgrade.Switchover, error) {
	outcome, err := Recover(ctx, s.Config)
	if err != nil {
		return outcome, err
	}
	outcome.Steps, outcome.StartedAt = s.outcome.Steps, s.outcome.StartedAt
	if outcome.Switched && !s.outcome.EndedAt.IsZero() {
		outcome.EndedAt = s.outcome.EndedAt // only the turn was left to do
	}
	if !outcome.Switched && s.pauses != nil {
		// Whoever was quicker to undo it may have done so before we held the clients, and knows nothing of that.
		if err := s.pauses.Resume(ctx); err != nil {
			return outcome, fmt.Errorf("let clients go on: %w", err)
		}
	}
	if !outcome.StartedAt.IsZero() {
		outcome.Pause = outcome.EndedAt.Sub(outcome.StartedAt)
	}
	s.dismissGuard(ctx)
	return outcome, nil
}

// undo puts everything back and lets clients go on at the source.
func (s *section) undo(ctx context.Context, reason error) (upgrade.Switchover, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoPatience)
	defer cancel()
	s.Log.WarnContext(ctx, "switchover is undone", "reason", reason)
	if err := s.timed(ctx, "undo", func(ctx context.Context) error { return s.putBack(ctx, reason) }); err != nil {
		s.Log.WarnContext(ctx, "switchover cannot be undone over the open connections", "error", err)
		return s.recover(ctx)
	}
	s.outcome.EndedAt = s.Now()
	s.outcome.Pause = s.outcome.EndedAt.Sub(s.outcome.StartedAt)
	if s.outcome.StartedAt.IsZero() {
		s.outcome.Pause = 0
	}
	s.closeEndpoint() // what dies before it has put the settings back is still looked after
	s.dropConsumers(ctx)
	s.outcome.Reason = reason.Error()
	ended := s.Journal.Undone
	if s.gaveWay = errors.Is(reason, errHeldTooLong); s.gaveWay {
		ended = s.Journal.GaveWay
	}
	if err := ended(s.outcome); err != nil {
		return upgrade.Switchover{}, err
	}
	s.dismissGuard(ctx)
	return s.outcome, nil
}

// putBack makes it binding that there is no commit, lifts the fence, and lets clients go on.
func (s *section) putBack(ctx context.Context, reason error) error {
	if err := s.Journal.RollBack(reason.Error()); err != nil {
		// Nobody but us commits, so what is not committed now never will be: clients need not wait
		// until the line can be written, as on a disk that is full.
		state, unread := s.Journal.Read()
		if unread != nil || state.Stage == StageCommitted || state.Stage == StageDone {
			return err
		}
		s.Log.WarnContext(ctx, "journal does not say that the switchover is undone", "error", err)
	}
	if err := s.unfence(ctx); err != nil {
		return err
	}
	return s.pauses.Resume(ctx)
}

// startGuard has the guard stand before anybody waits, and returns the deadline that it knows.
func (s *section) startGuard(ctx context.Context) (deadline time.Time, err error) {
	if s.StartGuard != nil {
		if s.guard, err = s.StartGuard(ctx); err != nil {
			return deadline, fmt.Errorf("start guard: %w", err)
		}
	}
	deadline = s.Now().Add(s.Plan.Options.SwitchoverTimeout)
	if s.guard != nil {
		err = s.guard.Deadline(deadline.Add(guardSlack))
	}
	return deadline, err
}

func (s *section) dismissGuard(ctx context.Context) {
	if s.guard == nil {
		return
	}
	if err := s.guard.Done(); err != nil {
		s.Log.WarnContext(ctx, "guard was not dismissed; it will find the switchover ended", "error", err)
	}
	s.guard = nil
}

// inEach does the same in every database at once.
func (s *section) inEach(ctx context.Context, do func(context.Context, *database) error) error {
	group, ctx := errgroup.WithContext(ctx)
	for i := range s.databases {
		group.Go(func() error {
			if err := do(ctx, &s.databases[i]); err != nil {
				return fmt.Errorf("database %s: %w", s.databases[i].name, err)
			}
			return nil
		})
	}
	return group.Wait()
}
