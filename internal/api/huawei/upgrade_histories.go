package huawei

import (
	"context"

	"github.com/pgleap/pgleap/internal/control"
	"github.com/pgleap/pgleap/internal/upgrade"
)

type upgradeHistories struct {
	Total   int             `json:"total_count"`
	Reports []upgradeReport `json:"upgrade_reports"`
}

type upgradeReport struct {
	ID                  string `json:"id"`
	StartTime           string `json:"start_time"`
	EndTime             string `json:"end_time,omitempty"`
	SourceInstance      string `json:"src_instance_id"`
	SourceVersion       string `json:"src_database_version"`
	TargetInstance      string `json:"dst_instance_id"`
	TargetVersion       string `json:"dst_database_version"`
	Result              string `json:"result"`
	PrivateIPChanged    bool   `json:"is_private_ip_changed"`
	PrivateIPChangeTime string `json:"private_ip_change_time,omitempty"`
	StatisticsMode      string `json:"statistics_collection_mode"`
	Detail              string `json:"detail"`
}

// upgradeHistories lists the upgrades of an instance, through whichever API they were started.
func (a *api) upgradeHistories(ctx context.Context, c *call, instance upgrade.Instance) (any, error) {
	filter, bad := historyFilter(c, instance, upgrade.TaskUpgrade, "start_time", "end_time")
	if bad != nil {
		return nil, bad
	}
	tasks, total, err := a.control.History(ctx, filter)
	if err != nil {
		return nil, err
	}
	answer := upgradeHistories{Total: total, Reports: make([]upgradeReport, len(tasks))}
	for i, s := range tasks {
		if answer.Reports[i], err = a.upgradeReport(ctx, s, idOf(instance), c.language); err != nil {
			return nil, err
		}
	}
	return answer, nil
}

// upgradeReport is an upgrade as this vendor shows it.
func (a *api) upgradeReport(ctx context.Context, s control.Summary, instance string, in language) (upgradeReport, error) {
	target, err := a.targetInstance(ctx, s, instance)
	r := upgradeReport{
		ID: s.ID, StartTime: a.clock.format(s.StartedAt), EndTime: a.clock.formatSome(s.EndedAt),
		SourceInstance: instance, SourceVersion: s.Source.String(),
		TargetInstance: target, TargetVersion: targetVersion(s),
		Result: result(s.Status), PrivateIPChanged: s.Switched,
		StatisticsMode: statisticsMode(s.Statistics), Detail: logText(s.Log, in),
	}
	if s.Switched {
		r.PrivateIPChangeTime = a.clock.formatSome(s.SwitchEndedAt)
	}
	return r, err
}

// targetInstance is the id of the instance that an upgrade leads to. An instance keeps its id and its endpoint when its
// clients are moved to the upgraded cluster, so it is source and target at once. A clone has an id of its own as soon
// as there is one; until then, and when it failed, the upgrade leads to none. One that was removed since goes by its name.
func (a *api) targetInstance(ctx context.Context, s control.Summary, instance string) (string, error) {
	switch {
	case !s.CloneOnly:
		return instance, nil
	case s.Clone == "":
		return "", nil
	}
	clone, err := a.control.Instance(ctx, s.Clone)
	if isAbsent(err) {
		return s.Clone, nil
	}
	return idOf(clone), err
}
