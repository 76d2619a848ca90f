package huawei

import (
	"context"
	"errors"
	"strconv"

	"github.com/pgleap/pgleap/internal/control"
	"github.com/pgleap/pgleap/internal/upgrade"
)

type taskStatus struct {
	Status          string `json:"status"`
	TargetVersion   string `json:"target_version"`
	StartTime       string `json:"start_time"`
	CheckExpiration string `json:"check_expiration_time,omitempty"`
	Detail          string `json:"detail"`
}

// status tells how the last inspection or upgrade stands. Clients poll it, so it is computed when
// something has changed only.
func (a *api) status(ctx context.Context, c *call, instance upgrade.Instance) (any, error) {
	what, bad := choice(c.query, "action", "", "check", "upgrade")
	switch {
	case bad != nil:
		return nil, bad
	case what == "":
		return nil, refuse(codeParameter, msgRequired, "name", "action")
	}
	key := answerKey{what, c.language}
	if answer, ok := a.memory.answer(c.given, c.revision, key); ok {
		return answer, nil
	}
	compute := a.upgradeStatus
	if what == "check" {
		compute = a.checkStatus
	}
	status, err := compute(ctx, c, instance)
	if err != nil {
		return nil, err
	}
	answer := render(status)
	a.memory.keep(c.given, c.revision, key, answer)
	return answer, nil
}

func (a *api) upgradeStatus(ctx context.Context, c *call, instance upgrade.Instance) (taskStatus, error) {
	s, err := a.control.LatestTask(ctx, instance.ID, upgrade.TaskUpgrade, "")
	if err != nil {
		return taskStatus{}, none(err, msgNeverUpgraded, c)
	}
	return taskStatus{
		Status: result(s.Status), TargetVersion: targetVersion(s),
		StartTime: a.clock.format(s.StartedAt), Detail: logText(s.Log, c.language),
	}, nil
}

// checkStatus tells of the last inspection for the upgrade that this API starts: no other one allows it, or forbids it.
func (a *api) checkStatus(ctx context.Context, c *call, instance upgrade.Instance) (taskStatus, error) {
	s, err := a.control.LatestTask(ctx, instance.ID, upgrade.TaskPrecheck, upgrade.BlueGreen)
	if err != nil {
		return taskStatus{}, none(err, msgNeverChecked, c)
	}
	reports, err := a.control.Reports(ctx, []int64{s.Number})
	if err != nil {
		return taskStatus{}, err
	}
	i := a.inspection(s, reports, c.language)
	answer := taskStatus{
		Status: i.Result, TargetVersion: i.TargetVersion, StartTime: i.CheckTime, Detail: i.Detail,
	}
	if i.Result == "success" {
		answer.CheckExpiration = i.ExpirationTime
	}
	return answer, nil
}

// none says that there is no task yet. At the vendor nothing is documented for it; 404 would look
// like an instance that does not exist.
func none(err error, m message, c *call) error {
	if n, ok := errors.AsType[*upgrade.NotFound](err); ok && n.Kind == "task" {
		return refuse(codeState, m, "id", c.request.PathValue("instance_id"))
	}
	return err
}

// targetVersion is the target's version, as far as it is known.
func targetVersion(s control.Summary) string {
	if s.TargetVersion > 0 {
		return s.TargetVersion.String()
	}
	return strconv.Itoa(int(s.Target))
}
