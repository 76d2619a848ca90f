package switchover

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"github.com/pgleap/pgleap/internal/postgres"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// PrepareWayBack makes in one database what is needed to go back after a switchover: a slot on the
// target, which is there before any client writes, and a subscription on the source, which stays
// disabled until then. It may be repeated, and keeps both up to date.
func PrepareWayBack(ctx context.Context, plan upgrade.Plan, targetLogin postgres.Login, source, target *pgx.Conn) error {
	database := source.Config().Database
	oid, err := postgres.DatabaseOID(ctx, target)
	if err != nil {
		return err
	}
	slot := plan.OppositeSlot(oid)
	if err := postgres.DropLostSlot(ctx, target, slot); err != nil { // nobody needs it yet
		return fmt.Errorf("prepare the way back: %w", err)
	}
	if _, err := postgres.EnsureLogicalSlot(ctx, target, slot); err != nil {
		return fmt.Errorf("prepare the way back: %w", err)
	}
	back := postgres.NewSubscription{
		Name: plan.Back().Follows(), Publication: upgrade.Publication,
		Publisher: targetLogin.In(database), Slot: slot, Version: postgres.ServerMajor(target),
	}
	if err := subscribeBack(ctx, source, back); err != nil {
		return err
	}
	missing, err := notSubscribed(ctx, target, source, back.Name)
	if err != nil {
		return err
	}
	if len(missing) > 0 { // it is disabled, so that a new one is as good, and knows all tables
		if err := postgres.DropSubscriptions(ctx, source, back.Name); err != nil {
			return err
		}
		if err := subscribeBack(ctx, source, back); err != nil {
			return err
		}
		for group := 2; group <= upgrade.MaxTableGroups; group++ { // the new one reads for all groups
			if err := postgres.DropSlot(ctx, target, upgrade.GroupSlotName(oid, group)); err != nil {
				return err
			}
		}
	}
	return postgres.AdvanceIdleSlots(ctx, target, plan.Follows())
}

// codeConnectionFailure is that of a server that cannot connect to another one.
const codeConnectionFailure = "08006"

// subscribeBack makes the subscription. The server that it is made on must reach the other one; libpq in
// there prefers PGPASSWORD of its environment to the passfile.
func subscribeBack(ctx context.Context, conn *pgx.Conn, back postgres.NewSubscription) error {
	err := postgres.Subscribe(ctx, conn, back)
	switch {
	case postgres.IsCode(err, codeConnectionFailure):
		return fmt.Errorf("prepare the way back: %w; if this server has PGPASSWORD in its environment, restart it without", err)
	case err != nil:
		return fmt.Errorf("prepare the way back: %w", err)
	}
	return nil
}

// turn ends the replication that has brought everything to the target, and says in the journal that the
// switchover is done. From then on the way back may be opened. Of several processes that come to this
// at once, and even of one that comes late, only those do something that find the journal committed.
func turn(ctx context.Context, c Config, databases []string, outcome upgrade.Switchover) error {
	return c.Journal.Exclusively(ctx, func() error {
		state, err := c.Journal.Read()
		if err != nil || state.Stage != StageCommitted {
			return err
		}
		// An apply worker that has nothing to do may take a second to see that it is not wanted any more.
		all, ctx := errgroup.WithContext(ctx)
		for _, name := range databases {
			all.Go(func() error {
				if err := endFollowing(ctx, c, name); err != nil {
					return fmt.Errorf("database %s: %w", name, err)
				}
				return nil
			})
		}
		if err := all.Wait(); err != nil {
			return err
		}
		return c.Journal.Done(outcome)
	})
}

func endFollowing(ctx context.Context, c Config, database string) error {
	return with(ctx, c.Target.In(database), func(conn *pgx.Conn) error {
		return postgres.DisableSubscriptions(ctx, conn, c.Plan.Follows())
	})
}

// OpenWayBack lets the side that clients have left follow the other one, from where that stood when they
// came. It may be repeated. It does nothing unless the journal tells that they came, and latest says that
// no other attempt has begun since: else it would bring changes to where they were made.
func OpenWayBack(ctx context.Context, c Config, latest func() (bool, error)) error {
	return c.Journal.Exclusively(ctx, func() error {
		state, err := c.Journal.Read()
		if err != nil {
			return err
		}
		if isLatest, err := latest(); err != nil || !isLatest || state.Stage != StageDone {
			return err
		}
		from, err := postgres.ParseLSN(state.Outcome.TargetLSN)
		if err != nil {
			return fmt.Errorf("read from the journal where the way back begins: %w", err)
		}
		for _, name := range state.Intent.Databases {
			if err := beginFollowing(ctx, c, name, from); err != nil {
				return fmt.Errorf("open the way back, database %s: %w", name, err)
			}
		}
		return nil
	})
}

func beginFollowing(ctx context.Context, c Config, database string, from postgres.LSN) error {
	return with(ctx, c.Source.In(database), func(conn *pgx.Conn) error {
		back := c.Plan.Back().Follows()
		positions, err := postgres.DisabledPositions(ctx, conn, back, from)
		if err != nil {
			return err
		}
		err = with(ctx, c.Target.In(database), func(conn *pgx.Conn) error { return slotsDeliver(ctx, conn, positions) })
		if err != nil {
			return err
		}
		return postgres.EnableSubscriptions(ctx, conn, back, from)
	})
}

// slotsDeliver wants the slots on the side where clients are to have all that they have written there.
func slotsDeliver(ctx context.Context, conn *pgx.Conn, positions []postgres.SlotPosition) error {
	for _, position := range positions {
		delivers, err := postgres.SlotDelivers(ctx, conn, position)
		if err != nil {
			return err
		}
		if !delivers {
			return &upgrade.Refused{Reason: fmt.Sprintf(
				"slot %s of database %s does not have everything from LSN %s on: it was dropped or moved, or its WAL was",
				position.Slot, conn.Config().Database, position.From)}
		}
	}
	return nil
}
