package flow

import (
	"go.temporal.io/sdk/workflow"

	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/internal/upgrade/step"
)

// ZeroDowntime upgrades an instance while it serves. Whatever fails while clients are at the source
// ends with the source as it was; whatever fails while they are at the target leaves them there. They
// can go to and fro until the upgrade is finished.
func ZeroDowntime(ctx workflow.Context, plan upgrade.Plan) (upgrade.Outcome, error) {
	t := newTask(ctx, plan)
	if t.isOver(ctx) {
		return neverBegun()
	}
	t.knowStandbys(ctx)
	work := t.untilCancelled(ctx)
	if err := t.towardsTarget(work); err != nil {
		return t.giveUp(ctx, err)
	}
	for {
		switched, err := t.synchronizeAndSwitch(work)
		if switched == nil {
			return t.giveUp(ctx, err)
		}
		if !t.returns {
			return t.complete(ctx, *switched)
		}
		back, err := t.follow(ctx)
		if back == nil {
			t.orTell(ctx, err)
			return t.finish(ctx, *switched)
		}
		work = t.work
		t.backAtSource(ctx, work)
	}
}

// towardsTarget is the upgrade up to the time when the target follows the source.
func (t *task) towardsTarget(ctx workflow.Context) error {
	// Upgrades that were started by an older program end with the switchover.
	t.refreshes = workflow.GetVersion(ctx, "switchback", workflow.DefaultVersion, 1) >= 1
	t.returns = t.refreshes && !t.plan.Options.SkipSwitchback
	if err := t.precheck(ctx); err != nil {
		return err
	}
	if err := t.phase(ctx, upgrade.PhasePrepare, step.PrepareSource); err != nil {
		return err
	}
	if err := t.phase(ctx, upgrade.PhaseBaseBackup, step.BaseBackup, step.StreamClone); err != nil {
		return err
	}
	handover, err := t.handOver(ctx)
	if err != nil {
		return err
	}
	if err := t.phase(ctx, upgrade.PhaseUpgrade, step.InitTarget, step.PgUpgrade); err != nil {
		return err
	}
	return t.subscribe(ctx, handover)
}

// precheck looks for everything that would stop the upgrade later. It is light, so it is always
// carried out, even if there is a report.
func (t *task) precheck(ctx workflow.Context) error {
	t.enter(ctx, upgrade.PhasePrecheck)
	var report upgrade.Report
	args := step.PrecheckArgs{Number: t.plan.Number, ID: t.plan.ID, Plan: t.plan}
	if err := t.onHost(ctx, step.Precheck, args, &report); err != nil {
		return err
	}
	if err := t.onServer(ctx, step.SaveReport, report); err != nil {
		return err
	}
	return blocked(report)
}

// handOver makes the slots and lets the clone recover to the exact LSN that follows from them.
func (t *task) handOver(ctx workflow.Context) (step.Handover, error) {
	t.enter(ctx, upgrade.PhaseHandover)
	var handover step.Handover
	if err := t.onHost(ctx, step.CreateSlots, t.plan, &handover); err != nil {
		return handover, err
	}
	t.record(ctx, handover.Events...)
	return handover, t.do(ctx, step.PromoteClone, step.HandoverArgs{Plan: t.plan, Handover: handover})
}

// subscribe starts the target and lets it follow the source from the hand-over LSN on. Statistics
// are collected now if the switchover is to wait for them.
func (t *task) subscribe(ctx workflow.Context, handover step.Handover) error {
	t.enter(ctx, upgrade.PhaseSubscribe)
	if err := t.do(ctx, step.StartTarget, t.plan); err != nil {
		return err
	}
	if err := t.do(ctx, step.Subscribe, step.HandoverArgs{Plan: t.plan, Handover: handover}); err != nil {
		return err
	}
	if err := t.do(ctx, step.UpdateExtensions, t.plan); err != nil {
		return err
	}
	if t.plan.Options.Statistics == upgrade.StatisticsBefore {
		if err := t.do(ctx, step.CollectStatistics, t.plan); err != nil {
			return err
		}
	}
	if t.returns {
		if err := t.do(ctx, step.PrepareWayBack, t.plan); err != nil {
			return err
		}
	}
	return t.buildStandbys(ctx)
}

