package switchover

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgleap/pgleap/internal/postgres"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// Consumers of the source's changes that are not pgleap's, such as change data capture, find their slots
// again on the target, each from the first transaction on that a client commits there:
//
//  1. ready: prepareConsumers makes them on the target under names of our own. Nobody waits, and what
//     has to be read of the WAL later is short.
//  2. When both sides stand still, readConsumers notes how far each consumer had come, and
//     placeConsumers which LSNs of both sides are the same point.
//  3. When clients have gone on, settleConsumers brings each slot to that LSN and gives it its name.
//     A consumer cannot read what was replicated to the target, for until then the name is not there.
//
// Without a commit discardConsumers removes them.

// prepareConsumers makes a slot on the target for each logical slot of others on the source, and
// refuses when that cannot be, unless the user has accepted it ("logical-slots:NAME"). target returns
// a session in a database of the target, or nil if it is not replicated; former are the slots of the
// switchover before, which has led the other way.
func prepareConsumers(ctx context.Context, source *pgx.Conn, target func(database string) *pgx.Conn,
	accepted []string, former []upgrade.ConsumerSlot,
) (_ []upgrade.ConsumerSlot, err error) {
	found, err := postgres.ConsumerSlots(ctx, source)
	if err != nil {
		return nil, err
	}
	found = slices.DeleteFunc(found, func(s postgres.ConsumerSlot) bool { return s.Lost })
	control := target(source.Config().Database)
	if err := postgres.DropHeldSlots(ctx, control); err != nil { // of an attempt that was cut short
		return nil, err
	}
	if len(found) == 0 {
		return nil, nil
	}
	if err := roomForSlots(ctx, control, len(found)); err != nil {
		return nil, err
	}
	existing, err := postgres.ConsumerSlots(ctx, control)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, postgres.DropHeldSlots(context.WithoutCancel(ctx), control))
		}
	}()
	var consumers []upgrade.ConsumerSlot
	var refused []string
	for _, slot := range found {
		c := upgrade.ConsumerSlot{Name: slot.Name, Database: slot.Database, Plugin: slot.Plugin, TwoPhase: slot.TwoPhase, Failover: slot.Failover}
		isAccepted := slices.Contains(accepted, "logical-slots:"+slot.Name)
		c.Problem = obstacle(&c, target(slot.Database), existing, former, isAccepted)
		if c.Problem == "" {
			if c.Problem, err = hold(ctx, target(slot.Database), c); err != nil {
				return nil, err
			}
		}
		if c.Problem != "" && !isAccepted {
			refused = append(refused, fmt.Sprintf("%s (%s)", slot.Name, c.Problem))
		}
		consumers = append(consumers, c)
	}
	if len(refused) > 0 {
		return nil, &upgrade.Refused{
			Reason: "logical slots of others cannot be made on the target: " + strings.Join(refused, "; "),
			Remedy: "mend the cause or drop the slot; or accept that its consumer begins anew (--accept logical-slots:NAME)",
		}
	}
	return consumers, nil
}

// roomForSlots wants room for a copy beside each slot that is held.
func roomForSlots(ctx context.Context, control *pgx.Conn, count int) error {
	free, err := postgres.FreeSlots(ctx, control)
	if err != nil || free > count {
		return err
	}
	return &upgrade.Refused{
		Reason: fmt.Sprintf("the target has room for %d slots more, and the %d logical slots of others need %d", free, count, count+1),
		Remedy: "drop slots that nobody uses, or raise max_replication_slots of the target and restart it",
	}
}

// obstacle is why a slot cannot be made on the target, as far as that can be told without trying. What
// the user has accepted is put aside where the slot can be made nevertheless.
func obstacle(c *upgrade.ConsumerSlot, target *pgx.Conn, existing []postgres.ConsumerSlot, former []upgrade.ConsumerSlot, accepted bool) string {
	if target == nil {
		return "database " + c.Database + " is not replicated"
	}
	// A plugin that asks for it at its start gets two_phase from any slot (logical.c, CreateDecodingContext).
	if c.TwoPhase && c.Plugin != "pgoutput" && postgres.ServerMajor(target) < 18 {
		if !accepted {
			return "two_phase cannot be set before 18"
		}
		c.TwoPhase = false
	}
	at := slices.IndexFunc(existing, func(s postgres.ConsumerSlot) bool { return s.Name == c.Name })
	if at < 0 {
		return ""
	}
	old := existing[at]
	if old.Database != c.Database || old.Plugin != c.Plugin {
		return fmt.Sprintf("the target has a slot of that name, for database %s and plugin %s", old.Database, old.Plugin)
	}
	if old.Active {
		return "the target has a slot of that name, and somebody reads it"
	}
	if !accepted && !readToItsEnd(old, former) {
		return fmt.Sprintf("the target has a slot of that name that was not read to its end: it stands at %s", old.Confirmed)
	}
	c.Replaces = true
	return ""
}

// readToItsEnd tells whether the consumer of a slot that clients have left behind at the switchover
// before has read all that it had for it.
func readToItsEnd(old postgres.ConsumerSlot, former []upgrade.ConsumerSlot) bool {
	return slices.ContainsFunc(former, func(f upgrade.ConsumerSlot) bool {
		end, err := postgres.ParseLSN(f.OldEnd)
		return f.Name == old.Name && err == nil && old.Confirmed >= end
	})
}

