package onhost

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgleap/pgleap/internal/postgres"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// standbyWatch looks after the WAL that the target keeps for standbys of this upgrade's making: one that does
// not run would fill its disk, and nobody else knows of it before the upgrade is done.
type standbyWatch struct {
	at   time.Time // when it looked last
	told string
}

// look measures, now and then, what the target keeps for its standbys, and says what is to be known. At the
// upgrade's cap the slot goes, and its standby is made again after the switchover.
func (s *standbyWatch) look(ctx context.Context, w *Worker, plan upgrade.Plan) string {
	if time.Since(s.at) < capInterval {
		return s.told
	}
	s.at = time.Now()
	if plan.Reversed {
		plan = plan.Back()
	}
	told, err := w.capStandbySlots(ctx, plan)
	if err != nil {
		told = "; what the target keeps for its standbys cannot be measured: " + err.Error()
	}
	if told != "" && told != s.told {
		w.log.WarnContext(ctx, "the target keeps WAL for its standbys", "task", plan.Number, "told", strings.TrimPrefix(told, "; "))
	}
	s.told = told
	return told
}

// capStandbySlots does so once.
func (w *Worker) capStandbySlots(ctx context.Context, plan upgrade.Plan) (told string, err error) {
	files, records, err := w.standbyRecords(plan)
	if err != nil || !records.begun() {
		return "", err
	}
	err = w.onTarget(ctx, plan, func(conn *pgx.Conn) error {
		for i := range records.All {
			r := &records.All[i]
			if !r.MadeSlot {
				continue
			}
			retained, err := postgres.RetainedBySlot(ctx, conn, slotOf(r))
			if err != nil {
				return err
			}
			if retained > plan.Options.MaxRetainedWAL {
				if err := w.giveUpStandbySlot(ctx, conn, files, &records, r, retained); err != nil {
					return err
				}
			} else if retained > plan.Options.MaxRetainedWAL/2 {
				told += fmt.Sprintf("; the target keeps %d MiB of WAL for standby %s, see whether %s runs; at %d MiB its slot is dropped",
					retained>>20, r.Name, r.Successor, plan.Options.MaxRetainedWAL>>20)
			}
			if r.GivenUp != "" {
				told += "; " + r.GivenUp
			}
		}
		return nil
	})
	return told, err
}

// giveUpStandbySlot drops a slot. That its standby is to be made anew is noted first.
func (w *Worker) giveUpStandbySlot(ctx context.Context, conn *pgx.Conn, files files, records *standbyRecords, r *standbyRecord, retained int64) error {
	r.Stage = standbyBegun
	r.GivenUp = fmt.Sprintf("the target kept %d MiB of WAL for standby %s, more than the upgrade's cap: its slot is dropped, and it is made anew after the switchover",
		retained>>20, r.Name)
	if err := files.write(noteStandbys, records); err != nil {
		return err
	}
	return postgres.DropSlot(ctx, conn, slotOf(r))
}

// dropStandbySlots removes the slots that kept WAL for standbys which stream without one, or could not be made.
func (w *Worker) dropStandbySlots(ctx context.Context, plan upgrade.Plan) error {
	return w.onTarget(ctx, plan, func(conn *pgx.Conn) error {
		names, err := postgres.StandbySlots(ctx, conn)
		for _, name := range names {
			if err := postgres.DropSlot(ctx, conn, name); err != nil {
				return err
			}
		}
		return err
	})
}