// complete is what follows a switchover without a way back. Clients are on the target: nothing here
// can change the outcome, and what cannot be done is told.
func (t *task) complete(ctx workflow.Context, switched upgrade.Switchover) (upgrade.Outcome, error) {
	t.enter(ctx, upgrade.PhaseFinishing)
	comparing := t.verifySwitchover(ctx, t.plan)
	t.moveInstance(ctx)
	t.orTell(ctx, t.do(ctx, step.FenceForGood, t.plan))
	if t.plan.Options.Statistics == upgrade.StatisticsAfter {
		t.orTell(ctx, t.do(ctx, step.CollectStatistics, t.plan))
	}
	if comparing != nil {
		t.recordVerification(ctx, comparing.result(ctx)) // it is done as the role that Finish removes
	}
	_, err := t.finishOnHost(ctx)
	t.orTell(ctx, err)
	t.completeStandbys(ctx)
	return t.end(ctx, upgrade.Outcome{Status: upgrade.StatusSucceeded, Switchover: &switched})
}

// finish ends an upgrade whose way back is given up.
func (t *task) finish(ctx workflow.Context, switched upgrade.Switchover) (upgrade.Outcome, error) {
	if t.current != upgrade.PhaseFinishing { // else the way back is closed already
		t.enter(ctx, upgrade.PhaseFinishing)
	}
	_, err := t.finishOnHost(ctx)
	t.completeStandbys(ctx)
	if err == nil && t.finishing.Retire {
		err = t.retireSource(ctx)
	}
	t.orTell(ctx, err)
	return t.end(ctx, upgrade.Outcome{Status: upgrade.StatusSucceeded, Switchover: &switched})
}

// retireSource stops the source for good. Its data stay where they are.
func (t *task) retireSource(ctx workflow.Context) error {
	if err := t.do(ctx, step.RetireCluster, t.plan.Source); err != nil {
		return err
	}
	return t.onServer(ctx, step.RetireFormer, t.plan.Number)
}

// moveInstance records that the instance is at the target, and what it was before.
func (t *task) moveInstance(ctx workflow.Context) {
	t.orTell(ctx, t.post(ctx, step.MoveInstance, step.MoveInstanceArgs{
		Instance: t.plan.Instance, Cluster: t.plan.Target, Endpoint: t.plan.Endpoint,
		Number: t.plan.Number, Former: &t.plan.Source,
	}))
	t.moved = true
	t.recordFindings(ctx)
}

// finishOnHost removes what the replication needed, and records the target as it is then.
func (t *task) finishOnHost(ctx workflow.Context) (finished step.FinishResult, err error) {
	if err := t.onHost(ctx, step.Finish, t.plan, &finished); err != nil {
		return finished, err
	}
	t.record(ctx, finished.Events...)
	return finished, t.post(ctx, step.MoveInstance, step.MoveInstanceArgs{
		Instance: t.plan.Instance, Cluster: finished.Cluster, Endpoint: finished.Endpoint,
		Number: t.plan.Number, Former: &t.plan.Source,
	})
}

// giveUp undoes everything. The source serves as it did before.
func (t *task) giveUp(ctx workflow.Context, reason error) (upgrade.Outcome, error) {
	outcome := upgrade.Outcome{Status: upgrade.StatusFailed, Reason: sentence(reason)}
	if t.cancelled {
		outcome = upgrade.Outcome{Status: upgrade.StatusCancelled, Reason: "cancelled by the user"}
	}
	t.enter(ctx, upgrade.PhaseCleanup)
	t.tell(ctx, upgrade.LevelError, outcome.Reason)
	t.orTell(ctx, t.do(ctx, step.Discard, t.plan))
	return t.end(ctx, outcome)
}
