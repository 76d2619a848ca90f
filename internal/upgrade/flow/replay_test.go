package flow

import (
	"path/filepath"
	"testing"

	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/pgleap/pgleap/internal/upgrade/step"
)

// Upgrades that run while pgleap itself is upgraded go on with the new code, so the new code must
// decide as the old did. The histories were recorded by the real engine, see internal/app's
// TestFlowOnTheEngine.
func TestReplay(t *testing.T) {
	histories, err := filepath.Glob("testdata/*.history.json")
	if err != nil || len(histories) == 0 {
		t.Fatalf("found %v, %v", histories, err)
	}
	for _, path := range histories {
		t.Run(filepath.Base(path), func(t *testing.T) {
			replayer := worker.NewWorkflowReplayer()
			replayer.RegisterWorkflowWithOptions(ZeroDowntime, workflow.RegisterOptions{Name: step.WorkflowZeroDowntime})
			replayer.RegisterWorkflowWithOptions(InPlace, workflow.RegisterOptions{Name: step.WorkflowInPlace})
			replayer.RegisterWorkflowWithOptions(Return, workflow.RegisterOptions{Name: step.WorkflowReturn})
			replayer.RegisterWorkflowWithOptions(BlueGreen, workflow.RegisterOptions{Name: step.WorkflowBlueGreen})
			replayer.RegisterWorkflowWithOptions(Cleanup, workflow.RegisterOptions{Name: step.WorkflowCleanup})
			if err := replayer.ReplayWorkflowHistoryFromJSONFile(discardLogger{}, path); err != nil {
				t.Error(err)
			}
		})
	}
}
