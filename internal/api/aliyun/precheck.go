package aliyun

import (
	"context"
	"strconv"

	"github.com/pgleap/pgleap/internal/control"
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
	task, err := a.control.Precheck(ctx, c.actor(), control.UpgradeRequest{Instance: id, Target: target, Mode: mode})
	if err != nil {
		return nil, a.targetRefused(ctx, id, target, err)
	}
	return precheckStarted{
		DBInstanceName:     id,
		TargetMajorVersion: majorText(target),
		TaskID:             strconv.FormatInt(task.Number, 10),
	}, nil
}
