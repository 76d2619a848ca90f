package control

import (
	"context"

	"github.com/pgleap/pgleap/internal/catalog"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// HistoryFilter chooses a page of the history of an instance and a kind of tasks. What else is
// empty does not matter.
type HistoryFilter struct {
	Instance string
	// OfAllTimes keeps what a removed instance did that had the same id before, too.
	OfAllTimes bool
	Kind       upgrade.TaskKind
	Mode       upgrade.Mode
	Target     upgrade.Major
	Number     int64
	// Passed keeps only prechecks whose report passed and is still valid.
	Passed      bool
	ByEnd       bool // sorted by the end, what runs being newest; otherwise by the start
	ByExpiry    bool // sorted by when the report expires; who has none has expired with its end, and what runs is newest
	OldestFirst bool
	Limit       int // 0: all
	Offset      int
}

// Summary is a line of the history.
type Summary struct {
	catalog.Summary
	// Running is the whole task while it runs.
	Running *upgrade.Task
}

// History returns a page of an instance's history, and how many tasks the whole has. The clouds, who
// ask for it, know no way back: an upgrade that only keeps one has succeeded when it had switched. An
// instance that never was is *upgrade.NotFound.
func (c *Control) History(ctx context.Context, f HistoryFilter) (tasks []Summary, total int, err error) {
	filter := catalog.HistoryFilter{
		Instance: f.Instance, OfAllTimes: f.OfAllTimes, Kind: f.Kind, Mode: f.Mode, Target: f.Target, Number: f.Number,
		ByEnd: f.ByEnd, ByExpiry: f.ByExpiry, OldestFirst: f.OldestFirst, Limit: f.Limit, Offset: f.Offset,
	}
	if f.Passed {
		filter.PassedAt = c.now()
	}
	page, total, err := c.catalog.History(ctx, filter)
	if err != nil {
		return nil, 0, err
	}
	if total == 0 {
		if err := c.everWas(ctx, f.Instance); err != nil {
			return nil, 0, err
		}
	}
	tasks = make([]Summary, len(page))
	for i, s := range page {
		if s.Status.Ended() {
			tasks[i] = onceEnded(s)
			continue
		}
		task, err := c.catalog.Task(ctx, s.Number)
		if err != nil {
			return nil, 0, err
		}
		tasks[i] = whileRunning(s, task)
	}
	return tasks, total, nil
}

// whileRunning is the line of a task that has not ended. The task was read after its line: whether it has switched,
// and when, is what the line says, for all of it must be of one moment.
func whileRunning(s catalog.Summary, task upgrade.Task) Summary {
	line := Summary{Summary: s, Running: &task}
	asListed := upgrade.Task{Mode: s.Mode, Status: s.Status, Plan: task.Plan, Switchover: &upgrade.Switchover{Switched: s.Switched}}
	if asListed.AwaitsFinish() {
		line.Status, line.EndedAt = upgrade.StatusSucceeded, s.SwitchEndedAt
	}
	return line
}

// onceEnded is the line of a task that has ended. One that had succeeded while it kept a way back open has ended then,
// and not once more when that was given up.
func onceEnded(s catalog.Summary) Summary {
	if s.Followed && s.Switched && s.Status == upgrade.StatusSucceeded && s.SwitchEndedAt != nil {
		s.EndedAt = s.SwitchEndedAt
	}
	return Summary{Summary: s}
}

// everWas returns *upgrade.NotFound for an instance that is unknown, and that no task remembers.
func (c *Control) everWas(ctx context.Context, instance string) error {
	_, unknown := c.catalog.Instance(ctx, instance)
	if unknown == nil {
		return nil
	}
	tasks, err := c.catalog.Tasks(ctx, TaskFilter{Instance: instance, Limit: 1})
	if err != nil {
		return err
	}
	if len(tasks) == 0 {
		return unknown
	}
	return nil
}

// LatestTask returns the newest task of a kind of an instance, in a mode unless that is empty.
// *upgrade.NotFound says whether it is the instance or the task that there is none of.
func (c *Control) LatestTask(ctx context.Context, instance string, kind upgrade.TaskKind, mode upgrade.Mode) (Summary, error) {
	tasks, _, err := c.History(ctx, HistoryFilter{Instance: instance, Kind: kind, Mode: mode, Limit: 1})
	if err != nil {
		return Summary{}, err
	}
	if len(tasks) == 0 {
		return Summary{}, &upgrade.NotFound{Kind: "task", Name: string(kind) + " of instance " + instance}
	}
	return tasks[0], nil
}

// TaskByID returns the task with a UUID.
func (c *Control) TaskByID(ctx context.Context, id string) (upgrade.Task, error) {
	return c.catalog.TaskByID(ctx, id)
}

// Reports returns the reports of prechecks, by number. Those that have none are missing.
func (c *Control) Reports(ctx context.Context, numbers []int64) (map[int64]upgrade.Report, error) {
	return c.catalog.Reports(ctx, numbers)
}

// Revision returns a number that grows with every change of what is recorded of an instance.
func (c *Control) Revision(ctx context.Context, instance string) (int64, error) {
	return c.catalog.Revision(ctx, instance)
}

// InstanceByUUID returns the instance with a UUID: 32 hexadecimal digits.
func (c *Control) InstanceByUUID(ctx context.Context, uuid string) (upgrade.Instance, error) {
	return c.catalog.InstanceByUUID(ctx, uuid)
}

// InstanceState is what an instance is busy with.
type InstanceState struct {
	Precheck *upgrade.Task
	Upgrade  *upgrade.Task
}

// InstanceStates returns what instances are busy with; those that are not are missing.
func (c *Control) InstanceStates(ctx context.Context) (map[string]InstanceState, error) {
	running, err := c.catalog.RunningTasks(ctx, "")
	if err != nil {
		return nil, err
	}
	states := map[string]InstanceState{}
	for _, task := range running {
		states[task.Instance] = states[task.Instance].with(task)
	}
	return states, nil
}

// InstanceState returns what an instance is busy with.
func (c *Control) InstanceState(ctx context.Context, instance string) (InstanceState, error) {
	running, err := c.catalog.Tasks(ctx, TaskFilter{Instance: instance, Status: upgrade.StatusRunning})
	if err != nil {
		return InstanceState{}, err
	}
	var state InstanceState
	for _, task := range running {
		state = state.with(task)
	}
	return state, nil
}

// with adds a task. An upgrade that only keeps its way back open, or rehearses it, keeps its instance from nothing.
func (s InstanceState) with(task upgrade.Task) InstanceState {
	if task.AwaitsFinish() && (task.Phase == upgrade.PhaseFollowing || task.Phase == upgrade.PhaseRehearsal) {
		return s
	}
	if task.Kind == upgrade.TaskUpgrade {
		s.Upgrade = &task
	} else {
		s.Precheck = &task
	}
	return s
}

// SetWindow gives an instance a maintenance window.
func (c *Control) SetWindow(ctx context.Context, who Actor, instance string, w upgrade.Window) (err error) {
	defer func() { c.audit(ctx, who, "set window "+w.String(), instance, err) }()
	return c.catalog.SetWindow(ctx, instance, &w)
}
