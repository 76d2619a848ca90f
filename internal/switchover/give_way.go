package switchover

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// betweenLooks is the time between two looks while clients wait.
const betweenLooks = 500 * time.Microsecond

// beforeNextTry is how long clients go on before they are asked to wait again.
const beforeNextTry = time.Second

// errHeldTooLong is why a try gave way to the clients.
var errHeldTooLong = errors.New("clients had waited long enough for this try")

// Run switches over. Not switching is no error: the outcome tells why, and everything is as it was.
// An error means that the switchover is neither done nor undone yet; Recover goes on from there.
//
// What takes long most often takes long by chance: a disk or a processor was busy for a moment, a client's
// transaction was a long one. So the first tries give way to the clients when these have waited as long as
// Config.Patience says, and only the last one has them wait until the deadline.
func Run(ctx context.Context, c Config) (upgrade.Switchover, error) {
	var tries []upgrade.Try
	var carriedSince map[string]string
	for {
		s := &section{Config: c, carriedSince: carriedSince}
		if len(tries) < len(c.Patience) {
			s.patience = c.Patience[len(tries)]
		}
		outcome, err := s.run(ctx)
		if err != nil || !s.gaveWay {
			outcome.Tries = tries
			if err == nil && !outcome.Switched && !outcome.Rehearsed {
				err = c.noMoreTries(outcome)
			}
			return outcome, err
		}
		tries = append(tries, upgrade.Try{StartedAt: outcome.StartedAt, EndedAt: outcome.EndedAt, Reason: outcome.Reason, Steps: outcome.Steps})
		carriedSince = s.largeObjectsSince()
		c.Log.InfoContext(ctx, "clients go on at the source; the switchover is tried again in a moment",
			"waited", outcome.Pause, "reason", outcome.Reason)
		if sleep(ctx, beforeNextTry) != nil {
			outcome.Reason, outcome.Tries = errInterrupted.Error(), tries
			return outcome, c.noMoreTries(outcome)
		}
	}
}

// noMoreTries ends an attempt whose last try did not even begin.
func (c Config) noMoreTries(outcome upgrade.Switchover) error {
	if len(outcome.Tries) == 0 {
		return nil
	}
	return c.Journal.Undone(outcome)
}

// heldTooLong tells whether clients have waited as long as they may in this try.
func (s *section) heldTooLong() bool { return !s.giveWayAt.IsZero() && s.Now().After(s.giveWayAt) }

// lookAgain waits a moment before the next look at what clients wait for.
func (s *section) lookAgain(ctx context.Context) error {
	if s.heldTooLong() {
		return errHeldTooLong
	}
	return sleep(ctx, betweenLooks)
}

// pause holds the clients, for no longer than this try may.
func (s *section) pause(ctx context.Context) error {
	short, cancel := ctx, context.CancelFunc(func() {})
	if !s.giveWayAt.IsZero() {
		short, cancel = context.WithDeadline(ctx, s.giveWayAt)
	}
	defer cancel()
	err := s.pauses.Pause(short)
	if err != nil && short.Err() != nil && ctx.Err() == nil {
		return fmt.Errorf("%w: %w", errHeldTooLong, err)
	}
	s.pooled = slices.Concat(s.pooled, s.pauses.ServerPIDs())
	return err
}
