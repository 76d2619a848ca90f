package control

import (
	"testing"
	"time"

	workflowpb "go.temporal.io/api/workflow/v1"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// closedAt is a workflow that ended then.
func closedAt(at time.Time) *workflowpb.WorkflowExecutionInfo {
	return &workflowpb.WorkflowExecutionInfo{CloseTime: timestamppb.New(at)}
}

func TestReturnNeverBegan(t *testing.T) {
	reopened := upgrade.Task{
		Mode: upgrade.BlueGreen, Phase: upgrade.PhaseSwitchback, Switchover: &upgrade.Switchover{Switched: true},
		Phases: []upgrade.PhaseSpan{{Phase: upgrade.PhaseFinishing, StartedAt: now.Add(-time.Hour)}, {Phase: upgrade.PhaseSwitchback, StartedAt: now}},
	}
	with := func(change func(*upgrade.Task)) upgrade.Task {
		task := reopened
		change(&task)
		return task
	}
	before := closedAt(now.Add(-time.Minute))
	for name, test := range map[string]struct {
		task upgrade.Task
		last *workflowpb.WorkflowExecutionInfo
		want bool
	}{
		"the upgrade's own workflow was the last":       {reopened, before, true},
		"one has run since":                             {reopened, closedAt(now.Add(time.Second)), false},
		"one runs":                                      {reopened, &workflowpb.WorkflowExecutionInfo{}, false},
		"the engine knows nothing":                      {reopened, nil, false},
		"it is past that phase":                         {with(func(t *upgrade.Task) { t.Phase = upgrade.PhaseCleanup }), before, false},
		"clients are back":                              {with(func(t *upgrade.Task) { t.Switchover = &upgrade.Switchover{Switched: true, Back: true} }), before, false},
		"a switchback in a mode whose workflow goes on": {with(func(t *upgrade.Task) { t.Mode = upgrade.ZeroDowntime }), before, false},
	} {
		if got := returnNeverBegan(test.task, test.last); got != test.want {
			t.Errorf("%s: got %t, want %t", name, got, test.want)
		}
	}
}

// A server that dies between the record and the engine leaves an upgrade that has succeeded, as it was.
func TestReturnThatNeverBeganLeavesTheUpgradeAsItWas(t *testing.T) {
	c := newControl(t)
	addInstance(t, c, "orders")
	task, err := c.catalog.CreateTask(t.Context(), upgrade.Task{
		Kind: upgrade.TaskUpgrade, Instance: "orders", Mode: upgrade.BlueGreen, Source: 150012, Target: 17,
		Phase: upgrade.PhasePrecheck, StartedAt: now.Add(-time.Hour),
	})
	if err != nil {
		t.Fatal(err)
	}
	switched := &upgrade.Switchover{Switched: true, StartedAt: now.Add(-time.Hour), EndedAt: now.Add(-time.Hour)}
	if err := c.catalog.EndTask(t.Context(), task.Number, upgrade.Outcome{Status: upgrade.StatusSucceeded, Switchover: switched}, now.Add(-time.Minute)); err != nil {
		t.Fatal(err)
	}
	if task, err = c.catalog.ReopenUpgrade(t.Context(), task.Number, upgrade.PhaseSwitchback, now); err != nil {
		t.Fatal(err)
	}
	c.now = func() time.Time { return now.Add(lostAfter) }
	w, seen := &watch{Control: c}, &watched{goneSince: now}
	if err := w.lost(t.Context(), task, seen, closedAt(now.Add(-time.Minute))); err != nil {
		t.Fatal(err)
	}
	got, err := c.Task(t.Context(), task.Number)
	if err != nil || got.Status != upgrade.StatusSucceeded || !got.OnTarget() {
		t.Errorf("got %q (%v), switchover %+v", got.Status, err, got.Switchover)
	}
}
