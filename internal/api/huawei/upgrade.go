package huawei

import (
	"context"

	"github.com/pgleap/pgleap/internal/control"
	"github.com/pgleap/pgleap/internal/upgrade"
)

type upgradeStarted struct {
	JobID string `json:"job_id"`
}

// upgrade starts a blue-green upgrade that switches over by itself. An upgrade that leaves the
// clients where they are is refused rather than turned into one that moves them.
func (a *api) upgrade(ctx context.Context, c *call, instance upgrade.Instance) (any, error) {
	want, bad := decodeUpgrade(c.body)
	if bad != nil {
		return nil, bad
	}
	if !want.changePrivateIP {
		return nil, refuse(codeUnsupported, msgCloneUnavailable)
	}
	task, err := a.control.Upgrade(ctx, c.actor(), control.UpgradeRequest{
		Instance: instance.ID, Target: want.target, Mode: upgrade.BlueGreen, RequireReport: true,
		Options: upgrade.Options{Statistics: want.statistics, Switch: upgrade.SwitchAuto},
	})
	if err != nil {
		return nil, err
	}
	return upgradeStarted{JobID: task.ID}, nil
}