// hold makes the slot. What the target's server says against it is the reason.
func hold(ctx context.Context, target *pgx.Conn, c upgrade.ConsumerSlot) (reason string, err error) {
	err = postgres.HoldSlot(ctx, target, c.Name, c.Plugin)
	if said, ok := errors.AsType[*pgconn.PgError](err); ok {
		return said.Message, nil
	}
	return "", err
}

// readConsumers notes what each consumer had confirmed on the source. Their sessions have ended by then.
func readConsumers(ctx context.Context, source *pgx.Conn, consumers []upgrade.ConsumerSlot) error {
	found, err := postgres.ConsumerSlots(ctx, source)
	if err != nil {
		return err
	}
	for i := range consumers {
		c := &consumers[i]
		at := slices.IndexFunc(found, func(s postgres.ConsumerSlot) bool { return s.Name == c.Name })
		if at < 0 {
			c.Problem = "it was dropped on the source meanwhile"
			continue
		}
		c.Confirmed = found[at].Confirmed.String()
		found = slices.Delete(found, at, at+1)
	}
	for _, slot := range found {
		if !slot.Lost {
			return fmt.Errorf("slot %s was created on the source meanwhile; try again", slot.Name)
		}
	}
	return nil
}

// placeConsumers notes where the old slots end, the source's insert LSN after its last write, and where
// the new ones begin, the target's flush LSN when all of that was on its disk.
func placeConsumers(consumers []upgrade.ConsumerSlot, sourceLSN, targetLSN string) error {
	if len(consumers) == 0 {
		return nil
	}
	oldEnd, err := postgres.ParseLSN(sourceLSN)
	if err != nil {
		return fmt.Errorf("read where the old slots end: %w", err)
	}
	newStart, err := postgres.ParseLSN(targetLSN)
	if err != nil {
		return fmt.Errorf("read where the new slots begin: %w", err)
	}
	for i := range consumers {
		c := &consumers[i]
		c.OldEnd = oldEnd.String()
		if confirmed, err := postgres.ParseLSN(c.Confirmed); err == nil {
			c.Behind = max(0, oldEnd.Minus(confirmed))
		}
		if c.Problem == "" {
			c.NewStart = newStart.String()
		}
	}
	return nil
}

// settleAttempts is how often settling is attempted. Two processes may come to it at once, and get into
// each other's way.
const settleAttempts = 5

// settleConsumers gives the slots on the target to their consumers. It may be repeated, and does
// nothing about those that are settled. Whoever settles for good gives up the properties that a slot cannot
// get; else the slot stays held as well, for whoever comes next. Then each slot is told of that lacks something,
// whoever gave it up: what was told by a step that failed after it would be known to nobody. An error tells for
// each consumer why its slot is still held.
func settleConsumers(ctx context.Context, target postgres.Login, consumers []upgrade.ConsumerSlot, forGood bool) (without []string, err error) {
	if len(consumers) == 0 {
		return nil, nil
	}
	for attempt := 1; ; attempt++ {
		without, err = settleEach(ctx, target, consumers, forGood)
		if err == nil {
			return without, discardConsumers(ctx, target) // those of slots that were dropped meanwhile
		}
		if attempt == settleAttempts || sleep(ctx, retryReady) != nil {
			return without, err
		}
	}
}

func settleEach(ctx context.Context, target postgres.Login, consumers []upgrade.ConsumerSlot, forGood bool) (without []string, failed error) {
	for _, c := range consumers {
		if c.Problem != "" {
			continue
		}
		lacks, err := settleConsumer(ctx, target.In(c.Database), c, forGood)
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("slot %s of database %s: %w", c.Name, c.Database, err))
		} else if lacks != "" {
			without = append(without, fmt.Sprintf("slot %s of database %s is there, but not as the old one was: %s", c.Name, c.Database, lacks))
		}
	}
	return without, failed
}

// discardConsumers removes what prepareConsumers has made and nobody has got.
func discardConsumers(ctx context.Context, target postgres.Login) error {
	conn, err := postgres.Connect(ctx, target.In("postgres"))
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // nothing is lost with it
	return postgres.DropHeldSlots(ctx, conn)
}

func settleConsumer(ctx context.Context, target postgres.Login, c upgrade.ConsumerSlot, forGood bool) (lacks string, err error) {
	from, err := postgres.ParseLSN(c.NewStart)
	if err != nil {
		return "", err
	}
	conn, err := postgres.Connect(ctx, target)
	if err != nil {
		return "", err
	}
	defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // nothing is lost with it
	wanted := postgres.SlotProperties{Failover: c.Failover, TwoPhase: c.TwoPhase && postgres.ServerMajor(conn) >= 18}
	var refused error
	err = postgres.ReleaseSlot(ctx, conn, c.Name, from, c.Replaces, func() error {
		if refused = postgres.AlterSlot(ctx, conn, target, c.Name, wanted); forGood {
			return nil
		}
		return refused
	})
	if err != nil || !forGood {
		return "", err
	}
	missing, err := postgres.SlotLacks(ctx, conn, c.Name, wanted)
	if err != nil || !missing.Any() {
		return "", err
	}
	lacks = fmt.Sprintf("stop its consumer, and run ALTER_REPLICATION_SLOT %s (%s) in a replication connection", c.Name, missing)
	if refused != nil {
		lacks += ": " + refused.Error()
	}
	return lacks, nil
}
