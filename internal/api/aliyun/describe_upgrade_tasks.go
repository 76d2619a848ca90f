package aliyun

import (
	"context"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// describeUpgradeMajorVersionTasks lists the upgrades of an instance, the newest first: a client
// that waits for its upgrade looks at the first one.
var describeUpgradeMajorVersionTasks = action{
	name: "DescribeUpgradeMajorVersionTasks", level: "get", object: byID, reads: true,
	required: []string{instanceID}, cached: true,
	do: func(ctx context.Context, a *api, c *call) (any, error) {
		filter, wanted, err := requestedHistory(c.params, upgrade.TaskUpgrade)
		if err != nil {
			return nil, err
		}
		tasks, total, err := a.history(ctx, filter)
		if err != nil {
			return nil, err
		}
		answer := upgradeTasks{
			page: wanted, total: total, items: make([]upgradeTask, len(tasks)),
			documented: a.options.WireTypes == "documented",
		}
		for i := range tasks {
			answer.items[i] = newUpgradeTask(tasks[i], a.options.DetailNewline)
			if f := answer.items[i].following; f != nil {
				f.host = a.clusterAddress(tasks[i].Running.Plan.Target).Host
			}
		}
		return answer, nil
	},
}
