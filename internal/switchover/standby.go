package switchover

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/pgleap/pgleap/internal/postgres"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// Standby is a physical clone that streams from the source, and what makes the target of it while
// clients wait.
type Standby struct {
	// Application is its name in pg_stat_replication. Empty: there is none, see RunReturn.
	Application string
	// Steps make the target of it, in order, once it has replayed all that the source has written. They
	// end with a target that runs.
	Steps []StandbyStep
}

// StandbyStep is one of them. What it leaves behind when the switch is undone is its caller's to remove.
type StandbyStep struct {
	Name string
	Do   func(context.Context, Standstill) error
}

// Standstill is where the fenced source stands.
type Standstill struct {
	// LSN lies behind the last record of any client, and all up to it is on the source's disk.
	LSN postgres.LSN
	// Replayed is what the standby had replayed then: LSN or more.
	Replayed postgres.LSN
	// LoginRoles may not log in because of the fence, which the standby has replayed too.
	LoginRoles []string
}

// standbySection is a run of the critical section towards a standby. Its journal names no databases:
// there is no replication to turn round.
type standbySection struct {
	section
	standby    Standby
	standstill Standstill
	still      string             // the source's pg_current_snapshot() when it stood still
	unattended []postgres.Backend // what could write although the source was fenced
}

// RunStandby switches over to a standby, which is promoted and upgraded while clients wait: from the
// fence on nobody could write to the source what the standby would not have. Otherwise it is as Run:
// whatever fails before the commit point is undone, and Recover ends what was left in the middle.
func RunStandby(ctx context.Context, c Config, standby Standby) (upgrade.Switchover, error) {
	s := &standbySection{section: section{Config: c}, standby: standby}
	s.outcome.Back = c.Plan.Reversed
	defer s.close()
	if err := s.prepareStandby(ctx); err != nil {
		err = because(ctx, err)
		s.Log.InfoContext(ctx, "switchover refused", "reason", err)
		return upgrade.Switchover{Reason: err.Error(), Back: c.Plan.Reversed}, nil
	}
	if err := c.Journal.Begin(ctx, s.intent); err != nil {
		if _, begun := errors.AsType[*WrongStage](err); begun {
			return upgrade.Switchover{}, err
		}
		return upgrade.Switchover{Reason: because(ctx, err).Error(), Back: c.Plan.Reversed}, nil
	}
	deadline, err := s.startGuard(ctx)
	if err == nil {
		err = s.upgradeStandby(ctx, deadline)
	}
	if err != nil {
		return s.undo(ctx, because(ctx, err))
	}
	return s.forward(ctx)
}

// prepareStandby does all that can be done while nobody waits, and refuses what would fail.
func (s *standbySection) prepareStandby(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.Plan.Options.SwitchoverTimeout)
	defer cancel()
	s.step("ready")
	err := s.openSource(ctx)
	if err == nil {
		err = s.standbyReady(ctx)
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("the preparations were not done within %s (switchoverTimeout): %w", s.Plan.Options.SwitchoverTimeout, err)
	}
	if err == nil && s.MayBegin != nil {
		err = s.MayBegin()
	}
	return err
}

func (s *standbySection) openSource(ctx context.Context) (err error) {
	if s.postmaster, err = postmasterPID(s.Plan.Source.Pgdata); err != nil {
		return err
	}
	if s.control, err = postgres.Connect(ctx, session(s.Source.In("postgres"), sessionSection)); err != nil {
		return err
	}
	if s.pauses, err = s.Endpoint.Open(ctx); err != nil {
		return fmt.Errorf("open endpoint: %w", err)
	}
	return nil
}

func (s *standbySection) standbyReady(ctx context.Context) error {
	if err := s.sourceReady(ctx); err != nil {
		return err
	}
	if err := s.wait(ctx, s.passing); err != nil {
		return err
	}
	if s.standby.Application != "" {
		if err := s.wait(ctx, s.standbyBehind); err != nil {
			return err
		}
	}
	return s.aim(ctx)
}

// maxBehind is how many bytes of WAL the standby may have to replay for a switch to begin.
const maxBehind = 1 << 20

// standbyBehind tells in a sentence that the standby has too much to replay yet.
func (s *standbySection) standbyBehind(ctx context.Context) (string, error) {
	behind, streaming, err := postgres.StandbyLag(ctx, s.control, s.standby.Application)
	switch {
	case err != nil:
		return "", err
	case !streaming:
		return "the clone does not stream from the source; see its log", nil
	case behind > maxBehind:
		return fmt.Sprintf("the clone is %d KiB behind the source", behind>>10), nil
	}
	return "", nil
}

