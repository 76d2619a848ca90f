package onhost

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"syscall"
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
	return watched(ctx, do, func(ctx context.Context) error {
		return with(ctx, login(plan, plan.Source), func(conn *pgx.Conn) error {
			slots, err := postgres.ReadSlots(ctx, conn)
			if err != nil {
				return err
			}
			return overCap(plan, slots)
		})
	})
}

// watched runs a long part of a step, and ends it when a look, one every capInterval, comes to a refusal. No
// look goes on when it returns.
func watched(ctx context.Context, do, look func(context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	var looks sync.WaitGroup
	defer looks.Wait()
	defer cancel(nil)
	looks.Go(func() {
		for sleep(ctx, capInterval) == nil {
			if refused, ok := errors.AsType[*upgrade.Refused](look(ctx)); ok {
				cancel(refused)
			}
		}
	})
	err := do(ctx)
	if refused, ok := errors.AsType[*upgrade.Refused](context.Cause(ctx)); ok && err != nil {
		return refused
	}
	return err
}

// whole is withinCap for a whole step.
func whole[R any](ctx context.Context, plan upgrade.Plan, do func(context.Context) (R, error)) (result R, err error) {
	err = withinCap(ctx, plan, func(ctx context.Context) (err error) {
		result, err = do(ctx)
		return err
	})
	return result, err
}

// overCap is a refusal when the slots keep more than the plan allows or than the disk bears, or were lost.
func overCap(plan upgrade.Plan, slots postgres.SlotState) error {
	if plan.Reversed && (len(slots.Lost) > 0 || slots.RetainedWAL > plan.Options.MaxRetainedWAL) {
		return wayBackLost(plan, slots)
	}
	if len(slots.Lost) > 0 {
		return &upgrade.Refused{
			Reason: fmt.Sprintf("the source dropped WAL that the upgrade needs (slots %v are lost)", slots.Lost),
			Remedy: "raise max_slot_wal_keep_size on the source and start the upgrade again",
		}
	}
	if slots.RetainedWAL > plan.Options.MaxRetainedWAL {
		return &upgrade.Refused{
			Reason: fmt.Sprintf("the source keeps %d MiB of WAL for %s, more than the cap of %d MiB",
				slots.RetainedWAL>>20, purpose(plan, slots), plan.Options.MaxRetainedWAL>>20),
			Remedy: "start the upgrade again at a quieter time, or with a higher --max-retained-wal if the disk has room",
		}
	}
	free, total, err := walDisk(plan.Source)
	if err != nil {
		return nil //nolint:nilerr // what cannot be measured now will be the next time
	}
	return overDisk(plan, slots, free, total)
}

// purpose is what the neediest slot keeps its WAL for.
func purpose(plan upgrade.Plan, slots postgres.SlotState) string {
	switch {
	case slots.HeldWAL > 0 && slots.HeldWAL == slots.RetainedWAL:
		return "a consumer whose slot could not be made"
	case plan.Reversed:
		return "the way back"
	}
	return "the upgrade"
}

// wayBackLost is why clients cannot go back any more.
func wayBackLost(plan upgrade.Plan, slots postgres.SlotState) error {
	if len(slots.Lost) > 0 {
		return &upgrade.Refused{Reason: fmt.Sprintf(
			"the server at port %d dropped WAL that the way back needs (slots %v are lost, see max_slot_wal_keep_size)", plan.Source.Port, slots.Lost)}
	}
	return &upgrade.Refused{Reason: fmt.Sprintf(
		"the server at port %d keeps %d MiB of WAL for %s, more than the cap of %d MiB",
		plan.Source.Port, slots.RetainedWAL>>20, purpose(plan, slots), plan.Options.MaxRetainedWAL>>20)}
}

// ourShare is how much WAL the slots must keep before a full disk is put down to the upgrade.
const ourShare = 256 << 20

// overDisk is a refusal when the disk of the source's WAL is nearly full and the upgrade has its
// share in that. PostgreSQL stops when it cannot write WAL.
func overDisk(plan upgrade.Plan, slots postgres.SlotState, free, total int64) error {
	if free >= leastFree(total) || slots.RetainedWAL <= ourShare {
		return nil
	}
	refused := &upgrade.Refused{
		Reason: fmt.Sprintf("the file system of the WAL of the server at port %d has %d MiB left of %d MiB, and that server keeps %d MiB of WAL for the upgrade",
			plan.Source.Port, free>>20, total>>20, slots.RetainedWAL>>20),
		Remedy: "make room there (1 GiB and 5 % must stay free), and start the upgrade again",
	}
	if plan.Reversed {
		refused.Remedy = "make room there; there is no way back any more"
	}
	return refused
}

// leastFree is what must stay free on the file system of a cluster's WAL.
func leastFree(total int64) int64 { return max(1<<30, total/20) }

// walDisk measures the file system of a cluster's WAL.
func walDisk(cluster upgrade.Cluster) (free, total int64, err error) {
	dir := filepath.Join(cluster.Pgdata, "pg_wal") // may be a link to another file system
	var stat syscall.Statfs_t
	if err := syscall.Statfs(dir, &stat); err != nil {
		return 0, 0, fmt.Errorf("measure the file system of %s: %w", dir, err)
	}
	return int64(stat.Bavail) * stat.Bsize, int64(stat.Blocks) * stat.Bsize, nil //nolint:gosec // no disk has 2^63 bytes
}
