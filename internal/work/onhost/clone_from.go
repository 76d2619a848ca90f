package onhost

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgleap/pgleap/internal/postgres"
	"github.com/pgleap/pgleap/internal/postmaster"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// noteCloneFrom is the standby whose pg_hba.conf lets pgleap's role in, or is about to.
const noteCloneFrom note = "clone-from.json"

// catchUpWait bounds the time in which a standby that is copied must replay what the source has written
// before.
const catchUpWait = 10 * time.Minute

// maxApplyDelay is the recovery_min_apply_delay up to which a standby is copied: all that the source has written when its
// slot is made must be replayed there first.
const maxApplyDelay = time.Minute

// standbyToCopy finds the standby that the plan names, and refuses one that cannot be copied.
func (w *Worker) standbyToCopy(ctx context.Context, plan upgrade.Plan) (postmaster.LocalStandby, error) {
	standbys, err := w.host.Standbys(ctx, plan.Source)
	if err != nil {
		return postmaster.LocalStandby{}, err
	}
	refused := func(reason string) error {
		return &upgrade.Refused{
			Reason: reason, Remedy: "name a standby of this host that streams from the source and replays what comes, by its data directory or as 127.0.0.1:PORT, or none",
			Cause: upgrade.CauseOption,
		}
	}
	for _, standby := range standbys {
		if !isNamed(standby.Cluster, plan.Options.CloneFrom, isOwnHost) {
			continue
		}
		switch {
		case standby.Problem != "":
			return standby, refused(fmt.Sprintf("%s cannot be copied: %s", standby.Cluster, standby.Problem))
		case standby.Cluster.Owner != plan.Source.Owner:
			return standby, refused(fmt.Sprintf("%s belongs to %s, the source to %s", standby.Cluster, standby.Cluster.Owner, plan.Source.Owner))
		case !standby.Self.Streams || standby.Self.Port != plan.Source.Port:
			return standby, refused(fmt.Sprintf("%s does not stream from the source now", standby.Cluster))
		case standby.Self.Delay > maxApplyDelay:
			return standby, refused(fmt.Sprintf("%s is kept behind the source: its recovery_min_apply_delay is %s, and what is copied must have replayed all that the source has written",
				standby.Cluster, standby.Self.Delay))
		case standby.Self.Paused:
			return standby, refused(fmt.Sprintf("%s replays nothing: somebody has paused it (pg_wal_replay_pause)", standby.Cluster))
		}
		return standby, nil
	}
	return postmaster.LocalStandby{}, refused(fmt.Sprintf("no standby of %s is at %s on this host", plan.Source, plan.Options.CloneFrom))
}

// isNamed tells whether a user means a cluster by its data directory, or by HOST:PORT.
func isNamed(c upgrade.Cluster, name string, isOwn func(string) bool) bool {
	if filepath.IsAbs(name) {
		return filepath.Clean(name) == filepath.Clean(c.Pgdata)
	}
	host, port, err := net.SplitHostPort(name)
	return err == nil && port == strconv.Itoa(c.Port) && isOwn(host)
}

// isOwnHost tells whether a name is this host's.
func isOwnHost(name string) bool {
	if net.ParseIP(strings.Trim(name, "[]")) != nil {
		return isOwnAddress(strings.Trim(name, "[]"))
	}
	addresses, err := net.LookupHost(name)
	return err == nil && len(addresses) > 0 && isOwnAddress(addresses[0])
}

// copyProblem tells in a sentence why the plan's standby cannot be copied; nothing if none is named.
func (w *Worker) copyProblem(ctx context.Context, plan upgrade.Plan) string {
	if plan.Options.CloneFrom == "" {
		return ""
	}
	standby, err := w.standbyToCopy(ctx, plan)
	if err != nil {
		return err.Error()
	}
	var written postgres.LSN
	err = with(ctx, w.host.Login(plan.Source, "postgres"), func(conn *pgx.Conn) (err error) {
		written, err = postgres.FlushLSN(ctx, conn)
		return err
	})
	if err != nil {
		return err.Error()
	}
	if written > standby.Self.Replayed && int64(written-standby.Self.Replayed) > plan.Options.MaxRetainedWAL {
		return fmt.Sprintf("%s is %d MiB behind the source; wait until it has caught up", standby.Cluster, (written-standby.Self.Replayed)>>20)
	}
	return ""
}

// openStandby lets pgleap's role in to the standby that is copied, and waits until this has replayed all
// that the source had written when its slot was made: what follows, the slot keeps.
func (w *Worker) openStandby(ctx context.Context, plan upgrade.Plan, files files) (upgrade.Cluster, error) {
	standby, err := w.standbyToCopy(ctx, plan)
	if err != nil {
		return upgrade.Cluster{}, err
	}
	user, err := owner(plan)
	if err != nil {
		return upgrade.Cluster{}, err
	}
	if err := files.write(noteCloneFrom, standby.Cluster); err != nil {
		return upgrade.Cluster{}, err
	}
	lines, err := ourHBALines()
	if err != nil {
		return upgrade.Cluster{}, err
	}
	if err := w.setHBABlock(ctx, standby.Cluster, user, lines); err != nil {
		return upgrade.Cluster{}, err
	}
	var slotMade postgres.LSN
	err = with(ctx, login(plan, plan.Source), func(conn *pgx.Conn) (err error) {
		slotMade, err = postgres.FlushLSN(ctx, conn)
		return err
	})
	if err != nil {
		return upgrade.Cluster{}, err
	}
	return standby.Cluster, w.awaitReplay(ctx, plan, standby.Cluster, slotMade)
}

// awaitReplay waits until a standby has replayed up to an LSN. It asks as pgleap's role, which the standby lets in
// once it has replayed that this was made.
func (w *Worker) awaitReplay(ctx context.Context, plan upgrade.Plan, standby upgrade.Cluster, lsn postgres.LSN) error {
	ctx, cancel := context.WithTimeoutCause(ctx, catchUpWait, fmt.Errorf("it took longer than %s", catchUpWait))
	defer cancel()
	for {
		var self postgres.StandbySelf
		err := with(ctx, login(plan, standby), func(conn *pgx.Conn) (err error) {
			self, err = postgres.AskStandby(ctx, conn)
			return err
		})
		switch {
		case err == nil && !self.InRecovery:
			return &upgrade.Refused{Reason: fmt.Sprintf("%s is no longer a standby", standby), Remedy: "name another one, or none", Cause: upgrade.CauseOption}
		case err == nil && self.Replayed >= lsn:
			return nil
		}
		progressOf(ctx).text(fmt.Sprintf("waiting until the standby that is copied has replayed up to LSN %s", lsn))
		if sleep(ctx, 200*time.Millisecond) != nil {
			return fmt.Errorf("%s has not replayed up to LSN %s: %w", standby, lsn, errors.Join(context.Cause(ctx), err))
		}
	}
}

// closeStandby takes back what openStandby did. Nothing to do if it was not called.
func (w *Worker) closeStandby(ctx context.Context, plan upgrade.Plan, files files) error {
	var standby upgrade.Cluster
	if found, err := files.read(noteCloneFrom, &standby); !found || err != nil {
		return err
	}
	user, err := owner(plan)
	if err != nil {
		return err
	}
	if err := w.setHBABlock(ctx, standby, user, nil); err != nil {
		return err
	}
	return files.remove(noteCloneFrom)
}
