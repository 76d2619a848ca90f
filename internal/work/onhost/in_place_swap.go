package onhost

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/pgleap/pgleap/internal/pgbin"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// hasSwapped tells whether swap has begun to move the source's files: pg_upgrade takes the name of pg_control away
// right before (pg_upgrade.c, main). A .old beside pg_control is of an earlier upgrade, which was undone by a copy.
func (s *settlement) hasSwapped() bool {
	return s.intent.Prepared.Chosen.Transfer == pgbin.TransferSwap && isDisabled(s.plan.Source.Pgdata)
}

// awaitSwap lets a pg_upgrade that was to swap come to its end, however far it is: it may begin to move the
// files between any look at them and a signal, and from then on its end is the only way there is. It tells
// whether the target is complete.
func (s *settlement) awaitSwap(ctx context.Context) (bool, error) {
	for isUpgraded(s.plan.Target.Pgdata) {
		progressOf(ctx).text("waiting for pg_upgrade, which may be moving the source's files (transfer swap)")
		if err := sleep(ctx, 200*time.Millisecond); err != nil {
			return false, fmt.Errorf("wait for pg_upgrade, which may be moving the source's files: %w", err)
		}
	}
	if !(pgbin.PgUpgrade{NewPgdata: s.plan.Target.Pgdata}).Completed() {
		return false, nil
	}
	as, err := s.caller(s.plan, "pg_controldata")
	if err != nil {
		return false, err
	}
	if err := s.carrySettingsOfAllRoles(ctx, s.plan, as, s.intent.OfAllRoles); err != nil { // there is nothing else to start
		s.log.WarnContext(ctx, "set by hand what ALTER ROLE ALL SET had set", "task", s.plan.Number, "error", err)
	}
	control, err := pgbin.PgControldata(ctx, as, s.plan.Target.Bindir, s.plan.Target.Pgdata)
	if err != nil || control.State != pgbin.StateShutDown {
		return false, err
	}
	return true, s.journal.write(outageRecord{Stage: outageStarting, Checkpoint: control.CheckpointLSN})
}

// isUpgraded tells whether some pg_upgrade, or one of its children, works on a data directory as its new one, or the
// single-user server that comes after it. It goes by the command lines: an agent that died as soon as it had started
// one has left no pidfile.
func isUpgraded(pgdata string) bool {
	for _, args := range commandLines() {
		if slices.Contains(args, "--new-datadir="+pgdata) || slices.Contains(args, "--single") && slices.Contains(args, pgdata) {
			return true
		}
	}
	return false
}

// giveUp ends an outage in which swap was cut short. Nothing is removed of what may be all that there is.
func (s *settlement) giveUp(ctx context.Context, reason string) (upgrade.Switchover, error) {
	outcome := s.outcome()
	if reason == agentDied {
		reason = "the agent that upgraded it died in the middle"
	}
	outcome.Reason = fmt.Sprintf("%s. pg_upgrade was cut short while it moved files (transfer swap): neither %s nor %s can be started; "+
		"restore the instance from a backup. Both data directories are left as they are", reason, s.plan.Source.Pgdata, s.plan.Target.Pgdata)
	if err := s.release(ctx); err != nil {
		s.log.WarnContext(ctx, "clients of an instance that is lost are still held", "error", err)
	}
	return outcome, s.journal.write(outageRecord{Stage: outageLost, Outcome: &outcome})
}
