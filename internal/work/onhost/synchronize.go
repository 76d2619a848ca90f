package onhost

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgleap/pgleap/internal/postgres"
	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/internal/upgrade/step"
)

// sampleInterval is how often the lag is measured and shown.
const sampleInterval = time.Second

// smallLag is the number of bytes up to which the target counts as caught up.
const smallLag = 1 << 20

// samplesUntilReady is how many samples in a row must be small for an automatic switchover.
const samplesUntilReady = 3

// Synchronize measures how far the target is behind, every second, until it is cancelled or, if
// asked to, until a switchover can be expected to succeed, or until there is something to be told: of the WAL
// that is kept for the upgrade (walWatch) or for somebody else (consumerWatch), or that the lag cannot be measured
// any more, or can again (interruption). It is refused when the source keeps more WAL than it may. A server that is away for a
// while is waited for.
func (w *Worker) Synchronize(ctx context.Context, args step.SynchronizeArgs) (result step.Synchronized, err error) {
	f := &follower{plan: args.Plan}
	defer f.close()
	var standbys standbyWatch
	var settling settleWatch
	consumers, interrupted, wal := consumerWatch{told: args.Told}, interruptionOf(args.Told), walWatchOf(args.Told)
	small := 0
	tick := time.NewTicker(sampleInterval)
	defer tick.Stop()
	for {
		lag, err := f.sample(ctx)
		switch refused, isRefused := errors.AsType[*upgrade.Refused](err); {
		case ctx.Err() != nil:
			return result, ctx.Err()
		case isRefused:
			return result, refused
		case err != nil:
			small = 0
			f.close() // the next sample connects again
			progressOf(ctx).unmeasured(err)
		default:
			progressOf(ctx).lag(lag, f.describe(lag)+standbys.look(ctx, w, args.Plan)+consumers.look(ctx, args.Plan)+settling.look(ctx, w, args.Plan, f.held))
			small++
			if lag.Bytes > smallLag || lag.LagSeconds > 1 || len(f.idle) > 0 {
				small = 0
			}
		}
		result.Events = append(result.Events, settling.take()...)
		if args.UntilReady && small >= samplesUntilReady {
			result.Events = append(result.Events, w.say(ctx, upgrade.LevelInfo, "the target has caught up"))
			return result, nil
		}
		if interrupted.sampled(err) {
			result.Events = append(result.Events, w.sayInterrupted(ctx, err))
		}
		warnings, news := consumers.warnings, false
		if err == nil {
			var ours []string
			ours, news = wal.judge(args.Plan, f.figures(lag))
			warnings = append(ours, warnings...)
		}
		for _, text := range warnings {
			result.Events = append(result.Events, w.say(ctx, upgrade.LevelWarning, text))
		}
		if news || len(result.Events) > 0 {
			result.Told = wal.with(interrupted.with(consumers.told))
			return result, nil
		}
		select {
		case <-ctx.Done():
			return result, ctx.Err()
		case <-tick.C:
		}
	}
}

// sayInterrupted tells that the lag cannot be measured any more, or, without an error, that it can again.
func (w *Worker) sayInterrupted(ctx context.Context, err error) upgrade.Event {
	if err == nil {
		return w.say(ctx, upgrade.LevelInfo, "the lag can be measured again: replication goes on")
	}
	return w.say(ctx, upgrade.LevelWarning, "the lag cannot be measured, replication may be interrupted: "+err.Error())
}

// follower measures the lag with sessions that it keeps.
type follower struct {
	plan      upgrade.Plan
	control   *pgx.Conn
	databases []followed
	trend     trend
	idle      []string  // databases whose subscription has no apply worker
	advanced  time.Time // when the slots of the other direction were advanced
	measured  time.Time // when it was looked what they keep
	kept      int64     // bytes of WAL
	held      int64     // bytes of WAL that the plan's source keeps for consumers whose slots could not be made
}

// advanceInterval is the time between two advances of the slots of the other direction. Each reads the
// WAL anew from the slot's restart_lsn on, which moves every 15 seconds or so (bgwriter.c,
// LOG_SNAPSHOT_INTERVAL_MS).
const advanceInterval = 15 * time.Second

type followed struct {
	name           string
	source, target *pgx.Conn
}

