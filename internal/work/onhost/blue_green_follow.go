package onhost

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgleap/pgleap/internal/pgbin"
	"github.com/pgleap/pgleap/internal/postgres"
	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/internal/upgrade/step"
)

// FollowSource lets the clone stream from the source, and shows every second how far it is behind, until
// it is cancelled or, if asked to, until a switch can be expected to succeed, or until there is something to be told of
// the WAL that is kept for the clone (walWatch). The clone streams on after that. It ends the upgrade when the source
// keeps more WAL for it than it may. Standbys of the target, and slots for them, are not there yet, and need no watch as
// in Synchronize: they are made behind the fence, and go with a switch that is undone, or when clients are on the
// target, where a slot lasts no longer than the making.
func (w *Worker) FollowSource(ctx context.Context, args step.SynchronizeArgs) (result step.Synchronized, err error) {
	if err := w.stream(ctx, args.Plan); err != nil {
		return result, err
	}
	var rate trend
	wal := walWatchOf(args.Told)
	small := 0
	for {
		lag, streaming, err := cloneLag(ctx, args.Plan)
		switch refused, isRefused := errors.AsType[*upgrade.Refused](err); {
		case ctx.Err() != nil:
			return result, ctx.Err()
		case isRefused:
			return result, refused
		case err != nil:
			small = 0
			progressOf(ctx).unmeasured(err)
		default:
			lag.ETASeconds = rate.eta(time.Now(), lag.Bytes)
			progressOf(ctx).lag(lag, describeCloneLag(lag, streaming))
			small++
			if lag.Bytes > smallLag || !streaming {
				small = 0
			}
		}
		if args.UntilReady && small >= samplesUntilReady {
			result.Done = w.info(ctx, "the clone has caught up")
			return result, nil
		}
		if args.TellNews && err == nil {
			warnings, news := wal.judge(args.Plan, cloneFigures(args.Plan, &rate, lag, streaming))
			for _, text := range warnings {
				result.Events = append(result.Events, w.say(ctx, upgrade.LevelWarning, text))
			}
			if news {
				result.Told = wal.with(args.Told)
				return result, nil
			}
		}
		if err := w.stillRunning(args.Plan); err != nil {
			return result, err
		}
		if err := sleep(ctx, sampleInterval); err != nil {
			return result, err
		}
	}
}

// cloneFigures is what was measured last. The clone keeps nothing for anybody.
func cloneFigures(plan upgrade.Plan, rate *trend, lag upgrade.Lag, streaming bool) walFigures {
	now := walFigures{at: rate.last().at, serving: walKept{bytes: lag.RetainedWAL}}
	now.serving.measure(plan.Source)
	if !streaming || rate.losing.IsZero() {
		return now
	}
	if now.losing = now.at.Sub(rate.losing); now.losing >= neverAfter {
		now.never = fmt.Sprintf("the clone is %d MiB behind, and at this rate it will never catch up; cancel the upgrade and start it again at a quieter time", lag.Bytes>>20)
	}
	return now
}

// stream starts the clone as a standby, unless it runs: then it streams already.
func (w *Worker) stream(ctx context.Context, plan upgrade.Plan) error {
	if _, running := w.host.Running(w.cloneCluster(plan)); running {
		return nil
	}
	user, err := owner(plan)
	if err != nil {
		return err
	}
	if err := writeOwned(standbySignal(plan), nil, user, 0o600); err != nil {
		return err
	}
	return w.startClone(ctx, plan, map[string]string{"wal_receiver_status_interval": "1s"})
}

func (w *Worker) stillRunning(plan upgrade.Plan) error {
	if _, running := w.host.Running(w.cloneCluster(plan)); running {
		return nil
	}
	return fmt.Errorf("the clone stopped by itself: %s", pgbin.ServerLog(plan.ClonePgdata(), cloneLog(plan), 0))
}

// cloneLag measures how far the clone is behind, and what the source keeps for it.
func cloneLag(ctx context.Context, plan upgrade.Plan) (lag upgrade.Lag, streaming bool, err error) {
	err = with(ctx, login(plan, plan.Source), func(conn *pgx.Conn) error {
		slots, err := postgres.ReadSlots(ctx, conn)
		if err != nil {
			return err
		}
		if err := overCap(plan, slots); err != nil {
			return err
		}
		lag.RetainedWAL = slots.RetainedWAL
		lag.Bytes, streaming, err = postgres.StandbyLag(ctx, conn, cloneApplication)
		return err
	})
	return lag, streaming, err
}

func describeCloneLag(lag upgrade.Lag, streaming bool) string {
	text := fmt.Sprintf("the clone is %d KiB behind", lag.Bytes>>10)
	switch {
	case !streaming:
		text += "; it does not stream from the source now"
	case lag.ETASeconds < 0:
		text += "; at this rate it will never catch up"
	case lag.ETASeconds > 1:
		text += fmt.Sprintf("; caught up in about %s", time.Duration(lag.ETASeconds)*time.Second)
	}
	return text
}
