package huawei

import (
	"context"

	"github.com/pgleap/pgleap/internal/control"
	"github.com/pgleap/pgleap/internal/upgrade"
)

type inspectionHistories struct {
	Total   int                `json:"total_count"`
	Reports []inspectionReport `json:"inspection_reports"`
}

type inspectionReport struct {
	ID             string `json:"id"`
	CheckTime      string `json:"check_time"`
	ExpirationTime string `json:"expiration_time,omitempty"`
	TargetVersion  string `json:"target_version"`
	Result         string `json:"result"`
	Detail         string `json:"detail"`
}

// inspectionHistories lists the inspections of an instance.
func (a *api) inspectionHistories(ctx context.Context, c *call, instance upgrade.Instance) (any, error) {
	filter, bad := historyFilter(c, instance, upgrade.TaskPrecheck, "check_time", "expiration_time")
	if bad != nil {
		return nil, bad
	}
	// A report expires some days after the check: not when the task of the check has ended.
	filter.ByEnd, filter.ByExpiry = false, filter.ByEnd
	if filter.Target, bad = optionalVersion(c.query, "target_version"); bad != nil {
		return nil, bad
	}
	if filter.Passed, bad = boolean(c.query, "is_available"); bad != nil {
		return nil, bad
	}
	if filter.Passed { // what is available must allow the upgrade that this API starts
		filter.Mode = upgrade.BlueGreen
	}
	tasks, total, err := a.control.History(ctx, filter)
	if err != nil {
		return nil, err
	}
	numbers := make([]int64, len(tasks))
	for i, s := range tasks {
		numbers[i] = s.Number
	}
	reports, err := a.control.Reports(ctx, numbers)
	if err != nil {
		return nil, err
	}
	answer := inspectionHistories{Total: total, Reports: make([]inspectionReport, len(tasks))}
	for i, s := range tasks {
		answer.Reports[i] = a.inspection(s, reports, c.language)
	}
	return answer, nil
}

// inspection is a precheck as this vendor shows it. A check that ended without a report failed,
// and so did one whose report has blockers.
func (a *api) inspection(s control.Summary, reports map[int64]upgrade.Report, in language) inspectionReport {
	i := inspectionReport{
		ID: s.ID, CheckTime: a.clock.format(s.StartedAt),
		TargetVersion: targetVersion(s), Result: result(s.Status), Detail: logText(s.Log, in),
	}
	report, reported := reports[s.Number]
	if !s.Status.Ended() || !reported {
		return i
	}
	i.ExpirationTime = a.clock.format(report.ValidUntil)
	i.TargetVersion = report.Target.String()
	i.Detail = reportText(report, in, a.clock)
	if !report.Passed() {
		i.Result = result(upgrade.StatusFailed)
	}
	return i
}

// historyFilter reads what the lists have in common. The first field sorts by the beginning of the
// tasks, the second by their end.
func historyFilter(c *call, instance upgrade.Instance, kind upgrade.TaskKind, begin, end string) (control.HistoryFilter, *failure) {
	p, bad := pageOf(c.query, defaultLimit)
	if bad != nil {
		return control.HistoryFilter{}, bad
	}
	oldestFirst, bad := ascending(c.query)
	if bad != nil {
		return control.HistoryFilter{}, bad
	}
	field, bad := choice(c.query, "sort_field", begin, begin, end)
	return control.HistoryFilter{
		Instance: instance.ID, Kind: kind, ByEnd: field == end, OldestFirst: oldestFirst, Limit: p.limit, Offset: p.offset,
	}, bad
}