// upgradeStandby is the part of the section before the commit point, under its deadline.
func (s *standbySection) upgradeStandby(ctx context.Context, deadline time.Time) error {
	ctx, cancel := context.WithDeadlineCause(ctx, deadline,
		fmt.Errorf("the switchover was not done within %s (switchoverTimeout)", s.Plan.Options.SwitchoverTimeout))
	defer cancel()
	parts := []StandbyStep{
		{"pause", func(ctx context.Context, _ Standstill) error { return s.pauses.Pause(ctx) }},
		{"fence", func(ctx context.Context, _ Standstill) error { return s.wholeFence(ctx) }},
		{"replay", func(ctx context.Context, _ Standstill) error { return s.replay(ctx) }},
	}
	parts = append(parts, s.standby.Steps...)
	parts = append(parts,
		StandbyStep{"proof", func(ctx context.Context, _ Standstill) error { return s.proveStandby(ctx) }},
		StandbyStep{"commit", func(ctx context.Context, _ Standstill) error { return s.commit(ctx) }},
	)
	s.outcome.StartedAt = s.Now()
	for _, part := range parts {
		err := s.timed(ctx, part.Name, func(ctx context.Context) error { return part.Do(ctx, s.standstill) })
		if ctx.Err() != nil && part.Name != "commit" { // it may have come to its end in spite of it
			return s.cutShort(ctx, part.Name, err)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", part.Name, err)
		}
	}
	return nil
}

// wholeFence returns when the fence stands: a replay proves nothing about those who are still leaving.
func (s *standbySection) wholeFence(ctx context.Context) error {
	if err := s.fence(ctx); err != nil {
		return err
	}
	return s.awaitFence(ctx)
}

// cutShort tells why a part was cut short. What kept the pause or the fence is worth telling, a
// program's last words when it was ended are not.
func (s *standbySection) cutShort(ctx context.Context, part string, err error) error {
	cause := context.Cause(ctx)
	if err == nil || slices.ContainsFunc(s.standby.Steps, func(step StandbyStep) bool { return step.Name == part }) {
		return fmt.Errorf("%w: it was at %s", cause, part)
	}
	return fmt.Errorf("%w: %s: %w", cause, part, err)
}

// replay waits until the standby has replayed everything that the source has written.
func (s *standbySection) replay(ctx context.Context) error {
	if err := s.standStillAt(ctx); err != nil {
		return err
	}
	for s.standby.Application != "" {
		replayed, err := postgres.StandbyReplay(ctx, s.control, s.standby.Application)
		if err == nil && replayed >= s.standstill.LSN {
			s.standstill.Replayed = replayed
			return nil
		}
		if err == nil {
			err = s.lookAgain(ctx)
		}
		if err != nil {
			return fmt.Errorf("the clone has replayed up to LSN %s, and the source's last record ends at %s: %w", replayed, s.standstill.LSN, err)
		}
	}
	return nil
}

// standStillAt finds the LSN at which the fenced source stands still. Nobody has an xid before our own
// message, and after it only ours is gone: so every commit record lies before the message's, which is
// on disk. A record that a background process writes later changes nothing that a client wrote.
func (s *standbySection) standStillAt(ctx context.Context) error {
	prepared, err := postgres.PreparedTransactions(ctx, s.control)
	if err != nil {
		return err
	}
	if prepared > 0 {
		return fmt.Errorf("%d transactions were prepared on the source meanwhile; commit or roll them back", prepared)
	}
	for range provingRounds {
		before, err := s.awaitNobodyWriting(ctx)
		if err != nil {
			return err
		}
		_, lsn, err := postgres.EmitMessage(ctx, s.control, fmt.Sprintf("switchover of upgrade %d", s.Plan.Number))
		if err != nil {
			return err
		}
		if s.still, err = postgres.Snapshot(ctx, s.control); err != nil {
			return err
		}
		if tookXIDs(before, s.still, 1) {
			s.standstill.LSN, s.standstill.LoginRoles, s.outcome.SourceLSN = lsn, s.intent.LoginRoles, lsn.String()
			s.unattended, err = s.unattendedWriters(ctx)
			return err
		}
		s.Log.InfoContext(ctx, "something was written on the source beside the message; once more", "before", before, "after", s.still)
	}
	return &upgrade.Refused{
		Reason: fmt.Sprintf("something kept writing to the source: it did not stand still in %d attempts", provingRounds),
		Remedy: "stop what writes without a client, such as a scheduler among shared_preload_libraries, and try again",
	}
}

// proveStandby makes sure that nothing was written to the source since the standby has followed it. It
// has taken long enough for autovacuum to have been at work, which changes nothing that a client wrote
// but takes xids. So they count only if there was something else that could have taken them: the fence
// leaves nothing but background workers.
func (s *standbySection) proveStandby(ctx context.Context) error {
	now, err := postgres.Snapshot(ctx, s.control)
	if err != nil || now == s.still {
		return err
	}
	later, err := s.unattendedWriters(ctx)
	if err != nil {
		return err
	}
	writers := slices.Concat(s.unattended, later)
	if len(writers) == 0 {
		s.Log.InfoContext(ctx, "only autovacuum has been at work on the source", "before", s.still, "after", now)
		return nil
	}
	return &upgrade.Refused{
		Reason: fmt.Sprintf("something was written to the source while it was fenced, perhaps by %s", writers[0]),
		Remedy: "stop what writes without a client, such as a scheduler among shared_preload_libraries, and try again",
	}
}

// unattendedWriters lists what can write to the source without a client: background workers with a
// database, those of autovacuum left out.
func (s *standbySection) unattendedWriters(ctx context.Context) ([]postgres.Backend, error) {
	backends, err := postgres.Backends(ctx, s.control)
	return slices.DeleteFunc(backends, func(b postgres.Backend) bool {
		return b.Database == "" || isSession(b) || b.Type == "autovacuum worker" || b.Type == "parallel worker" // of a client that is gone
	}), err
}
