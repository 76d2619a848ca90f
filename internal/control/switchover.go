package control

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"go.temporal.io/api/serviceerror"

	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/internal/upgrade/step"
)

// Verb is what can be said of a switchover.
type Verb string

// The verbs.
const (
	VerbSwitch    Verb = "switch"    // start it
	VerbRehearse  Verb = "rehearse"  // carry it out up to the move, and resume on the source
	VerbInterrupt Verb = "interrupt" // abort this attempt, back to synchronizing
	VerbCancel    Verb = "cancel"    // abandon the upgrade
	VerbBack      Verb = "back"      // bring clients back to the source, after a switchover; without replication only while nothing was written
	VerbFinish    Verb = "finish"    // give up the way back, and end the upgrade
)

// SwitchoverWithin passes a verb on to the running upgrade of an instance, or to the upgrade of that
// number, and returns its task. The outcome shows in the task later. A timeout is the switchoverTimeout
// of this attempt; 0: as planned.
func (c *Control) SwitchoverWithin(ctx context.Context, who Actor, instanceOrNumber string, verb Verb, timeout time.Duration) (_ upgrade.Task, err error) {
	defer func() { c.audit(ctx, who, "switchover "+string(verb), instanceOrNumber, err) }()
	if _, ok := signals[verb]; !ok {
		return upgrade.Task{}, &Invalid{
			Reason: fmt.Sprintf("verb %q is unknown", verb),
			Remedy: fmt.Sprintf("say %q, %q, %q, %q, %q or %q", VerbSwitch, VerbRehearse, VerbInterrupt, VerbCancel, VerbBack, VerbFinish),
		}
	}
	if timeout != 0 && (timeout < upgrade.MinSwitchoverTimeout || timeout > upgrade.MaxSwitchoverTimeout) {
		return upgrade.Task{}, &Invalid{
			Reason: fmt.Sprintf("switchoverTimeout %s is out of range", timeout),
			Remedy: fmt.Sprintf("choose between %s and %s", upgrade.MinSwitchoverTimeout, upgrade.MaxSwitchoverTimeout),
			Cause:  upgrade.CauseOption,
		}
	}
	if verb == VerbBack {
		task, is, err := c.returnable(ctx, instanceOrNumber)
		if err != nil {
			return upgrade.Task{}, ofRecord(err)
		}
		if is {
			return c.goBack(ctx, who, task, timeout)
		}
	}
	return c.say(ctx, instanceOrNumber, verb, step.SwitchRequest{Timeout: timeout})
}

// Finish gives up the way back of an upgrade that has switched over, and ends it. If the source is to be
// retired it is stopped for good; its data stay where they are.
func (c *Control) Finish(ctx context.Context, who Actor, instanceOrNumber string, retire bool) (_ upgrade.Task, err error) {
	defer func() { c.audit(ctx, who, "finish", instanceOrNumber, err) }()
	return c.say(ctx, instanceOrNumber, VerbFinish, step.FinishRequest{Retire: retire})
}

// say passes a verb on to the upgrade of an instance, or of a number, if it fits.
func (c *Control) say(ctx context.Context, instanceOrNumber string, verb Verb, payload any) (upgrade.Task, error) {
	task, err := c.upgradeOf(ctx, instanceOrNumber)
	if err != nil {
		return upgrade.Task{}, err
	}
	return c.sayTo(ctx, task, verb, payload)
}

// sayTo passes a verb on to an upgrade, if it fits.
func (c *Control) sayTo(ctx context.Context, task upgrade.Task, verb Verb, payload any) (upgrade.Task, error) {
	if err := verb.allowed(task); err != nil {
		return upgrade.Task{}, err
	}
	signal := signals[verb]
	err := c.temporal.SignalWorkflow(ctx, step.UpgradeWorkflowID(task.Number), "", signal, payload)
	if _, gone := errors.AsType[*serviceerror.NotFound](err); gone {
		return upgrade.Task{}, &Conflict{Reason: fmt.Sprintf("task %d has just ended", task.Number), Cause: upgrade.CausePhase}
	}
	if err != nil {
		return upgrade.Task{}, noEngine(fmt.Errorf("signal %s to upgrade %d: %w", signal, task.Number, err))
	}
	return task, nil
}

// signals are the workflow's words for the verbs.
var signals = map[Verb]string{
	VerbSwitch: step.SignalSwitch, VerbRehearse: step.SignalRehearse, VerbInterrupt: step.SignalInterrupt, VerbCancel: step.SignalCancel,
	VerbBack: step.SignalBack, VerbFinish: step.SignalFinish,
}

