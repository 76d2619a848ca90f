package onhost

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgleap/pgleap/internal/postgres"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// capInterval is how often the WAL that the source keeps for us is looked at.
const capInterval = 5 * time.Second

// withinCap runs a long part of a step, and ends it when the source keeps more WAL for it than the
// plan allows: the upgrade is given up before the source's disk suffers.
func withinCap(ctx context.Context, plan upgrade.Plan, do func(context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		for sleep(ctx, capInterval) == nil {
			err := with(ctx, login(plan, plan.Source), func(conn *pgx.Conn) error {
				slots, err := postgres.ReadSlots(ctx, conn)
				if err != nil {
					return err
				}
				return overCap(plan, slots)
			})
			if refused, ok := errors.AsType[*upgrade.Refused](err); ok {
				cancel(refused)
			}
		}
	}()
	err := do(ctx)
	if refused, ok := errors.AsType[*upgrade.Refused](context.Cause(ctx)); ok && err != nil {
		return refused
	}
	return err
}

// overCap is a refusal when the slots keep more than the plan allows, or were lost.
func overCap(plan upgrade.Plan, slots postgres.SlotState) error {
	if len(slots.Lost) > 0 {
		return &upgrade.Refused{
			Reason: fmt.Sprintf("the source dropped WAL that the upgrade needs (slots %v are lost)", slots.Lost),
			Remedy: "raise max_slot_wal_keep_size on the source and start the upgrade again",
		}
	}
	if slots.RetainedWAL <= plan.Options.MaxRetainedWAL {
		return nil
	}
	return &upgrade.Refused{
		Reason: fmt.Sprintf("the source keeps %d MiB of WAL for the upgrade, more than the cap of %d MiB",
			slots.RetainedWAL>>20, plan.Options.MaxRetainedWAL>>20),
		Remedy: "start the upgrade again at a quieter time, or with a higher --max-retained-wal if the disk has room",
	}
}
