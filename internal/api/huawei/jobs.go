package huawei

import (
	"context"
	"slices"
	"strconv"

	"github.com/pgleap/pgleap/internal/control"
	"github.com/pgleap/pgleap/internal/upgrade"
)

type jobAnswer struct {
	Job job `json:"job"`
}

type job struct {
	ID         string      `json:"id"`
	Name       string      `json:"name"`
	Status     string      `json:"status"`
	Created    string      `json:"created"`
	Ended      string      `json:"ended,omitempty"`
	Process    string      `json:"process"`
	Instance   jobInstance `json:"instance"`
	Entities   struct{}    `json:"entities"`
	FailReason string      `json:"fail_reason,omitempty"`
}

type jobInstance struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// job shows an inspection or an upgrade by its UUID. Who may not see all instances learns nothing
// of what other jobs there are.
func (a *api) job(ctx context.Context, c *call) (any, error) {
	given := c.query.Get("id")
	if given == "" {
		return nil, refuse(codeParameter, msgRequired, "name", "id")
	}
	task, err := a.control.TaskByID(ctx, given)
	absent := isAbsent(err)
	if err != nil && !absent {
		return nil, err
	}
	instance := everyInstance
	if !absent {
		instance, c.object = task.Instance, task.Instance
	}
	switch {
	case !a.allows(c, actionList, instance):
		return nil, forbidden(actionList, given)
	case absent:
		return nil, refuse(codeJobAbsent, msgJobAbsent, "id", printable(given))
	}
	return a.jobOf(ctx, task, c.language)
}

func (a *api) jobOf(ctx context.Context, t upgrade.Task, in language) (any, error) {
	j := job{
		ID: t.ID, Name: "UpgradeDbMajorVersion", Created: a.clock.format(t.StartedAt), Ended: a.clock.formatSome(t.EndedAt),
		Instance: jobInstance{Name: t.Instance},
	}
	if t.Kind == upgrade.TaskPrecheck {
		j.Name = "UpgradeDbMajorVersionInspection"
	}
	switch {
	case t.AwaitsFinish(), t.Status == upgrade.StatusSucceeded && keptWayBack(t): // this API knows no way back
		j.Status = "Completed"
		ended, err := a.switchedAt(ctx, t)
		if err != nil {
			return nil, err
		}
		if ended != "" { // else a recovery has ended the switchover, and nothing is known but the task's end
			j.Ended = ended
		}
	case t.Status == upgrade.StatusRunning:
		j.Status, j.Process = "Running", percent(t)
	case t.Status == upgrade.StatusSucceeded:
		j.Status = "Completed"
	default:
		j.Status, j.FailReason = "Failed", said(t.Reason, in)
	}
	instance, err := a.control.Instance(ctx, t.Instance)
	switch {
	case err == nil && !t.StartedAt.Before(instance.CreatedAt): // else another one has its id now
		j.Instance.ID = idOf(instance)
	case err != nil && !isAbsent(err): // a job outlives its instance
		return nil, err
	}
	return jobAnswer{j}, nil
}

// keptWayBack tells whether the job was completed when clients had switched: what followed was the keeping of a way
// back, until that was given up.
func keptWayBack(t upgrade.Task) bool {
	return t.OnTarget() && slices.ContainsFunc(t.Phases, func(s upgrade.PhaseSpan) bool { return s.Phase == upgrade.PhaseFollowing })
}

// switchedAt is when clients went over to the target. The task itself tells of its last switchover only, which may
// be one back that was refused.
func (a *api) switchedAt(ctx context.Context, t upgrade.Task) (string, error) {
	lines, _, err := a.control.History(ctx, control.HistoryFilter{
		Instance: t.Instance, OfAllTimes: true, Kind: t.Kind, Number: t.Number, Limit: 1,
	})
	if err != nil || len(lines) == 0 {
		return "", err
	}
	return a.clock.formatSome(lines[0].SwitchEndedAt), nil
}

// phasesOf lists the phases that a task goes through, but for the keeping of a way back, which this API
// does not know.
func phasesOf(t upgrade.Task) []upgrade.Phase {
	switch {
	case t.Kind == upgrade.TaskPrecheck:
		return []upgrade.Phase{upgrade.PhasePrecheck}
	case t.Mode == upgrade.InPlace:
		return upgrade.InPlacePhases()
	case t.Mode == upgrade.BlueGreen:
		return upgrade.BlueGreenPhases(t.Plan != nil && t.Plan.Options.CloneOnly)
	}
	return slices.DeleteFunc(upgrade.Phases(), func(p upgrade.Phase) bool { return p == upgrade.PhaseFollowing })
}

// percent is how far a running task has come: each phase is an equal part of the whole, and the
// present one counts as far as it is done. While it cleans up, what it had reached stands.
func percent(t upgrade.Task) string {
	phases := phasesOf(t)
	at := slices.Index(phases, t.Phase)
	present := at >= 0
	if !present {
		for _, span := range t.Phases {
			at = max(at, slices.Index(phases, span.Phase))
		}
		at = max(at, 0)
	}
	done := float64(at)
	if p := t.Progress; present && p != nil && p.Phase == t.Phase && p.Total > 0 {
		done += min(1, max(0, float64(p.Done)/float64(p.Total)))
	}
	return strconv.Itoa(min(99, int(100*done/float64(len(phases))))) + "%"
}
