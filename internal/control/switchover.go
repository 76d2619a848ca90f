package control

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"go.temporal.io/api/serviceerror"

	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/internal/upgrade/step"
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
	if err := c.refuseForeign(task); err != nil {
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
		Remedy: fmt.Sprintf("start one with `pgleap upgrade %s --to VERSION`", instanceOrNumber),
	}
}
