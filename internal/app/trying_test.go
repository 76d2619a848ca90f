package app

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.temporal.io/sdk/client"

	"github.com/pgleap/pgleap/internal/catalog"
	"github.com/pgleap/pgleap/internal/control"
	"github.com/pgleap/pgleap/internal/durable"
	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/internal/upgrade/step"
)

// The cleanup is tried until it succeeds: whoever looks at the task must see what it waits for.
func TestTaskTellsWhyAStepIsTriedAgain(t *testing.T) {
	stage := openStage(t)
	record, err := catalog.Open(t.Context(), "sqlite://"+t.TempDir()+"/catalog.db", testLog(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { record.Close() })
	plan := historyPlan(nil)
	if err := record.AddInstance(t.Context(), upgrade.Instance{ID: plan.Instance, Cluster: plan.Source, CreatedAt: time.Now()}); err != nil {
		t.Fatal(err)
	}
	task, err := record.CreateTask(t.Context(), upgrade.Task{
		Kind: upgrade.TaskUpgrade, Instance: plan.Instance, Mode: plan.Mode, Source: plan.Source.Version,
		Target: 17, Phase: upgrade.PhasePrecheck, StartedAt: time.Now(),
	})
	if err != nil {
		t.Fatal(err)
	}
	plan.Number = task.Number
	scene := stage.play(step.UpgradeWorkflowID(task.Number))
	scene.does[step.BaseBackup] = func(context.Context, int) (any, error) { return nil, newRefusal("no room") }
	var mended atomic.Bool
	scene.does[step.Discard] = func(context.Context, int) (any, error) {
		if mended.Load() {
			return nil, nil
		}
		return nil, errors.New("the source does not run")
	}
	run, err := stage.client.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{ID: scene.id, TaskQueue: durable.ServerQueue},
		step.WorkflowZeroDowntime, plan)
	if err != nil {
		t.Fatal(err)
	}
	watching := control.New(control.Deps{Catalog: record, Temporal: stage.client, Host: "h1", Log: testLog(t)})
	t.Cleanup(watching.Close)
	go watching.Watch(t.Context())
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var seen string
	for tick := time.NewTicker(50 * time.Millisecond); !strings.Contains(seen, "failed, and it is tried again: the source does not run"); {
		select {
		case <-ctx.Done():
			t.Fatalf("the task says %q", seen)
		case <-tick.C:
		}
		if now, err := record.Task(ctx, task.Number); err == nil && now.Progress != nil {
			seen = now.Progress.Step + ": " + now.Progress.Text
		}
	}
	t.Log(seen)
	mended.Store(true)
	if err := run.Get(ctx, nil); err != nil {
		t.Error(err)
	}
}
