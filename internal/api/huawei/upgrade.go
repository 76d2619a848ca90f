package huawei

import (
	"context"

	"github.com/pgleap/pgleap/internal/control"
	"github.com/pgleap/pgleap/internal/upgrade"
)

type upgradeStarted struct {
	JobID string `json:"job_id"`
}

// upgrade starts a blue-green upgrade. It switches over by itself if the upgraded cluster is to take over
// the private IP address, and makes a clone beside the instance if not.
func (a *api) upgrade(ctx context.Context, c *call, instance upgrade.Instance) (any, error) {
	want, bad := decodeUpgrade(c.body)
	if bad != nil {
		return nil, bad
	}
	options := upgrade.Options{Statistics: want.statistics, Switch: upgrade.SwitchAuto}
	if !want.changePrivateIP {
		options.Switch, options.CloneOnly = upgrade.SwitchManual, true
	}
	task, err := a.control.Upgrade(ctx, c.actor(), control.UpgradeRequest{
		Instance: instance.ID, Target: want.target, Mode: upgrade.BlueGreen, RequireReport: true,
		Options: options,
	})
	if err != nil {
		return nil, err
	}
	return upgradeStarted{JobID: task.ID}, nil
}
