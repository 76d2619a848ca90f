package aliyun

import (
	"context"
	"fmt"
	"time"

	"github.com/pgleap/pgleap/internal/control"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// switchOverMajorVersionUpgrade switches a zero-downtime upgrade over, interrupts a switchover, or
// cancels the upgrade. The vendor grants it on resource "*" only; here the instance will do.
var switchOverMajorVersionUpgrade = action{
	name: "SwitchOverMajorVersionUpgrade", level: "update", object: byName, unscoped: true,
	clientToken: true,
	do:          switchOver,
}

func switchOver(ctx context.Context, a *api, c *call) (any, error) {
	if err := needed(c.params, instanceName, "Type"); err != nil {
		return nil, err
	}
	if err := oneOf(c.params, "Type", "Parameters.Invalid",
		string(control.VerbSwitch), string(control.VerbCancel), string(control.VerbInterrupt)); err != nil {
		return nil, err
	}
	least, greatest := int(upgrade.MinSwitchoverTimeout/time.Second), int(upgrade.MaxSwitchoverTimeout/time.Second)
	timeout, err := c.params.integer("SwitchoverTimeout", least, greatest, 0)
	if err != nil {
		return nil, err
	}
	// The one door takes the number of a task as well; the permission was given for an instance.
	instance, err := a.control.Instance(ctx, c.params.text(instanceName))
	if err != nil {
		return nil, fromRecord(err)
	}
	verb := control.Verb(c.params.text("Type"))
	if err := a.permitted(ctx, instance.ID, verb); err != nil {
		return nil, err
	}
	_, err = a.control.SwitchoverWithin(ctx, c.actor(), instance.ID, verb, time.Duration(timeout)*time.Second)
	return empty{}, err
}

// permitted refuses what pgleap itself can do, and the vendor cannot: to cancel an upgrade that prepares or switches
// over, to interrupt the way back, and to switch over while replication is interrupted. What cannot be done at all the
// one door refuses.
func (a *api) permitted(ctx context.Context, instance string, verb control.Verb) error {
	line, err := a.control.LatestTask(ctx, instance, upgrade.TaskUpgrade, "")
	if isNotFound(err) {
		return nil
	}
	if err != nil {
		return fromRecord(err)
	}
	switch task := line.Running; {
	case task == nil:
		return nil
	case verb == control.VerbSwitch && task.Mode == upgrade.ZeroDowntime && control.Interrupted(*task):
		return fail("InvalideStatus.Format", fmt.Sprintf("Task %d cannot switch over while replication may be interrupted, only be cancelled: %s",
			line.Number, fullStop(task.Progress.Text)))
	case !fits(verb, *task):
		return fail("InvalideStatus.Format", fmt.Sprintf("Task %d is in phase %q: %s is not possible now.", line.Number, task.Phase, verb))
	}
	return nil
}

// fits tells whether the vendor takes a verb in the state that an upgrade is in.
func fits(verb control.Verb, task upgrade.Task) bool {
	switch verb {
	case control.VerbCancel:
		return task.OnTarget() || // the one door says more
			task.Phase == upgrade.PhaseSynchronizing || task.Phase == upgrade.PhaseWaiting || task.Phase == upgrade.PhaseRehearsal
	case control.VerbInterrupt:
		return task.Phase != upgrade.PhaseSwitchback && !task.OnTarget()
	}
	return true
}
