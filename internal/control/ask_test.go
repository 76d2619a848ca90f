package control

import (
	"context"
	"errors"
	"fmt"
	"testing"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/temporal"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// travelled is an error of the engine's as it arrives from an activity.
func travelled(err error) error {
	if _, ok := errors.AsType[interface {
		error
		HasDetails() bool
	}](err); !ok {
		return err
	}
	wire := temporal.GetDefaultFailureConverter()
	return fmt.Errorf("workflow execution error: %w", wire.FailureToError(wire.ErrorToFailure(err)))
}

func TestFailureOfAQuestion(t *testing.T) {
	taken := upgrade.Refused{Reason: "port 5433 is taken", Remedy: "choose another"}
	for name, test := range map[string]struct {
		err        error
		kind, text string
		cause      upgrade.Cause
	}{
		"none":                 {nil, "", "", ""},
		"refusal in two parts": {temporal.NewNonRetryableApplicationError(taken.Error(), "Refused", nil, taken), "refused", "port 5433 is taken; choose another", ""},
		"refusal in one part":  {temporal.NewNonRetryableApplicationError("port 5433 is taken", "Refused", nil), "refused", "port 5433 is taken", ""},
		"failure":              {temporal.NewApplicationError("connect to the cluster: refused", "wrapError"), "refused", "connect to the cluster: refused", upgrade.CauseFailed},
		"foreign details":      {temporal.NewApplicationError("it failed", "x", 42), "refused", "it failed", upgrade.CauseFailed},
		"silent agent": {
			temporal.NewTimeoutError(enumspb.TIMEOUT_TYPE_SCHEDULE_TO_START, nil),
			"unavail", "the agent of host db1 does not answer (Inspect); see whether pgleap runs there and what its log says, then try again", upgrade.CauseAgent,
		},
		"no time left": {context.DeadlineExceeded, "unavail", "the agent of host db1 does not answer (Inspect); see whether pgleap runs there and what its log says, then try again", upgrade.CauseAgent},
		"engine":       {errors.New("no connection"), "other", "ask host db1 for Inspect: no connection", ""},
	} {
		err := answered("db1", "Inspect", travelled(test.err))
		if kind(err) != test.kind || upgrade.CauseOf(err) != test.cause || err != nil && err.Error() != test.text {
			t.Errorf("%s: got %s: %v", name, kind(err), err)
		}
	}
}
