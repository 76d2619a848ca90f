package aliyun

import (
	"context"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// modifyDBInstanceMaintainTime sets the maintenance window of an instance.
var modifyDBInstanceMaintainTime = action{
	name: "ModifyDBInstanceMaintainTime", level: "update", object: byID,
	required: []string{instanceID, "MaintainTime"}, clientToken: true,
	do: func(ctx context.Context, a *api, c *call) (any, error) {
		window, err := upgrade.ParseWindow(c.params.text("MaintainTime"))
		if err != nil {
			return nil, fail("Parameters.Invalid", "MaintainTime must be two times in UTC such as 18:00Z-22:00Z.")
		}
		return empty{}, fromRecord(a.control.SetWindow(ctx, c.actor(), c.params.text(instanceID), window))
	},
}
