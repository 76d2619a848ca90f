package aliyun

import (
	"context"
	"strconv"

	"github.com/pgleap/pgleap/internal/control"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// upgradeDBInstanceMajorVersionPrecheck starts a precheck.
var upgradeDBInstanceMajorVersionPrecheck = action{
	name: "UpgradeDBInstanceMajorVersionPrecheck", level: "get", object: byID,
	required: []string{instanceID, "TargetMajorVersion"},
	do:       startPrecheck,
}

// precheckStarted is the answer. TaskId is text here, and a number in the list of prechecks.
type precheckStarted struct {
	DBInstanceName     string
	TargetMajorVersion string
	TaskID             string `json:"TaskId"`
}

func startPrecheck(ctx context.Context, a *api, c *call) (any, error) {
	mode, err := requestedMode(c.params)
	if err != nil {
		return nil, err
	}
	target, err := requestedTarget(c.params)
	if err != nil {
		return nil, err
	}
	id := c.params.text(instanceID)
	request := control.UpgradeRequest{Instance: id, Target: target, Mode: mode}
	// Whether clients are to be moved is not said before the upgrade. Without an endpoint they cannot be.
	if instance, err := a.control.Instance(ctx, id); err == nil && mode == upgrade.BlueGreen {
		request.Options.CloneOnly = instance.Endpoint.Driver == ""
	}
	task, err := a.control.Precheck(ctx, c.actor(), request)
	if err != nil {
		return nil, a.targetRefused(ctx, id, target, err)
	}
	return precheckStarted{
		DBInstanceName:     id,
		TargetMajorVersion: majorText(target),
		TaskID:             strconv.FormatInt(task.Number, 10),
	}, nil
}
