package switchover

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgleap/pgleap/internal/postgres"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// consumersPatience bounds what is done about consumers when no client waits.
const consumersPatience = 30 * time.Second

// consumersReady makes the slots of others on the target, under names of our own.
func (s *section) consumersReady(ctx context.Context) (err error) {
	s.outcome.Consumers, err = prepareConsumers(ctx, s.control, s.targetIn, s.Plan.Options.Accepted, s.FormerConsumers)
	return err
}

// consumersHeld wants the slots that consumersReady made to be as it left them: another attempt that was
// late may have made them again.
func (s *section) consumersHeld(ctx context.Context) error {
	at, err := postgres.ParseLSN(s.outcome.TargetLSN)
	if err != nil {
		return err
	}
	for _, c := range s.outcome.Consumers {
		if conn := s.targetIn(c.Database); conn != nil && c.Problem == "" {
			if err := postgres.CheckHeldSlot(ctx, conn, c.Name, at); err != nil {
				return err
			}
		}
	}
	return nil
}

// targetIn is the session in a database of the target, nil if it is not replicated.
func (s *section) targetIn(name string) *pgx.Conn {
	for i := range s.databases {
		if s.databases[i].name == name {
			return s.databases[i].target
		}
	}
	return nil
}

// dropConsumers removes what consumersReady has made, when clients stay where they are.
func (s *section) dropConsumers(ctx context.Context) {
	if len(s.outcome.Consumers) > 0 {
		s.Config.dropConsumers(ctx)
		s.outcome.Consumers = nil
	}
}

// dropConsumers does that for a switchover that somebody else began. What cannot be removed now is
// by the next attempt, or goes with the target.
func (c Config) dropConsumers(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), consumersPatience)
	defer cancel()
	if err := discardConsumers(ctx, session(c.Target, sessionRecovery)); err != nil {
		c.Log.WarnContext(ctx, "slots that were made for others cannot be removed yet", "error", err)
	}
}

// Tidy removes what an attempt may have prepared that never began, or whose next try did not, because its process
// died: slots for the consumers of others, which keep WAL, and files beside the endpoint's. No other attempt of the
// upgrade may have begun since.
func Tidy(ctx context.Context, c Config) {
	c.dropConsumers(ctx)
	ctx, cancel := context.WithTimeout(ctx, consumersPatience)
	defer cancel()
	if err := c.Endpoint.Tidy(ctx); err != nil {
		c.Log.WarnContext(ctx, "files that were prepared for the endpoint may be left beside its own", "error", err)
	}
}

// settleConsumers gives the slots on the target to their consumers when clients have gone on. What
// fails is left to SettleConsumers.
func (c Config) settleConsumers(ctx context.Context, outcome upgrade.Switchover) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), consumersPatience)
	defer cancel()
	if _, err := settleConsumers(ctx, session(c.Target, sessionRecovery), outcome.Consumers, false); err != nil {
		c.Log.WarnContext(ctx, "slots of others are not made yet", "error", err)
	}
}

// SettleConsumers does what a switchover that is done may not have got to: it gives the slots on the
// target to their consumers. It may be repeated. A consumer whose slot is there, but without a property of the
// old one, is told of each time; an error tells for each why its slot is still held.
func SettleConsumers(ctx context.Context, c Config, done upgrade.Switchover) (without []string, err error) {
	return settleConsumers(ctx, session(c.Target, sessionRecovery), done.Consumers, true)
}
