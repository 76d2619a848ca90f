package aliyun

import (
	"context"
	"fmt"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// deleteDBInstance gives up the former cluster of an instance, which an upgrade has left behind:
// it is stopped, and its files stay where they are. An instance that serves is never deleted.
var deleteDBInstance = action{
	name: "DeleteDBInstance", level: "delete", object: byID,
	required: []string{instanceID},
	do:       retire,
}

// deleted is the answer.
type deleted struct {
	RegionID string `json:"RegionId"`
}

func retire(ctx context.Context, a *api, c *call) (any, error) {
	// Backups are none of pgleap's business, so that all policies come to the same. Lastest is how
	// the vendor spells it.
	err := oneOf(c.params, "ReleasedKeepPolicy", "InvalidReleasedKeepPolicy.Format", "None", "Lastest", "All")
	if err != nil {
		return nil, err
	}
	id := c.params.text(instanceID)
	_, unknown := a.control.Instance(ctx, id)
	if unknown == nil {
		return nil, fail("InvalideStatus.Format", whyKept(id))
	}
	if !isNotFound(unknown) {
		return nil, fromRecord(unknown)
	}
	err = a.control.Release(ctx, c.actor(), id)
	if isNotFound(err) {
		return nil, unknown
	}
	return deleted{RegionID: a.options.Region}, err
}

// whyKept is why an instance is not deleted.
func whyKept(id string) string {
	if instance, _, ok := upgrade.ParseCloneID(id); ok {
		return fmt.Sprintf("Instance %s, a clone of instance %s, runs by itself, and pgleap does not know who uses it; "+
			"stop its server on the host and remove its data there, then take it out of the list by: pgleap instance remove %s.", id, instance, id)
	}
	return fmt.Sprintf(
		"Instance %s serves applications, and pgleap never deletes an instance that serves; delete its former clusters, such as %s-old-1.", id, id)
}
