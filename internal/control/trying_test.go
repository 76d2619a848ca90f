package control

import (
	"errors"
	"testing"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/google/go-cmp/cmp"

	"github.com/pgleap/pgleap/internal/durable"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// A step that is tried until it succeeds says what it waits for.
func TestStepsThatAreTriedAgainSayWhy(t *testing.T) {
	w := &watch{Control: newControl(t)}
	pending := func(change func(*workflowpb.PendingActivityInfo)) *workflowpb.PendingActivityInfo {
		removing := upgrade.Progress{Phase: upgrade.PhaseCleanup, Step: "Discard", Text: "removing", Done: 1, Total: 2, Lag: &upgrade.Lag{}, At: now}
		details, err := converter.GetDefaultDataConverter().ToPayloads(removing)
		if err != nil {
			t.Fatal(err)
		}
		activity := &workflowpb.PendingActivityInfo{
			ActivityType: &commonpb.ActivityType{Name: "Discard"}, State: enumspb.PENDING_ACTIVITY_STATE_SCHEDULED,
			Attempt: 4, HeartbeatDetails: details,
			LastFailure: durable.NewFailureConverter(w.converter).ErrorToFailure(
				temporal.NewApplicationError("connect to /tmp, port 5432:\n\tno such file", "Failed")),
			LastStartedTime:         timestamppb.New(now.Add(-time.Second)),
			LastHeartbeatTime:       timestamppb.New(now),
			LastAttemptCompleteTime: timestamppb.New(now.Add(time.Second)),
		}
		change(activity)
		return activity
	}
	runs := func(a *workflowpb.PendingActivityInfo) { a.State = enumspb.PENDING_ACTIVITY_STATE_STARTED }
	failed := upgrade.Progress{
		Phase: upgrade.PhaseCleanup, Step: "Discard", At: now.Add(time.Second),
		Text: "attempt 3 failed, and it is tried again: connect to /tmp, port 5432: no such file",
	}
	said := func(text string) upgrade.Progress {
		return upgrade.Progress{Phase: failed.Phase, Step: failed.Step, At: failed.At, Text: text}
	}
	going := upgrade.Progress{Phase: upgrade.PhaseCleanup, Step: "Discard", Text: "removing", Done: 1, Total: 2, Lag: &upgrade.Lag{}, At: now}
	trying := going
	trying.Text = "removing; this is attempt 4, the one before failed: connect to /tmp, port 5432: no such file"
	silent := failed
	silent.Phase = upgrade.PhaseFinishing
	ahead := failed
	ahead.At = now.Add(time.Microsecond)
	for name, test := range map[string]struct {
		activity *workflowpb.PendingActivityInfo
		want     upgrade.Progress
	}{
		"it waits for its next attempt": {pending(func(*workflowpb.PendingActivityInfo) {}), failed},
		"that has begun, and was not heard of": {pending(func(a *workflowpb.PendingActivityInfo) {
			runs(a)
			a.LastStartedTime = timestamppb.New(now.Add(time.Second))
		}), failed},
		"that has told where it stands": {pending(runs), trying},
		"and has gone on for a while": {pending(func(a *workflowpb.PendingActivityInfo) {
			runs(a)
			a.LastStartedTime = timestamppb.New(now.Add(-time.Hour))
		}), going},
		"the first attempt": {pending(func(a *workflowpb.PendingActivityInfo) {
			runs(a)
			a.Attempt, a.LastFailure = 1, nil
		}), going},
		"a step that has never told where it stands": {pending(func(a *workflowpb.PendingActivityInfo) { a.HeartbeatDetails = nil }), silent},
		"an agent whose clock is ahead": {pending(func(a *workflowpb.PendingActivityInfo) {
			a.LastAttemptCompleteTime = timestamppb.New(now.Add(-time.Minute))
		}), ahead},
		"an agent that died": {pending(func(a *workflowpb.PendingActivityInfo) {
			a.LastFailure = durable.NewFailureConverter(w.converter).ErrorToFailure(temporal.NewHeartbeatTimeoutError())
		}), said("attempt 3 failed, and it is tried again: nothing was heard from the agent")},
		"another kind of error": {pending(func(a *workflowpb.PendingActivityInfo) {
			a.LastFailure = durable.NewFailureConverter(w.converter).ErrorToFailure(errors.New("odd"))
		}), said("attempt 3 failed, and it is tried again: odd")},
	} {
		got, ok := w.standing(upgrade.PhaseFinishing, test.activity)
		if diff := cmp.Diff(test.want, got); diff != "" || !ok {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}
