package onhost

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/pgleap/pgleap/internal/pgbin"
	"github.com/pgleap/pgleap/internal/run"
	"github.com/pgleap/pgleap/internal/switchover"
	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/internal/upgrade/step"
)

// retireTimeout is for all together, and shorter than what whoever asks waits for an answer. Only pgleap's fence has let
// anybody in since the switchover, so there is nothing to wait for.
const retireTimeout = 25 * time.Second

// RetireCluster stops a former cluster and those standbys of it that run on this host. Their data
// directories stay as they are. One that is down, or whose directory is gone, is retired already.
func (w *Worker) RetireCluster(ctx context.Context, c upgrade.Cluster) (step.Done, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, retireTimeout, fmt.Errorf("it took longer than %s; ask again", retireTimeout))
	defer cancel()
	end, ok := w.fates.begin(c, isRetired)
	if !ok {
		return step.Done{}, &upgrade.Refused{
			Reason: fmt.Sprintf("clients are being brought back to %s", c),
			Remedy: "wait until that has ended", Cause: upgrade.CauseServing,
		}
	}
	defer end()
	done, err := w.stopFormer(ctx, c)
	if err != nil {
		return done, err
	}
	events, err := w.stopStandbysOf(ctx, c)
	done.Events = append(done.Events, events...)
	return done, err
}

// stopStandbysOf stops the standbys of a former cluster: nothing comes to them any more.
func (w *Worker) stopStandbysOf(ctx context.Context, c upgrade.Cluster) ([]upgrade.Event, error) {
	standbys, err := w.host.Standbys(ctx, c)
	if err != nil {
		return nil, err
	}
	var events []upgrade.Event
	for _, standby := range standbys {
		follows, err := followsPort(standby, c.Port, isOwnSender)
		if err != nil {
			return events, err
		}
		if !follows {
			events = append(events, w.say(ctx, upgrade.LevelWarning, fmt.Sprintf("%s is of the same system as %s, and is left as it is", standby.Cluster, c)))
			continue
		}
		if err := w.stopForGood(ctx, standby.Cluster); err != nil {
			return events, fmt.Errorf("retire a standby of %s: %w", c, err)
		}
		events = append(events, w.say(ctx, upgrade.LevelInfo, fmt.Sprintf("its standby %s is stopped for good; its data are in %s as they were", standby.Cluster, standby.Cluster.Pgdata)))
	}
	return events, nil
}

// timeLeft is the time until the deadline of ctx, a second at least.
func timeLeft(ctx context.Context) time.Duration {
	deadline, ok := ctx.Deadline()
	if !ok {
		return retireTimeout
	}
	return max(time.Until(deadline), time.Second)
}

func (w *Worker) stopFormer(ctx context.Context, c upgrade.Cluster) (step.Done, error) {
	if _, err := os.Stat(filepath.Join(c.Pgdata, "PG_VERSION")); errors.Is(err, fs.ErrNotExist) {
		return w.info(ctx, fmt.Sprintf("the data directory %s is gone already", c.Pgdata)), nil
	}
	if _, running := w.host.Running(c); !running {
		if err := w.keepFormerDown(ctx, c); err != nil {
			return step.Done{}, err
		}
		return w.info(ctx, fmt.Sprintf("%s does not run; its data are in %s as they were", c, c.Pgdata)), nil
	}
	if err := w.refuseOtherCluster(ctx, c); err != nil {
		return step.Done{}, err
	}
	if err := w.refuseServing(c); err != nil {
		return step.Done{}, err
	}
	if err := w.refusePutBack(c); err != nil {
		return step.Done{}, err
	}
	if err := w.stopForGood(ctx, c); err != nil {
		return step.Done{}, fmt.Errorf("retire %s: %w", c, err)
	}
	return w.info(ctx, fmt.Sprintf("%s is stopped for good; its data are in %s as they were", c, c.Pgdata)), nil
}

// stopForGood stops a cluster that is not started with the system any more, and leaves the directory of its sockets to
// whoever else has its sockets there. One that cannot be stopped is started with the system as before.
func (w *Worker) stopForGood(ctx context.Context, c upgrade.Cluster) error {
	putBack, err := w.noteBoot(ctx, c)
	if err != nil {
		return err
	}
	err = w.keepDown(ctx, c)
	if err == nil {
		err = w.host.KeepRuntime(ctx, c)
	}
	if err == nil {
		err = w.host.Stop(ctx, c, pgbin.StopFast, timeLeft(ctx))
	}
	if err != nil {
		return errors.Join(err, putBack(context.WithoutCancel(ctx)))
	}
	return nil
}

// noteBoot returns what has a cluster started with the system as it is now.
func (w *Worker) noteBoot(ctx context.Context, c upgrade.Cluster) (putBack func(context.Context) error, err error) {
	user, err := run.LookupUser(c.Owner)
	if err != nil {
		return nil, &upgrade.Refused{Reason: err.Error()}
	}
	conf, err := readBoot(c)
	if err != nil {
		return nil, err
	}
	boots, err := w.host.Boots(ctx, c)
	return func(ctx context.Context) error {
		err := restoreBoot(c, conf, user)
		if boots {
			err = errors.Join(err, w.host.SetBoot(ctx, c, true))
		}
		w.host.HeedStartConf(ctx, c)
		return err
	}, err
}

