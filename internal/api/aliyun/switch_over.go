package aliyun

import (
	"context"
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
	_, err = a.control.SwitchoverWithin(ctx, c.actor(), instance.ID, verb, time.Duration(timeout)*time.Second)
	return empty{}, err
}
