package onhost

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgleap/pgleap/internal/postgres"
	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/internal/upgrade/step"
)

// slotPatience is how long the slots may wait for transactions that were open before them.
const slotPatience = time.Hour

// CreateSlots makes the logical slots of every database, and takes X: an LSN after all of them and
// before anything that the clone has replayed could be past it, for the clone stands still. The
// clone will hold every transaction whose commit record starts before X (xlogrecovery.c,
// recoveryStopsBefore), the slots will deliver every other one (snapbuild.c,
// SnapBuildXactNeedsSkip), provided that no slot's consistent point lies after X.
func (w *Worker) CreateSlots(ctx context.Context, plan upgrade.Plan) (step.Handover, error) {
	var handover step.Handover
	files, err := w.files(plan)
	if err != nil {
		return handover, err
	}
	if found, err := files.read(noteHandover, &handover); found || err != nil {
		return handover, err
	}
	if err := w.stopClone(ctx, plan); err != nil {
		return handover, err
	}
	made, err := whole(ctx, plan, func(ctx context.Context) (step.Handover, error) { return w.createSlots(ctx, plan) })
	if err != nil {
		return handover, err
	}
	handover.Slots = made.Slots
	err = with(ctx, login(plan, plan.Source), func(conn *pgx.Conn) error {
		x, err := postgres.InsertLSN(ctx, conn)
		if err != nil {
			return err
		}
		handover.LSN = x.String()
		if err := after(x, handover.Slots); err != nil {
			return err
		}
		return postgres.WriteRestorePoint(ctx, conn, "pgleap")
	})
	if err != nil {
		return handover, err
	}
	handover.Events = append(made.Events, w.say(ctx, upgrade.LevelInfo, fmt.Sprintf(
		"hand-over decided: %d logical slots made, physical replication ends before LSN %s", len(handover.Slots), handover.LSN)))
	return handover, files.write(noteHandover, handover)
}

// after refuses an X that lies before a slot: what was committed between the two would be lost.
func after(x postgres.LSN, slots []step.Slot) error {
	for _, slot := range slots {
		if lsn, err := postgres.ParseLSN(slot.LSN); err != nil || lsn == 0 || lsn > x {
			return fmt.Errorf("slot %s delivers from LSN %s on, which does not fit the hand-over LSN %s", slot.Name, slot.LSN, x)
		}
	}
	return nil
}

// createSlots makes the slots of each database, and before them the groups of its tables: a change that is older
// than its publication cannot be sent.
func (w *Worker) createSlots(ctx context.Context, plan upgrade.Plan) (made step.Handover, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, slotPatience, &upgrade.Refused{
		Reason: fmt.Sprintf("transactions on the source stayed open for %s, and a logical slot waits for them", slotPatience),
		Remedy: "end them, see the last progress of this task for who they were, and start the upgrade again",
	})
	defer cancel()
	go w.showBlockers(ctx, plan)
	err = inEachDatabase(ctx, quiet(login(plan, plan.Source)), func(conn *pgx.Conn, db postgres.ReplicatedDatabase) error {
		groups, err := postgres.EnsureTableGroups(ctx, conn, plan.Options.TableGroups)
		if err != nil {
			return err
		}
		made.Events = append(made.Events, w.describeGroups(ctx, db.Name, groups)...)
		for group := min(1, groups.Count); group <= groups.Count; group++ {
			slot := step.Slot{Database: db.Name, DatabaseOID: db.OID, Group: group, Name: upgrade.GroupSlotName(db.OID, group)}
			lsn, err := postgres.EnsureLogicalSlot(ctx, conn, slot.Name)
			if err != nil {
				return err
			}
			slot.LSN = lsn.String()
			made.Slots = append(made.Slots, slot)
		}
		return nil
	})
	if err != nil && context.Cause(ctx) != nil {
		return made, context.Cause(ctx)
	}
	return made, err
}

// shownKeys is how many foreign keys between groups are named.
const shownKeys = 3

// describeGroups tells how the tables of a database are shared, and what that costs.
func (w *Worker) describeGroups(ctx context.Context, database string, groups postgres.TableGroups) (events []upgrade.Event) {
	if groups.Count == 0 {
		return nil
	}
	events = append(events, w.say(ctx, upgrade.LevelInfo, fmt.Sprintf(
		"database %s: %d tables are shared among %d groups, each with a subscription of its own", database, groups.Tables, groups.Count)))
	if keys := groups.Cut; len(keys) > 0 {
		events = append(events, w.say(ctx, upgrade.LevelWarning, fmt.Sprintf(
			"database %s: %d foreign keys lead from one group to another (%s); rows are not affected, but replication stops at a TRUNCATE of such tables",
			database, len(keys), strings.Join(keys[:min(shownKeys, len(keys))], "; "))))
	}
	return events
}

// showBlockers tells which transactions the slots wait for.
func (w *Worker) showBlockers(ctx context.Context, plan upgrade.Plan) {
	for sleep(ctx, 2*time.Second) == nil {
		_ = with(ctx, login(plan, plan.Source), func(conn *pgx.Conn) error {
			backends, err := postgres.Backends(ctx, conn)
			if err != nil {
				return err
			}
			var open []string
			for _, b := range backends {
				if b.TransactionAge > 2*time.Second && b.User != upgrade.Role {
					open = append(open, fmt.Sprintf("%s for %s", b, b.TransactionAge.Round(time.Second)))
				}
			}
			prepared, err := postgres.PreparedTransactions(ctx, conn)
			if err == nil && prepared > 0 {
				open = append(open, fmt.Sprintf("%d prepared transactions", prepared))
			}
			if len(open) > 0 {
				progressOf(ctx).text("waiting for open transactions: " + strings.Join(open[:min(3, len(open))], "; "))
			}
			return err
		})
	}
}