// keepFormerDown keeps a former cluster that is down from coming back with the system. A directory that another cluster
// has moved into is that one's.
func (w *Worker) keepFormerDown(ctx context.Context, c upgrade.Cluster) error {
	if err := w.refuseServing(c); err != nil {
		return err
	}
	// What has no pg_control, since an upgrade in place has taken it away, cannot be asked whose it is: nobody else's then.
	if upgrade.CauseOf(w.refuseOtherCluster(ctx, c)) == upgrade.CauseServing {
		return nil
	}
	if err := w.refusePutBack(c); err != nil { // it may be down for a moment only
		return err
	}
	return w.keepDown(ctx, c)
}

// keepDown has a cluster not started with the system any more.
func (w *Worker) keepDown(ctx context.Context, c upgrade.Cluster) error {
	user, err := run.LookupUser(c.Owner)
	if err != nil {
		return &upgrade.Refused{Reason: err.Error()}
	}
	err = errors.Join(setBoot(c, notAtBoot, user), w.host.SetBoot(ctx, c, false))
	w.host.HeedStartConf(ctx, c)
	if err != nil {
		return fmt.Errorf("retire %s: %w", c, err)
	}
	return nil
}

// refuseServing refuses a cluster that clients are on, or may be about to come to: a switchback may have begun
// since whoever asks has looked. The journals know; none begins afterwards, see fates.
func (w *Worker) refuseServing(c upgrade.Cluster) error {
	last, err := w.lastSwitchoverOf(c)
	if err != nil || last.Stage != switchover.StageDone || last.Intent.Plan.Target.Pgdata != c.Pgdata {
		return err
	}
	left, err := w.leftInPlace(c)
	if err == nil && left.Stage != outageDone {
		return &upgrade.Refused{
			Reason: fmt.Sprintf("upgrade %d has led clients to %s, and nothing has led them away since", last.Intent.Plan.Number, c),
			Remedy: "retire the cluster that clients have left", Cause: upgrade.CauseServing,
		}
	}
	return err
}

// lastSwitchoverOf is the last switchover that led clients to a cluster or away from it. It refuses while one is under
// way.
func (w *Worker) lastSwitchoverOf(c upgrade.Cluster) (last switchover.State, err error) {
	journals, err := w.journals("*")
	if err != nil {
		return last, err
	}
	for _, journal := range journals {
		state, err := journal.Read()
		if err != nil {
			return last, err
		}
		plan := state.Intent.Plan
		if plan.Source.Pgdata != c.Pgdata && plan.Target.Pgdata != c.Pgdata {
			continue
		}
		if state.Stage != switchover.StageNone && !state.Stage.Ended() {
			return last, &upgrade.Refused{
				Reason: fmt.Sprintf("a switchover of upgrade %d is under way, from %s to %s", plan.Number, plan.Source, plan.Target),
				Remedy: "wait until it has ended", Cause: upgrade.CauseServing,
			}
		}
		if state.Stage == switchover.StageDone && !state.Outcome.EndedAt.Before(last.Outcome.EndedAt) {
			last = state
		}
	}
	return last, nil
}

// leftInPlace is the last outage by which clients have left a cluster; one without a stage if there was none.
func (w *Worker) leftInPlace(c upgrade.Cluster) (last outageState, err error) {
	paths, err := w.outages()
	if err != nil {
		return last, err
	}
	for _, path := range paths {
		state, err := readOutage(path)
		if err != nil {
			return last, err
		}
		if state.Stage == outageDone && state.Intent.Plan.Source.Pgdata == c.Pgdata && !state.Outcome.EndedAt.Before(last.Outcome.EndedAt) {
			last = state
		}
	}
	return last, nil
}

// refusePutBack refuses a cluster that was upgraded in place, and that somebody has put back by hand since: an upgrade in
// place takes its pg_control's name away, and nothing of pgleap's gives it back afterwards. It may be what serves.
func (w *Worker) refusePutBack(c upgrade.Cluster) error {
	left, err := w.leftInPlace(c)
	if err != nil || left.Stage != outageDone {
		return err
	}
	if _, err := os.Stat(controlFile(c.Pgdata)); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	last, err := w.lastSwitchoverOf(c)
	if err != nil || last.Outcome.EndedAt.After(left.Outcome.EndedAt) { // it is known by that, see refuseServing
		return err
	}
	return &upgrade.Refused{
		Reason: fmt.Sprintf("%s was put back by hand since upgrade %d: its global/pg_control has its name again", c, left.Intent.Plan.Number),
		Remedy: fmt.Sprintf("if clients are on it, leave it, and have the instance recorded anew (pgleap instance remove, pgleap instance add); "+
			"if nobody is, stop it and rename global/pg_control in %s to pg_control.old", c.Pgdata),
		Cause: upgrade.CauseServing,
	}
}

// refuseOtherCluster refuses a data directory that another cluster has moved into meanwhile.
func (w *Worker) refuseOtherCluster(ctx context.Context, c upgrade.Cluster) error {
	user, err := run.LookupUser(c.Owner)
	if err != nil {
		return &upgrade.Refused{Reason: err.Error()}
	}
	control, err := pgbin.PgControldata(ctx, pgbin.Caller{Runner: w.runner, As: user}, c.Bindir, c.Pgdata)
	if err != nil {
		return fmt.Errorf("retire %s: %w", c, err)
	}
	if now := control.SystemIdentifier; now != c.SystemIdentifier {
		return &upgrade.Refused{
			Reason: fmt.Sprintf("the data directory %s holds another cluster now: its system identifier is %s, not %s", c.Pgdata, now, c.SystemIdentifier),
			Remedy: "see what uses it; pgleap leaves it alone",
			Cause:  upgrade.CauseServing,
		}
	}
	return nil
}
