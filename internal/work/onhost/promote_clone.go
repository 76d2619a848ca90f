package onhost

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgleap/pgleap/internal/pgbin"
	"github.com/pgleap/pgleap/internal/postgres"
	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/internal/upgrade/step"
)

// PromoteClone lets the clone recover up to the hand-over LSN, not a record further, and become a
// primary. Its history file is the proof. Then what must not live on in the target is taken out:
// prepared transactions, which arrive by replication when they are committed on the source, and
// subscriptions of the source's, which would steal their slots.
func (w *Worker) PromoteClone(ctx context.Context, args step.HandoverArgs) (step.Done, error) {
	plan := args.Plan
	files, err := w.files(plan)
	if err != nil {
		return step.Done{}, err
	}
	var done step.Done
	if found, err := files.read(notePromoted, &done); found || err != nil {
		return done, err
	}
	x, err := postgres.ParseLSN(args.Handover.LSN)
	if err != nil {
		return step.Done{}, err
	}
	if err := w.recoverTo(ctx, plan, x); err != nil {
		return step.Done{}, err
	}
	cleaned, err := w.cleanClone(ctx, plan)
	if err != nil {
		return step.Done{}, err
	}
	if err := w.stopClone(ctx, plan); err != nil {
		return step.Done{}, err
	}
	proof, err := w.provePromotion(ctx, plan, x)
	if err != nil {
		return step.Done{}, err
	}
	err = with(ctx, login(plan, plan.Source), func(conn *pgx.Conn) error {
		return postgres.DropSlot(ctx, conn, upgrade.BaseBackupSlot)
	})
	if err != nil {
		return step.Done{}, err
	}
	done = w.info(ctx, "the clone was promoted; its history says: "+proof+cleaned)
	return done, files.write(notePromoted, done)
}

// recoverTo starts the clone with its recovery target and waits until it is a primary. One that an
// earlier attempt promoted is started as it is. That standby.signal is gone does not tell: promotion
// removes it before its checkpoint (xlog.c, StartupXLOG), and a clone that was stopped between the
// two would replay all the WAL that it has, beyond the target.
func (w *Worker) recoverTo(ctx context.Context, plan upgrade.Plan, x postgres.LSN) error {
	if err := w.stopClone(ctx, plan); err != nil {
		return err
	}
	var target map[string]string
	if _, err := w.provePromotion(ctx, plan, x); err != nil {
		user, err := owner(plan)
		if err != nil {
			return err
		}
		if err := writeOwned(standbySignal(plan), nil, user, 0o600); err != nil {
			return err
		}
		target = map[string]string{
			"recovery_target_lsn": x.String(), "recovery_target_inclusive": "off", "recovery_target_action": "promote",
			// Not one that a promotion which was cut short has begun.
			"recovery_target_timeline": "current",
		}
	}
	if err := w.startClone(ctx, plan, target); err != nil {
		return err
	}
	return withinCap(ctx, plan, func(ctx context.Context) error { return w.awaitPrimary(ctx, plan) })
}

func (w *Worker) awaitPrimary(ctx context.Context, plan upgrade.Plan) error {
	progressOf(ctx).text("the clone recovers to the hand-over LSN")
	for {
		// hot_standby is off: it takes connections when it is a primary, not before.
		err := with(ctx, w.cloneLogin(plan), func(*pgx.Conn) error { return nil })
		if err == nil {
			return nil
		}
		if refused, ok := errors.AsType[*pgconn.PgError](err); ok && strings.HasPrefix(refused.Code, "28") {
			return fmt.Errorf("log in to the clone: %w", err) // waiting does not help
		}
		if _, running := w.host.Running(w.cloneCluster(plan)); !running {
			return fmt.Errorf("the clone stopped by itself: %s", pgbin.ServerLog(plan.ClonePgdata(), cloneLog(plan), 0))
		}
		if err := sleep(ctx, 100*time.Millisecond); err != nil {
			return err
		}
	}
}

// cloneLogin is the superuser on the clone, whose pg_hba.conf trusts its owner's socket.
func (w *Worker) cloneLogin(plan upgrade.Plan) postgres.Login {
	clone := w.cloneCluster(plan)
	if pid, err := pgbin.ReadPostmasterPid(plan.ClonePgdata()); err == nil {
		clone.Port, clone.SocketDir = pid.Port, pid.SocketDir
	}
	return quiet(w.host.Login(clone, "postgres"))
}

// beforeLSN is the last line of a history file as recovery with a target LSN writes it
// (timeline.c, writeTimeLineHistory): parent timeline, LSN of the switch, reason.
var beforeLSN = regexp.MustCompile(`(?m)^\d+\t([0-9A-F]+/[0-9A-F]+)\tbefore LSN ([0-9A-F]+/[0-9A-F]+)\s*\z`)

// provePromotion wants the history of the timeline that the clone, which is stopped, is on to say
// that it began just before X, or before the first record that starts at X or later.
func (w *Worker) provePromotion(ctx context.Context, plan upgrade.Plan, x postgres.LSN) (string, error) {
	as, err := w.caller(plan, "pg_controldata")
	if err != nil {
		return "", err
	}
	control, err := pgbin.PgControldata(ctx, as, plan.Source.Bindir, plan.ClonePgdata())
	if err != nil {
		return "", err
	}
	history, err := os.ReadFile(filepath.Join(plan.ClonePgdata(), "pg_wal", fmt.Sprintf("%08X.history", control.TimelineID)))
	if err != nil {
		return "", fmt.Errorf("the clone is on timeline %d, which no promotion began: %w", control.TimelineID, err)
	}
	return beganBefore(history, x)
}

// beganBefore reads a timeline's history and wants it to begin before an LSN that is X or later.
func beganBefore(history []byte, x postgres.LSN) (string, error) {
	found := beforeLSN.FindSubmatch(history)
	if found == nil {
		return "", fmt.Errorf("the clone's timeline history does not end before an LSN: %q", history)
	}
	at, err := postgres.ParseLSN(string(found[2]))
	if err != nil {
		return "", err
	}
	if at < x {
		return "", fmt.Errorf("the clone ended before LSN %s, earlier than the hand-over LSN %s", at, x)
	}
	return fmt.Sprintf("before LSN %s (hand-over LSN %s)", at, x), nil
}

// cleanClone takes out what must not live on.
func (w *Worker) cleanClone(ctx context.Context, plan upgrade.Plan) (string, error) {
	var dropped []string
	prepared := 0
	err := inEachDatabase(ctx, w.cloneLogin(plan), func(conn *pgx.Conn, db postgres.ReplicatedDatabase) error {
		count, err := postgres.RollbackPrepared(ctx, conn)
		if err != nil {
			return err
		}
		prepared += count
		names, err := postgres.Subscriptions(ctx, conn)
		if err != nil {
			return err
		}
		for _, name := range names {
			if err := postgres.DropSubscription(ctx, conn, name); err != nil {
				return err
			}
			dropped = append(dropped, db.Name+"."+name)
		}
		return nil
	})
	var said strings.Builder
	if prepared > 0 {
		said.WriteString("; prepared transactions rolled back on the clone: " + strconv.Itoa(prepared))
	}
	if len(dropped) > 0 {
		said.WriteString("; subscriptions dropped on the clone: " + strings.Join(dropped, ", "))
	}
	return said.String(), err
}
