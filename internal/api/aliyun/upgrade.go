package aliyun

import (
	"context"
	"fmt"
	"strconv"

	"github.com/pgleap/pgleap/internal/control"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// upgradeDBInstanceMajorVersion starts an upgrade. The vendor's metadata requires neither the
// instance nor the version, which is why their absence has another code than elsewhere.
var upgradeDBInstanceMajorVersion = action{
	name: "UpgradeDBInstanceMajorVersion", level: "update", object: byID,
	clientToken: true,
	do:          startUpgrade,
}

// upgradeStarted is the answer. The instance keeps its id, so that it is the one to wait for, unless a clone
// is made beside it.
type upgradeStarted struct {
	DBInstanceID string `json:"DBInstanceId"`
	TaskID       int64  `json:"TaskId"`
	OrderID      string `json:"OrderId"` // there are no orders here: the task's number once more
}

func startUpgrade(ctx context.Context, a *api, c *call) (any, error) {
	request, err := requestedUpgrade(c.params)
	if err != nil {
		return nil, err
	}
	if err := a.checkReduced(ctx, c.params, request); err != nil {
		return nil, err
	}
	task, err := a.control.Upgrade(ctx, c.actor(), request)
	if upgrade.CauseOf(err) == upgrade.CauseRunning {
		return nil, a.alreadyUpgrading(ctx, request.Instance, err)
	}
	if err != nil {
		return nil, a.targetRefused(ctx, request.Instance, request.Target, err)
	}
	made := request.Instance
	if request.Options.CloneOnly {
		made = upgrade.CloneID(request.Instance, task.Number)
	}
	return upgradeStarted{
		DBInstanceID: made, TaskID: task.Number, OrderID: strconv.FormatInt(task.Number, 10),
	}, nil
}

// alreadyUpgrading tells whether the running upgrade has made a target yet: for the vendor that
// makes a difference. One that only keeps its way back open is ended by the deletion of its source.
func (a *api) alreadyUpgrading(ctx context.Context, instance string, err error) error {
	running, unknown := a.control.Tasks(ctx, control.TaskFilter{Instance: instance, Kind: upgrade.TaskUpgrade, Status: upgrade.StatusRunning})
	if unknown != nil || len(running) == 0 {
		return err
	}
	task := running[0]
	switch {
	case task.AwaitsFinish():
		return fail("MirrorInsExists", explained(err)+fmt.Sprintf(" Or delete instance %s, which gives it up as well.", control.FormerID(instance, task.Number)))
	case task.Mode == upgrade.InPlace, // its target is the instance itself
		task.Phase == upgrade.PhasePrecheck, task.Phase == upgrade.PhasePrepare:
		return err
	}
	return fail("MirrorInsExists", explained(err))
}

// requestedUpgrade reads the parameters of an upgrade. Those that choose hardware, networks and
// payment are checked and then ignored: the target is made on the source's host.
func requestedUpgrade(p params) (control.UpgradeRequest, error) {
	request := control.UpgradeRequest{Instance: p.text(instanceID), RequireReport: true}
	if err := needed(p, instanceID, "TargetMajorVersion"); err != nil {
		return request, err
	}
	target, err := requestedTarget(p)
	if err != nil {
		return request, err
	}
	mode, err := requestedMode(p)
	if err != nil {
		return request, err
	}
	statistics, err := requestedStatistics(p)
	if err != nil {
		return request, err
	}
	for _, check := range []func(params) error{checkPayment, checkStorage, checkNetwork} {
		if err := check(p); err != nil {
			return request, err
		}
	}
	allowDDL, _, err := p.boolean("AllowDDL")
	if err != nil {
		return request, err
	}
	request.Target, request.Mode = target, mode
	request.Options, err = requestedSwitch(p, mode)
	request.Options.Statistics = statistics
	request.Options.AllowDDL = allowDDL && mode == upgrade.ZeroDowntime // what is replicated is replayed, too
	return request, err
}
