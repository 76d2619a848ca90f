package onhost

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgleap/pgleap/internal/postgres"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// unfinishedPoll is how soon it is noticed that something has come to its end.
const unfinishedPoll = 20 * time.Millisecond

// maxUnfinished bounds the transactions and slots that are named.
const maxUnfinished = 5

// unfinished refuses what pg_upgrade would refuse in the outage, and what comes and goes while the source serves: its
// check has seen none of it, or could not look (check.c, check_for_prepared_transactions and
// check_old_cluster_for_valid_slots, which leaves out how far slots are read as long as the source serves).
func (o *outage) unfinished(ctx context.Context) (err error) {
	if o.watch, err = postgres.Connect(ctx, o.host.Login(o.plan.Source, "postgres")); err != nil {
		return err
	}
	databases, err := postgres.Databases(ctx, o.watch)
	if err != nil {
		return err
	}
	o.databases = map[uint32]string{}
	for _, database := range databases {
		o.databases[database.OID] = database.Name
	}
	limited, cancel := context.WithTimeout(ctx, o.plan.Options.SwitchoverTimeout)
	defer cancel()
	prepared, err := postgres.ListPrepared(limited, o.watch)
	if err == nil {
		err = o.awaitPrepared(limited, prepared)
	}
	if err != nil {
		return err
	}
	return o.slotsAreRead(ctx)
}

// stopWatching closes the session that outlasts the pause.
func (o *outage) stopWatching(ctx context.Context) {
	if o.watch != nil {
		_ = o.watch.Close(ctx)
		o.watch = nil
	}
}

// awaitPrepared waits until these transactions have ended. Others may be prepared meanwhile.
func (o *outage) awaitPrepared(ctx context.Context, seen []postgres.PreparedTransaction) error {
	for len(seen) > 0 {
		progressOf(ctx).text("waiting for prepared transactions: " + named(seen))
		if err := sleep(ctx, unfinishedPoll); err != nil {
			return errStillPrepared(ctx, seen)
		}
		now, err := postgres.ListPrepared(ctx, o.watch)
		if err != nil {
			return errors.Join(errStillPrepared(ctx, seen), err)
		}
		seen = slices.DeleteFunc(seen, func(p postgres.PreparedTransaction) bool { return !slices.Contains(now, p) })
	}
	return nil
}

// errStillPrepared says what pg_upgrade would refuse.
func errStillPrepared(ctx context.Context, prepared []postgres.PreparedTransaction) error {
	if errors.Is(ctx.Err(), context.Canceled) {
		return ctx.Err()
	}
	return &upgrade.Refused{
		Reason: "transactions are prepared on the source, and pg_upgrade refuses them: " + named(prepared),
		Remedy: "let their transaction manager end them, or COMMIT PREPARED or ROLLBACK PREPARED each in its database, and start the upgrade again",
	}
}

// named are the first of some things.
func named[T fmt.Stringer](all []T) string {
	var names []string
	for _, one := range all[:min(maxUnfinished, len(all))] {
		names = append(names, one.String())
	}
	if more := len(all) - maxUnfinished; more > 0 {
		names = append(names, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(names, "; ")
}

// slotsSince is the first version whose logical slots pg_upgrade takes over, if they are read to the end.
const slotsSince = 17

// slotsAreRead refuses logical slots from which somebody has yet to read. The stop lets those who read catch up
// (walsender.c, WalSndDone); who does not confirm anything for long will not do so then, and whoever is not there has
// nobody to read for him.
func (o *outage) slotsAreRead(ctx context.Context) error {
	if o.plan.Source.Version.Major() < slotsSince {
		return nil
	}
	behind, err := o.awaitReaders(ctx)
	if err != nil {
		return err
	}
	var unread []unreadSlot
	for _, slot := range behind {
		var holds bool
		err := with(ctx, o.host.Login(o.plan.Source, slot.Database), func(conn *pgx.Conn) (err error) {
			ctx, cancel := context.WithTimeout(ctx, peekLimit)
			defer cancel()
			holds, err = postgres.SlotHoldsChanges(ctx, conn, slot.Name)
			return err
		})
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case postgres.IsUnreadable(err): // pg_upgrade will tell; the source is put back if it refuses
			o.told.Events = append(o.told.Events, o.say(ctx, upgrade.LevelWarning, fmt.Sprintf(
				"slot %s of database %s may not be read to the end, which pg_upgrade would refuse: %v", slot.Name, slot.Database, err)))
		case err != nil: // its WAL is more than can be looked through
			o.log.WarnContext(ctx, "it is not known what is left to read from a slot", "task", o.plan.Number, "slot", slot.Name, "error", err)
			holds = !slot.Active
		}
		if holds {
			unread = append(unread, unreadSlot(slot))
		}
	}
	if len(unread) == 0 {
		return nil
	}
	return &upgrade.Refused{
		Reason: "logical slots are not read to the end, and pg_upgrade takes none over that is not: " + named(unread),
		Remedy: "let their consumers read and confirm, or drop the slots (pg_drop_replication_slot), and start the upgrade again",
	}
}

// peekLimit is how long a slot is looked into for a change that was not read.
const peekLimit = 30 * time.Second

// awaitReaders gives those who read from slots the time to confirm what there is now. It returns the slots that are
// behind nevertheless, and those from which nobody reads.
func (o *outage) awaitReaders(ctx context.Context) ([]postgres.SlotBehind, error) {
	lsn, err := postgres.FlushLSN(ctx, o.watch)
	if err != nil {
		return nil, err
	}
	until := o.now().Add(o.plan.Options.SwitchoverTimeout)
	for {
		behind, err := postgres.SlotsBehind(ctx, o.watch, lsn)
		active := slices.ContainsFunc(behind, func(s postgres.SlotBehind) bool { return s.Active })
		if err != nil || !active || o.now().After(until) {
			return behind, err
		}
		progressOf(ctx).text("waiting for the consumers of logical slots")
		if err := sleep(ctx, unfinishedPoll); err != nil {
			return nil, err
		}
	}
}

// unreadSlot is a slot from which somebody has yet to read.
type unreadSlot postgres.SlotBehind

// String names it for its user.
func (s unreadSlot) String() string {
	why := "nobody reads from it"
	if s.Active {
		why = "its consumer does not confirm what it reads"
	}
	return fmt.Sprintf("%s of database %s (%s; %d bytes of WAL are left)", s.Name, s.Database, why, s.Bytes)
}
