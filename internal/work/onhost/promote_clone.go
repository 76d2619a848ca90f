package onhost

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

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
	proof, err := provePromotion(plan, x)
	if err != nil {
		return step.Done{}, err
	}
	cleaned, err := w.cleanClone(ctx, plan)
	if err != nil {
		return step.Done{}, err
	}
	if err := w.stopClone(ctx, plan); err != nil {
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

// recoverTo starts the clone with its recovery target and waits until it is a primary. A clone that
// an earlier attempt promoted is started as it is.
func (w *Worker) recoverTo(ctx context.Context, plan upgrade.Plan, x postgres.LSN) error {
	var target map[string]string
	if _, err := os.Stat(standbySignal(plan)); err == nil { // promotion removes it
		target = map[string]string{
			"recovery_target_lsn": x.String(), "recovery_target_inclusive": "off", "recovery_target_action": "promote",
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
		if err := with(ctx, w.cloneLogin(plan), func(*pgx.Conn) error { return nil }); err == nil {
			return nil
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
		clone.Port = pid.Port
	}
	return quiet(w.host.Login(clone, "postgres"))
}

// beforeLSN is the last line of a history file as recovery with a target LSN writes it
// (timeline.c, writeTimeLineHistory): parent timeline, LSN of the switch, reason.
var beforeLSN = regexp.MustCompile(`(?m)^\d+\t([0-9A-F]+/[0-9A-F]+)\tbefore LSN ([0-9A-F]+/[0-9A-F]+)\s*\z`)

// provePromotion wants the clone's history to say that it ended just before X or before the first
// record that starts at X or later.
func provePromotion(plan upgrade.Plan, x postgres.LSN) (string, error) {
	histories, err := filepath.Glob(filepath.Join(plan.ClonePgdata(), "pg_wal", "*.history"))
	if err != nil || len(histories) == 0 {
		return "", errors.New("the promoted clone has no timeline history")
	}
	slices.Sort(histories) // by timeline, in hexadecimal digits of one width
	content, err := os.ReadFile(histories[len(histories)-1])
	if err != nil {
		return "", fmt.Errorf("read timeline history: %w", err)
	}
	found := beforeLSN.FindSubmatch(content)
	if found == nil {
		return "", fmt.Errorf("the clone's timeline history does not end before an LSN: %q", content)
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
