package aliyun

import (
	"context"
	"slices"
	"strconv"
	"time"

	"github.com/pgleap/pgleap/internal/control"
	texts "github.com/pgleap/pgleap/internal/report"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// describeUpgradeMajorVersionPrecheckTask lists the prechecks of an instance with their reports,
// the newest first: Terraform looks at the first one.
var describeUpgradeMajorVersionPrecheckTask = action{
	name: "DescribeUpgradeMajorVersionPrecheckTask", level: "get", object: byID, reads: true,
	required: []string{instanceID}, cached: true,
	do: describePrechecks,
}

// prechecks is a page of them.
type prechecks struct {
	PageNumber       int
	PageRecordCount  int // the size of a page, not the number of rows on this one
	TotalRecordCount int
	Items            []precheckTask
}

// precheckTask is a precheck and its report.
type precheckTask struct {
	TaskID             int64 `json:"TaskId"`
	SourceMajorVersion string
	TargetMajorVersion string
	CheckTime          string // milliseconds since 1970, as is the next
	EffectiveTime      string `json:",omitempty"` // until when the report is valid
	Result             string
	UpgradeMode        string
	Detail             string
	// Of a host for the upgrade, in gigabytes; those of a precheck without an estimate are left out.
	RecommendDiskSize     int64 `json:",omitempty"`
	RecommendMemSize      int64 `json:",omitempty"`
	RecommendLeastMemSize int64 `json:",omitempty"`
}

// The vendor's words for what a precheck came to. Those of upgrades are others.
const (
	precheckRunning = "Running"
	precheckSuccess = "Success"
	precheckWarning = "warning"
	precheckFail    = "Fail"
)

func describePrechecks(ctx context.Context, a *api, c *call) (any, error) {
	filter, wanted, err := requestedHistory(c.params, upgrade.TaskPrecheck)
	if err != nil {
		return nil, err
	}
	tasks, total, err := a.history(ctx, filter)
	if err != nil {
		return nil, err
	}
	numbers := make([]int64, len(tasks))
	for i, t := range tasks {
		numbers[i] = t.Number
	}
	reports, err := a.control.Reports(ctx, numbers)
	if err != nil {
		return nil, fromRecord(err)
	}
	answer := prechecks{
		PageNumber: wanted.number, PageRecordCount: wanted.size, TotalRecordCount: total,
		Items: make([]precheckTask, len(tasks)),
	}
	for i, t := range tasks {
		report, reported := reports[t.Number]
		answer.Items[i] = newPrecheckTask(t, report, reported && t.Status.Ended(), a.options.DetailNewline)
	}
	return answer, nil
}

// newPrecheckTask translates a precheck. As long as it has no report, its log is shown instead.
func newPrecheckTask(s control.Summary, report upgrade.Report, reported bool, newline string) precheckTask {
	t := precheckTask{
		TaskID:             s.Number,
		SourceMajorVersion: majorText(s.Source.Major()),
		TargetMajorVersion: majorText(s.Target),
		CheckTime:          milliseconds(s.StartedAt),
		Result:             precheckResult(s.Status, report, reported),
		UpgradeMode:        modeText(s.Mode),
		Detail:             separated(s.Log, newline),
	}
	if reported {
		t.CheckTime, t.EffectiveTime = milliseconds(report.CheckedAt), milliseconds(report.ValidUntil)
		t.Detail = separated(texts.Alibaba(report, t.UpgradeMode, t.Result), newline)
		if e := report.Estimate; e != nil {
			t.RecommendDiskSize, t.RecommendMemSize, t.RecommendLeastMemSize = e.Recommended.DiskGB, e.Recommended.MemoryGB, e.Recommended.LeastMemoryGB
		}
	}
	return t
}

// precheckResult says whether an upgrade may follow. Text that the vendor does not have tells
// clients to ask again.
func precheckResult(status upgrade.Status, report upgrade.Report, reported bool) string {
	switch {
	case !status.Ended():
		return precheckRunning
	case status != upgrade.StatusSucceeded, !reported, !report.Passed():
		return precheckFail
	case slices.ContainsFunc(report.Findings, func(f upgrade.Finding) bool { return f.Severity == upgrade.Warning }):
		return precheckWarning
	}
	return precheckSuccess
}

func milliseconds(at time.Time) string { return strconv.FormatInt(at.UnixMilli(), 10) }
