package control

import (
	"errors"
	"fmt"
	"strings"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/sdk/temporal"

	"github.com/pgleap/pgleap/internal/durable"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// sayFailure is how long a step that was tried again, and goes on since, is shown with why that was.
const sayFailure = 5 * time.Minute

// maxFailure is how much of an error is shown in one line.
const maxFailure = 500

// standing is where a step stands: what its last heart-beat says and, if it failed and is tried again, why.
// Some steps are tried until they succeed, and nobody would know what they wait for. Details of another kind
// than ours are an activity's own business.
func (w *watch) standing(phase upgrade.Phase, activity *workflowpb.PendingActivityInfo) (upgrade.Progress, bool) {
	var p upgrade.Progress
	details := activity.GetHeartbeatDetails()
	told := details != nil && w.converter.FromPayloads(details, &p) == nil
	why := w.lastFailure(activity)
	if why == "" {
		return p, told
	}
	if told && speaks(activity) {
		if w.now().Sub(activity.GetLastStartedTime().AsTime()) < sayFailure {
			p.Text += fmt.Sprintf("; this is attempt %d, the one before failed: %s", activity.GetAttempt(), why)
		}
		return p, true
	}
	failed := upgrade.Progress{
		Phase: phase, Step: activity.GetActivityType().GetName(), At: activity.GetLastAttemptCompleteTime().AsTime(),
		Text: fmt.Sprintf("attempt %d failed, and it is tried again: %s", activity.GetAttempt()-1, why),
	}
	if told {
		failed.Phase, failed.Step = p.Phase, p.Step
		if !failed.At.After(p.At) { // by the clock of the engine
			failed.At = p.At.Add(time.Microsecond)
		}
	}
	return failed, true
}

// speaks tells whether an attempt is under way from which there has been a heart-beat.
func speaks(activity *workflowpb.PendingActivityInfo) bool {
	begun, heard := activity.GetLastStartedTime(), activity.GetLastHeartbeatTime()
	return activity.GetState() != enumspb.PENDING_ACTIVITY_STATE_SCHEDULED && begun != nil && heard != nil && heard.AsTime().After(begun.AsTime())
}

// lastFailure is why the attempt before this one failed, in one line; empty: there was none.
func (w *watch) lastFailure(activity *workflowpb.PendingActivityInfo) string {
	if activity.GetLastFailure() == nil || activity.GetAttempt() < 2 {
		return ""
	}
	err := durable.NewFailureConverter(w.converter).FailureToError(activity.GetLastFailure())
	text := err.Error()
	if application, ok := errors.AsType[*temporal.ApplicationError](err); ok {
		text = application.Message()
	} else if _, ok := errors.AsType[*temporal.TimeoutError](err); ok {
		text = "nothing was heard from the agent"
	}
	text = strings.Join(strings.Fields(text), " ")
	if runes := []rune(text); len(runes) > maxFailure {
		text = string(runes[:maxFailure]) + "..."
	}
	return text
}
