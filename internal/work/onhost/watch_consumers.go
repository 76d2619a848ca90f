package onhost

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgleap/pgleap/internal/postgres"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// consumerWatch looks after the WAL that the side which follows keeps for slots of others: consumers that
// were there when clients left it (see upgrade.ConsumerSlot). What is replicated to that side is written to
// its WAL, and nobody but the consumer's owner knows whether he still needs it. So pgleap tells, and drops nothing.
type consumerWatch struct {
	at       time.Time // when it looked last
	shown    string
	told     map[string]int // what the user knows of each slot, a sum of what follows
	warnings []string       // what he does not know yet
}

// What there is to be told of a slot.
const (
	keepsHalf = 1 << iota // of what the upgrade may keep (--max-retained-wal)
	keepsMost
	fillsDisk
)

// most is the part of the cap, in percent, at which the second warning comes, as for pgleap's own slots.
const most = 80

// look measures, now and then, and says what is to be known in a line for people.
func (c *consumerWatch) look(ctx context.Context, plan upgrade.Plan) string {
	if time.Since(c.at) < capInterval {
		return c.shown
	}
	c.at = time.Now()
	var slots []postgres.IdleConsumer
	err := with(ctx, login(plan, plan.Target).In("postgres"), func(conn *pgx.Conn) (err error) {
		slots, err = postgres.ReadIdleConsumers(ctx, conn)
		return err
	})
	if err != nil {
		c.shown = fmt.Sprintf("; what slots of others keep at port %d cannot be measured: %v", plan.Target.Port, err)
		return c.shown
	}
	free, total, err := walDisk(plan.Target)
	if err != nil {
		free, total = 0, 0 // what cannot be measured now will be the next time
	}
	c.judge(plan, slots, free, total)
	return c.shown
}

// judge tells what is new. A slot that is gone, or has been read, will be told of again.
func (c *consumerWatch) judge(plan upgrade.Plan, slots []postgres.IdleConsumer, free, total int64) {
	before := c.told
	c.told, c.shown, c.warnings = map[string]int{}, "", nil
	for _, slot := range slots {
		c.shown += fmt.Sprintf("; slot %s of somebody else keeps %d MiB of WAL at port %d", slot.Name, slot.Retained>>20, plan.Target.Port)
		state := stateOf(slot, plan.Options.MaxRetainedWAL, free, total)
		if state == 0 {
			continue
		}
		c.told[slot.Name] = state | before[slot.Name]
		if c.told[slot.Name] != before[slot.Name] {
			c.warnings = append(c.warnings, warnOfConsumer(plan, slot, state, free, total))
		}
	}
}

// stateOf is what there is to be told of a slot.
func stateOf(slot postgres.IdleConsumer, limit, free, total int64) (state int) {
	if slot.Retained > limit/2 {
		state |= keepsHalf
	}
	if slot.Retained > limit/100*most {
		state |= keepsMost
	}
	if total > 0 && free < leastFree(total) && slot.Retained > ourShare {
		state |= fillsDisk
	}
	return state
}

func warnOfConsumer(plan upgrade.Plan, slot postgres.IdleConsumer, state int, free, total int64) string {
	text := fmt.Sprintf("the server at port %d, which clients have left, keeps %d MiB of WAL for slot %s of database %s",
		plan.Target.Port, slot.Retained>>20, slot.Name, slot.Database)
	if state&(keepsHalf|keepsMost) != 0 {
		text += fmt.Sprintf(", beside the %d MiB that the upgrade itself may keep", plan.Options.MaxRetainedWAL>>20)
	}
	if state&fillsDisk != 0 {
		text += fmt.Sprintf(", and %d MiB of %d MiB are left of its file system", free>>20, total>>20)
	}
	if slot.Active {
		text += "; its consumer is connected: let it read to the slot's end and stop it"
	}
	return text + "; the slot is not pgleap's to drop: when its consumer has read it to its end, or is not needed any more, run there: " + slot.DropStatement()
}