// upgradeOf finds the running upgrade of an instance, or else the task of that number.
func (c *Control) upgradeOf(ctx context.Context, instanceOrNumber string) (upgrade.Task, error) {
	_, err := c.catalog.Instance(ctx, instanceOrNumber)
	if _, none := errors.AsType[*upgrade.NotFound](err); none {
		if number, notNumber := strconv.ParseInt(instanceOrNumber, 10, 32); notNumber == nil {
			return c.catalog.Task(ctx, number)
		}
	}
	if err != nil {
		return upgrade.Task{}, err
	}
	running, err := c.catalog.Tasks(ctx, TaskFilter{
		Instance: instanceOrNumber, Kind: upgrade.TaskUpgrade, Status: upgrade.StatusRunning,
	})
	if err != nil {
		return upgrade.Task{}, err
	}
	if len(running) > 0 {
		return running[0], nil
	}
	return upgrade.Task{}, &Conflict{
		Cause:  upgrade.CausePhase,
		Reason: fmt.Sprintf("no upgrade of instance %s is running", instanceOrNumber),
		Remedy: fmt.Sprintf("start one with `pgleap upgrade %s`", instanceOrNumber),
	}
}

// allowed tells whether the verb fits the phase that the upgrade is in. It spares the user a
// verb without effect; the workflow decides itself, for the phase may change at any time.
func (v Verb) allowed(task upgrade.Task) error {
	refuse := func(why, remedy string) error {
		return &Conflict{Reason: fmt.Sprintf("task %d %s", task.Number, why), Remedy: remedy, Cause: upgrade.CausePhase}
	}
	in := fmt.Sprintf("is in phase %q", task.Phase)
	instance := task.Instance
	wayBack := v == VerbBack || v == VerbFinish
	switch {
	case task.Kind != upgrade.TaskUpgrade:
		return refuse("is a precheck: it has no switchover", "")
	case task.Status.Ended():
		return refuse(fmt.Sprintf("is not running: it has ended (%s)", task.Status), "")
	case v == VerbBack && task.Mode == upgrade.BlueGreen && task.OnTarget():
		return refuse(in, "say it again when the upgrade has ended; clients can go back until something is written on the target")
	case v == VerbBack && task.Mode == upgrade.BlueGreen:
		return refuse("has not switched over: applications are on the source", "")
	case (wayBack || v == VerbRehearse) && task.Mode != upgrade.ZeroDowntime:
		return refuse(fmt.Sprintf("is of mode %s, in which neither side follows the other: what clients wrote on the target would be lost with it", task.Mode),
			"see the documentation of that mode for what can be undone")
	case task.Phase == upgrade.PhaseFinishing:
		return refuse("has switched, and is being finished: applications are on the target", "")
	case wayBack && !task.OnTarget():
		return refuse("has not switched over: applications are on the source", "")
	case wayBack && task.Phase != upgrade.PhaseFollowing:
		return refuse(in, fmt.Sprintf("wait until it is %q", upgrade.PhaseFollowing))
	case (v == VerbSwitch || v == VerbCancel) && task.OnTarget():
		return refuse("has switched already: applications are on the target",
			fmt.Sprintf("go back with `pgleap switchover %s back`, or give the way back up with `pgleap finish %s`", instance, instance))
	case v == VerbRehearse && task.Phase == upgrade.PhaseFollowing:
		return nil
	case v == VerbSwitch && task.Phase == upgrade.PhaseWaiting:
		return nil
	case (v == VerbSwitch || v == VerbRehearse) && task.Phase != upgrade.PhaseSynchronizing:
		return refuse(in, fmt.Sprintf("wait until it is %q", upgrade.PhaseSynchronizing))
	case v == VerbSwitch && task.Rehearsal != nil && task.Rehearsal.Difference() != nil:
		return refuse("must not switch: a rehearsal found that source and target differ, and none has found them identical since: "+task.Rehearsal.Difference().String(),
			"see `pgleap task show "+strconv.FormatInt(task.Number, 10)+"`, then rehearse again, or cancel the upgrade")
	case v == VerbInterrupt && !slices.Contains([]upgrade.Phase{upgrade.PhaseSwitchover, upgrade.PhaseSwitchback, upgrade.PhaseRehearsal}, task.Phase):
		return refuse(in+": there is no switchover to interrupt", "")
	case v == VerbCancel && task.Phase == upgrade.PhaseCleanup:
		return refuse("is being cleaned up already", "")
	}
	return nil
}
