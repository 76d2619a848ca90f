package huawei

import (
	"context"

	"github.com/pgleap/pgleap/internal/control"
	"github.com/pgleap/pgleap/internal/upgrade"
)

type inspectionStarted struct {
	ReportID string `json:"report_id"`
}

// inspect starts a precheck for the way this vendor upgrades, which is blue-green.
func (a *api) inspect(ctx context.Context, c *call, instance upgrade.Instance) (any, error) {
	target, bad := decodeInspection(c.body)
	if bad != nil {
		return nil, bad
	}
	task, err := a.control.Precheck(ctx, c.actor(), control.UpgradeRequest{
		Instance: instance.ID, Target: target, Mode: upgrade.BlueGreen,
		// Whether clients are to be moved is not said before the upgrade. Without an endpoint they cannot be.
		Options: upgrade.Options{CloneOnly: instance.Endpoint.Driver == ""},
	})
	if err != nil {
		return nil, err
	}
	return inspectionStarted{ReportID: task.ID}, nil
}
