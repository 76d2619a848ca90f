package control

import (
	"context"
	"errors"
	"strconv"
	"testing"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"

	"github.com/google/go-cmp/cmp"

	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/internal/upgrade/step"
)

// engine starts workflows, or not, and says of them what it knows.
type engine struct {
	client.Client
	fails   error            // of ExecuteWorkflow
	unknown error            // of what is asked of a workflow that it does not know
	runs    map[string]bool  // whether a workflow that it knows runs
	started map[string][]any // the arguments of what was started
	told    []string         // the signals
}

func (e *engine) ExecuteWorkflow(_ context.Context, options client.StartWorkflowOptions, _ any, args ...any) (client.WorkflowRun, error) {
	if e.started == nil {
		e.started = map[string][]any{}
	}
	if e.fails == nil {
		e.started[options.ID] = args
	}
	return nil, e.fails
}

func (e *engine) DescribeWorkflowExecution(_ context.Context, id, _ string) (*workflowservice.DescribeWorkflowExecutionResponse, error) {
	runs, known := e.runs[id]
	if !known {
		return nil, e.unknown
	}
	info := &workflowpb.WorkflowExecutionInfo{Status: enumspb.WORKFLOW_EXECUTION_STATUS_TERMINATED}
	if runs {
		info.Status = enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING
	}
	return &workflowservice.DescribeWorkflowExecutionResponse{WorkflowExecutionInfo: info}, nil
}

func (e *engine) SignalWorkflow(_ context.Context, id, _, signal string, _ any) error {
	e.told = append(e.told, id+" "+signal)
	return e.unknown
}

var errLate = errors.New("context deadline exceeded")

// An upgrade that may have begun is not recorded as failed: it would go on, and nobody could stop it.
func TestStartsThatAreDoubtful(t *testing.T) {
	unknown := serviceerror.NewNotFound("no such workflow")
	for name, test := range map[string]struct {
		engine engine
		status upgrade.Status
		fails  bool
	}{
		"it was taken":                      {engine{}, upgrade.StatusRunning, false},
		"only the answer was lost":          {engine{fails: errLate, runs: map[string]bool{"upgrade-1": true}}, upgrade.StatusRunning, false},
		"it was taken, and has ended since": {engine{fails: errLate, runs: map[string]bool{"upgrade-1": false}}, upgrade.StatusRunning, false},
		"nobody can tell":                   {engine{fails: errLate, unknown: errLate}, upgrade.StatusRunning, false},
		"it was not taken":                  {engine{fails: errLate, unknown: unknown}, upgrade.StatusFailed, true},
	} {
		t.Run(name, func(t *testing.T) {
			c := newControl(t)
			c.temporal = &test.engine
			addInstance(t, c, "orders")
			started, err := c.start(t.Context(), Actor{Name: "dba"}, upgrade.TaskUpgrade, upgrade.Plan{Instance: "orders", Mode: upgrade.ZeroDowntime}, "a note")
			if (err != nil) != test.fails || test.fails && kind(err) != "unavail" {
				t.Errorf("started: %v", err)
			}
			if !test.fails && started.Number != 1 {
				t.Errorf("started task %d", started.Number)
			}
			task, err := c.Task(t.Context(), 1)
			if err != nil || task.Status != test.status {
				t.Errorf("recorded as %s, %v", task.Status, err)
			}
			if cancelled := len(test.engine.told) > 0; cancelled != (test.status == upgrade.StatusFailed) {
				t.Errorf("told %v", test.engine.told)
			}
		})
	}
}

// Who repeats a request because it is not known what became of it gets the task that may be running, and no other one.
func TestARepeatedRequestGetsTheTaskThatIsDoubtful(t *testing.T) {
	c := newControl(t)
	c.temporal = &engine{fails: errLate, unknown: errLate}
	addInstance(t, c, "orders")
	for range 2 {
		answer, err := c.Once(t.Context(), Once{Account: "acme", Action: "upgrade", Token: "t"}, func(ctx context.Context) ([]byte, error) {
			plan := upgrade.Plan{Instance: "orders", Mode: upgrade.ZeroDowntime}
			task, err := c.start(ctx, Actor{Name: "dba"}, upgrade.TaskUpgrade, plan)
			return strconv.AppendInt(nil, task.Number, 10), err
		})
		if err != nil || string(answer) != "1" {
			t.Errorf("got task %s, %v", answer, err)
		}
	}
}

// The instance of a lost upgrade is not free before that is undone: what is still to be undone would take the next
// upgrade apart.
func TestLostUpgradeEndsWhenItIsUndone(t *testing.T) {
	c := newControl(t)
	e := &engine{unknown: serviceerror.NewNotFound("no such workflow"), runs: map[string]bool{}}
	c.temporal = e
	addInstance(t, c, "orders")
	plan := &upgrade.Plan{Instance: "orders", Mode: upgrade.ZeroDowntime}
	task, err := c.catalog.CreateTask(t.Context(), upgrade.Task{
		Kind: upgrade.TaskUpgrade, Instance: "orders", Mode: upgrade.ZeroDowntime, Phase: upgrade.PhaseSwitchback, Plan: plan, StartedAt: now,
	})
	if err != nil {
		t.Fatal(err)
	}
	w := &watch{Control: c, tasks: map[int64]*watched{}}
	look := func() {
		t.Helper()
		if err := w.look(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got, err := c.Task(t.Context(), task.Number); err != nil || got.Status != upgrade.StatusRunning {
			t.Fatalf("it is %s before it is undone (%v)", got.Status, err)
		}
	}
	look()
	if len(e.started) != 0 {
		t.Errorf("undone at once: %v", e.started)
	}
	now := now.Add(lostAfter)
	c.now = func() (at time.Time) { return now }
	look()
	want := map[string][]any{"cleanup-1": {*task.Plan, true, step.Lost{Reason: "The workflow of this upgrade is gone (the engine does not know it)."}}}
	if diff := cmp.Diff(want, e.started); diff != "" {
		t.Errorf("started (-want +got):\n%s", diff)
	}
	e.runs["cleanup-1"], e.started = true, nil
	now = now.Add(time.Hour)
	look()
	if len(e.started) != 0 {
		t.Errorf("undone twice at once: %v", e.started)
	}
	e.runs["cleanup-1"] = false
	look()
	now = now.Add(lostAfter)
	look()
	if len(e.started) != 1 {
		t.Error("what undoes it was lost itself, and is not begun again")
	}
}
