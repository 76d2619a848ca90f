package onhost

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgleap/pgleap/internal/postgres"
	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/internal/upgrade/step"
)

// The side that follows keeps WAL, too: for the way back, from the moment it is prepared, and for a standby that
// is copied. Its WAL may be on the file system of the other side's, where clients are (see placeTargetWAL).

// followersShare is how much WAL its slots must keep before a full disk is put down to them. It is more than
// they keep between two advances.
const followersShare = 1 << 30

// overFollowersDisk is a refusal when the disk of its WAL is nearly full, and its slots have their share in that.
func overFollowersDisk(plan upgrade.Plan, kept int64) error {
	free, total, err := walDisk(plan.Target)
	if err != nil {
		return nil //nolint:nilerr // what cannot be measured now will be the next time
	}
	return judgeFollowersDisk(plan, kept, free, total)
}

func judgeFollowersDisk(plan upgrade.Plan, kept, free, total int64) error {
	if free >= leastFree(total) || kept <= followersShare {
		return nil
	}
	refused := &upgrade.Refused{
		Reason: fmt.Sprintf("the file system of the WAL of the server at port %d has %d MiB left of %d MiB, and that server keeps %d MiB of WAL for standbys that are made, or for the way back",
			plan.Target.Port, free>>20, total>>20, kept>>20),
		Remedy: "make room there: 1 GiB and 5 % must stay free",
	}
	if plan.Reversed {
		refused.Remedy += "; there is no way back any more"
	}
	return refused
}

// withinFollowersDisk runs a long part of a step that writes WAL on the side that follows.
func (w *Worker) withinFollowersDisk(ctx context.Context, plan upgrade.Plan, do func(context.Context) error) error {
	return watched(ctx, do, func(ctx context.Context) error {
		kept, err := retainedByFollower(ctx, plan)
		if err != nil {
			return err
		}
		return overFollowersDisk(plan, kept)
	})
}

func retainedByFollower(ctx context.Context, plan upgrade.Plan, others ...string) (kept int64, err error) {
	err = with(ctx, login(plan, plan.Target), func(conn *pgx.Conn) (err error) {
		kept, err = postgres.RetainedForUpgrade(ctx, conn, others...)
		return err
	})
	return kept, err
}

// buildWhileFollowing makes standbys while clients are at the source. They are copied for as long as the target is
// large, and meanwhile the target keeps the WAL that they will need, but not more than the cap; that for the
// way back it need not keep. If the standbys are given up for that, nothing is left of them that would fill a disk.
func (w *Worker) buildWhileFollowing(ctx context.Context, args step.StandbysArgs) (done step.Done, err error) {
	plan := args.Plan
	if plan.Mode != upgrade.ZeroDowntime { // nothing follows
		return w.buildStandbys(ctx, plan, standbyAttempts, args.Required)
	}
	advanced := time.Now()
	err = withinCap(ctx, plan, func(ctx context.Context) error {
		return watched(ctx, func(ctx context.Context) error {
			done, err = w.buildStandbys(ctx, plan, standbyAttempts, args.Required)
			return err
		}, func(ctx context.Context) error {
			if time.Since(advanced) > advanceInterval {
				advanced = time.Now()
				w.advanceSlots(ctx, plan)
			}
			return w.overStandbysCap(ctx, plan)
		})
	})
	refused, ok := errors.AsType[*upgrade.Refused](err)
	if !ok {
		return done, err
	}
	gone := &upgrade.Refused{Reason: "the standbys are not made before the switchover: " + refused.Reason, Remedy: refused.Remedy, Cause: refused.Cause}
	return done, errors.Join(gone, w.giveUpStandbys(context.WithoutCancel(ctx), plan))
}

// advanceGrace is how long an advance goes on when its step is to end: cut short, it has been for nothing, and the server
// may keep the slot from others for a moment.
const advanceGrace = 5 * time.Second

// advanceSlots moves the slots for the way back to what the target has applied. What cannot be done now is done the
// next time.
func (w *Worker) advanceSlots(ctx context.Context, plan upgrade.Plan) {
	advancing, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	defer context.AfterFunc(ctx, func() {
		_ = sleep(advancing, advanceGrace)
		cancel()
	})()
	ctx = advancing
	err := inEachDatabase(ctx, login(plan, plan.Target), func(conn *pgx.Conn, _ postgres.ReplicatedDatabase) error {
		return postgres.AdvanceIdleSlots(ctx, conn, plan.Follows())
	})
	if err != nil {
		w.log.WarnContext(ctx, "the target keeps WAL for the way back that it need not keep", "task", plan.Number, "error", err)
	}
}

// overStandbysCap is a refusal when the target keeps more WAL than the plan allows, or than its disk bears.
func (w *Worker) overStandbysCap(ctx context.Context, plan upgrade.Plan) error {
	_, records, err := w.standbyRecords(plan)
	if err != nil {
		return err
	}
	var names []string
	for i := range records.All {
		if records.All[i].MadeSlot {
			names = append(names, slotOf(&records.All[i]))
		}
	}
	kept, err := retainedByFollower(ctx, plan, names...)
	if err != nil {
		return err
	}
	if kept > plan.Options.MaxRetainedWAL {
		return &upgrade.Refused{
			Reason: fmt.Sprintf("the target keeps %d MiB of WAL for standbys that are made, or for the way back, more than the cap of %d MiB",
				kept>>20, plan.Options.MaxRetainedWAL>>20),
			Remedy: "make them at a quieter time, or with a higher --max-retained-wal if the disk has room",
		}
	}
	return overFollowersDisk(plan, kept)
}

// giveUpStandbys removes the standbys that do not stream yet, and their slots.
func (w *Worker) giveUpStandbys(ctx context.Context, plan upgrade.Plan) error {
	files, records, err := w.standbyRecords(plan)
	if err != nil {
		return err
	}
	var errs []error
	for i := range records.All {
		if records.All[i].Stage == standbyStreams {
			continue
		}
		err := w.dropStandbySlot(ctx, plan, &records.All[i])
		if err == nil { // else the note keeps that there is a slot
			err = w.discardStandby(ctx, plan, files, &records, i)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
