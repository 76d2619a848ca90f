package flow

import (
	"encoding/json"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/pgleap/pgleap/internal/upgrade/step"
)

// askTimeout is how long a user waits for an answer of a host.
const askTimeout = 30 * time.Second

// Ask has a host answer a question. It is not retried: the user is told what is wrong.
func Ask(ctx workflow.Context, question step.Question) (json.RawMessage, error) {
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		TaskQueue:              hostQueuePrefix + question.Host,
		StartToCloseTimeout:    askTimeout,
		ScheduleToStartTimeout: askTimeout,
		RetryPolicy:            &temporal.RetryPolicy{MaximumAttempts: 1},
	})
	var answer json.RawMessage
	err := workflow.ExecuteActivity(ctx, question.Activity, question.Argument).Get(ctx, &answer)
	return answer, err
}
