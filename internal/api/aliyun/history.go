package aliyun

import (
	"context"
	"fmt"
	"math"

	"github.com/pgleap/pgleap/internal/control"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// page is which part of a list is wanted.
type page struct{ number, size int }

// requestedPage reads PageNumber and PageSize.
func requestedPage(p params, least, greatest, absent int) (page, error) {
	size, err := p.integer("PageSize", least, greatest, absent)
	if err != nil {
		return page{}, err
	}
	number, err := p.integer("PageNumber", 1, math.MaxInt32, 1)
	return page{number: number, size: size}, err
}

// offset is the number of rows before the page.
func (p page) offset() int { return (p.number - 1) * p.size }

// requestedHistory reads the parameters that the two lists of tasks have in common. For prechecks
// the vendor knows three sizes of a page only, all of which are within the range for upgrades.
func requestedHistory(p params, kind upgrade.TaskKind) (control.HistoryFilter, page, error) {
	filter := control.HistoryFilter{Instance: p.text(instanceID), Kind: kind}
	wanted, err := requestedPage(p, 30, 100, 30)
	if err != nil {
		return filter, page{}, err
	}
	number, err := p.integer("TaskId", 1, math.MaxInt32, 0)
	if err != nil {
		return filter, page{}, err
	}
	if text := p.text("TargetMajorVersion"); text != "" {
		major, ok := parseMajor(text)
		if !ok {
			return filter, page{}, fail("Parameters.Invalid", `TargetMajorVersion must be a major version, such as "17.0".`)
		}
		filter.Target = major
	}
	filter.Number = int64(number)
	filter.Limit, filter.Offset = wanted.size, wanted.offset()
	return filter, wanted, nil
}

// history asks for a page of tasks. A TaskId that no task of the instance has is an error; so is,
// in the same words, one of another instance, whose tasks the caller may not be allowed to see.
func (a *api) history(ctx context.Context, filter control.HistoryFilter) ([]control.Summary, int, error) {
	tasks, total, err := a.control.History(ctx, filter)
	if err != nil {
		return nil, 0, fromRecord(err)
	}
	if filter.Number == 0 || total > 0 {
		return tasks, total, nil
	}
	task, err := a.control.Task(ctx, filter.Number)
	if isNotFound(err) || err == nil && task.Instance != filter.Instance {
		return nil, 0, fail("Request.NotFound", fmt.Sprintf("Instance %s has no task %d.", filter.Instance, filter.Number))
	}
	return nil, 0, fromRecord(err)
}