// slots reads our slots, and ends the upgrade when they keep too much WAL. It takes one session, and
// nothing of the target: a server that lets no more in must not put the cap out of action.
func (f *follower) slots(ctx context.Context) (slots postgres.SlotState, err error) {
	if f.control == nil {
		f.control, err = postgres.Connect(ctx, login(f.plan, f.plan.Source).In("postgres"))
		if err != nil {
			return slots, err
		}
	}
	if slots, err = postgres.ReadSlots(ctx, f.control); err != nil {
		return slots, err
	}
	f.held = slots.HeldWAL
	return slots, overCap(f.plan, slots)
}

func (f *follower) open(ctx context.Context) error {
	if f.databases != nil {
		return nil
	}
	source, target := login(f.plan, f.plan.Source), login(f.plan, f.plan.Target)
	found, err := postgres.ReplicatedDatabases(ctx, f.control)
	if err != nil {
		return err
	}
	for _, db := range found {
		f.databases = append(f.databases, followed{name: db.Name})
		last := &f.databases[len(f.databases)-1]
		if last.source, err = postgres.Connect(ctx, source.In(db.Name)); err != nil {
			return err
		}
		if last.target, err = postgres.Connect(ctx, target.In(db.Name)); err != nil {
			return err
		}
	}
	return nil
}

func (f *follower) close() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	conns := []*pgx.Conn{f.control}
	for _, db := range f.databases {
		conns = append(conns, db.source, db.target)
	}
	for _, conn := range conns {
		if conn != nil {
			_ = conn.Close(ctx)
		}
	}
	f.control, f.databases = nil, nil
}

// sample measures once. A marker is written in every database, and what the target shows tells the lag.
func (f *follower) sample(ctx context.Context) (upgrade.Lag, error) {
	slots, err := f.slots(ctx)
	if err != nil {
		return upgrade.Lag{}, err
	}
	if err := f.open(ctx); err != nil {
		return upgrade.Lag{}, err
	}
	lag := upgrade.Lag{Bytes: max(0, slots.InsertLSN.Minus(slots.FlushedLSN)), RetainedWAL: slots.RetainedWAL}
	f.idle = nil
	advance := time.Since(f.advanced) > advanceInterval
	if advance {
		f.advanced = time.Now()
	}
	for _, db := range f.databases {
		state, err := postgres.ReadSubscriptions(ctx, db.target, f.plan.Follows())
		if err != nil {
			return upgrade.Lag{}, err
		}
		if advance {
			if err := postgres.AdvanceIdleSlots(ctx, db.target, f.plan.Follows()); err != nil {
				return upgrade.Lag{}, err
			}
		}
		if !state.Working {
			f.idle = append(f.idle, db.name)
		}
		age, err := markerAge(ctx, db)
		if err != nil {
			return upgrade.Lag{}, err
		}
		lag.LagSeconds = max(lag.LagSeconds, age.Seconds())
	}
	if err := f.othersDisk(ctx); err != nil {
		return upgrade.Lag{}, err
	}
	f.trend.add(trendSample{at: time.Now(), written: slots.InsertLSN, applied: slots.FlushedLSN})
	lag.ETASeconds = f.trend.left()
	lag.WALRate, lag.ApplyRate = f.trend.rates()
	return lag, nil
}

// othersDisk refuses to go on when the slots of the other direction are about to fill the disk of the side that
// follows, which may be that of the side that serves.
func (f *follower) othersDisk(ctx context.Context) error {
	if len(f.databases) == 0 || time.Since(f.measured) < capInterval {
		return nil
	}
	kept, err := postgres.RetainedForUpgrade(ctx, f.databases[0].target)
	if err != nil {
		return err
	}
	f.measured, f.kept = time.Now(), kept
	return overFollowersDisk(f.plan, kept)
}

// markerPatience is how long a marker may take to arrive before its predecessor tells the age.
const markerPatience = 100 * time.Millisecond

// markerAge writes a marker and tells how old the newest is that the target shows.
func markerAge(ctx context.Context, db followed) (time.Duration, error) {
	number, err := postgres.AdvanceMarker(ctx, db.source)
	if err != nil {
		return 0, err
	}
	written := time.Now()
	for {
		marker, err := postgres.ReadMarker(ctx, db.target)
		if err != nil {
			return 0, err
		}
		if marker.Number >= number {
			return time.Since(written), nil
		}
		if time.Since(written) > markerPatience {
			newest, err := postgres.ReadMarker(ctx, db.source)
			return newest.At.Sub(marker.At), err // both are the source's clock
		}
		if err := sleep(ctx, 5*time.Millisecond); err != nil {
			return 0, err
		}
	}
}
