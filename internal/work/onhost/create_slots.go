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

// CreateSlots makes a logical slot in every database, and takes X: an LSN after all of them and
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
	handover.Slots, err = whole(ctx, plan, func(ctx context.Context) ([]step.Slot, error) { return w.createSlots(ctx, plan) })
	if err != nil {
		return handover, err
	}
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
	handover.Done = w.info(ctx, fmt.Sprintf("hand-over decided: %d logical slots made, physical replication ends before LSN %s", len(handover.Slots), handover.LSN))
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

func (w *Worker) createSlots(ctx context.Context, plan upgrade.Plan) ([]step.Slot, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, slotPatience, &upgrade.Refused{
		Reason: fmt.Sprintf("transactions on the source stayed open for %s, and a logical slot waits for them", slotPatience),
		Remedy: "end them, see the last progress of this task for who they were, and start the upgrade again",
	})
	defer cancel()
	go w.showBlockers(ctx, plan)
	var slots []step.Slot
	err := inEachDatabase(ctx, login(plan, plan.Source), func(conn *pgx.Conn, db postgres.ReplicatedDatabase) error {
		name := upgrade.SlotName(db.OID)
		lsn, err := postgres.EnsureLogicalSlot(ctx, conn, name)
		slots = append(slots, step.Slot{Database: db.Name, DatabaseOID: db.OID, Name: name, LSN: lsn.String()})
		return err
	})
	if err != nil && context.Cause(ctx) != nil {
		return nil, context.Cause(ctx)
	}
	return slots, err
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
