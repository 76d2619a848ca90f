package onhost

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgleap/pgleap/internal/postgres"
	"github.com/pgleap/pgleap/internal/switchover"
	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/internal/upgrade/step"
)

// settleConsumers gives consumers their slots, if the switchover has not got to that. An error tells which are still
// held, and why. What a slot lacks is told as often as this is done: the step that told it may have failed after it.
func (w *Worker) settleConsumers(ctx context.Context, config switchover.Config, outcome upgrade.Switchover) (done step.Done, err error) {
	ctx, cancel := context.WithTimeout(ctx, proofPatience)
	defer cancel()
	without, err := switchover.SettleConsumers(ctx, config, outcome)
	for _, text := range without {
		done.Events = append(done.Events, w.say(ctx, upgrade.LevelWarning, text))
	}
	return done, err
}

// settleWatch gives consumers their slots while a side follows, where that could not be done before: what is held for
// them keeps WAL on the side that clients are on.
type settleWatch struct {
	at     time.Time // when it was tried last
	shown  string
	events []upgrade.Event // that are to be taken
}

// settleInterval is the time between two tries, and settlePatience how long nobody looks at the cap for one.
const settleInterval, settlePatience = time.Minute, 15 * time.Second

// look tries it, now and then, as long as the plan's source keeps WAL for that, and says what is in the way in a line for
// people.
func (s *settleWatch) look(ctx context.Context, w *Worker, plan upgrade.Plan, held int64) string {
	if held == 0 {
		s.shown = ""
		return ""
	}
	if time.Since(s.at) < settleInterval {
		return s.shown
	}
	s.at = time.Now()
	last, err := w.lastSwitched(plan)
	if err != nil || len(last.Outcome.Consumers) == 0 {
		return ""
	}
	ctx, cancel := context.WithTimeout(ctx, settlePatience)
	defer cancel()
	done, err := w.settleConsumers(ctx, w.switchoverConfig(last.Intent.Plan, nil), last.Outcome)
	if err != nil { // what those lack that are made is told with the last one, once
		s.shown = "; slots of other consumers cannot be made yet: " + err.Error()
		return s.shown
	}
	s.shown = ""
	s.events = append(append(s.events, done.Events...), w.say(ctx, upgrade.LevelInfo, "the slots of other consumers are made"))
	return ""
}

// take is what has happened since it was taken last.
func (s *settleWatch) take() []upgrade.Event {
	events := s.events
	s.events = nil
	return events
}

// settleAtTheEnd does it for the last time: what is held after that is gone, and with it the only point from which a
// consumer can go on without a gap. So the upgrade does not end while somebody may still mend what is in the way, but
// neither does the server that clients are on keep more WAL for that than the upgrade may keep at all. Slots of pgleap's own
// keep nothing any more by then.
func (w *Worker) settleAtTheEnd(ctx context.Context, plan upgrade.Plan, last switchover.State, superuser postgres.Login) (step.Done, error) {
	done, unsettled := w.settleConsumers(ctx, w.switchoverConfig(last.Intent.Plan, nil), last.Outcome)
	if err := with(ctx, superuser, dropOurSlots(ctx)); err != nil || unsettled == nil {
		return done, err
	}
	var names []string
	for _, consumer := range last.Outcome.Consumers {
		if consumer.Problem == "" {
			names = append(names, consumer.Name)
		}
	}
	var held []postgres.HeldWAL
	err := with(ctx, superuser, func(conn *pgx.Conn) (err error) {
		held, err = postgres.HeldFor(ctx, conn, names)
		return err
	})
	if err != nil || len(held) == 0 {
		return done, err
	}
	serving := last.Intent.Plan.Target
	free, total, err := walDisk(serving)
	if err != nil {
		free, total = 0, 0 // what cannot be measured now will be the next time
	}
	why := tooLong(plan.Options.MaxRetainedWAL, held, free, total)
	if why == "" {
		return done, stillHeld(serving, held, unsettled)
	}
	done.Events = append(done.Events, w.say(ctx, upgrade.LevelError, fmt.Sprintf(
		"consumers begin anew: what was held for them is dropped, since %s; %v", why, unsettled)))
	return done, nil
}

// tooLong is why slots are not held any longer; empty: they are.
func tooLong(limit int64, held []postgres.HeldWAL, free, total int64) string {
	for _, slot := range held {
		switch {
		case slot.Lost:
			return fmt.Sprintf("the server has dropped WAL that slot %s needs (see max_slot_wal_keep_size)", slot.Slot)
		case slot.Retained > limit:
			return fmt.Sprintf("slot %s keeps %d MiB of WAL, more than the cap of %d MiB", slot.Slot, slot.Retained>>20, limit>>20)
		case total > 0 && free < leastFree(total) && slot.Retained > ourShare:
			return fmt.Sprintf("slot %s keeps %d MiB of WAL, and %d MiB of %d MiB are left of its file system", slot.Slot, slot.Retained>>20, free>>20, total>>20)
		}
	}
	return ""
}

// stillHeld tells how the end of the upgrade can be reached.
func stillHeld(serving upgrade.Cluster, held []postgres.HeldWAL, why error) error {
	var drop []string
	for _, slot := range held {
		drop = append(drop, slot.DropStatement())
	}
	return fmt.Errorf(
		"slots of other consumers cannot be made yet: mend what follows and this goes on by itself; or give up what is held for them, so that they begin anew, at port %d: %s: %w",
		serving.Port, strings.Join(drop, "; "), why)
}
