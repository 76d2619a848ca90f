package durable

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"go.temporal.io/api/workflowservice/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const (
	beat = workflowservice.WorkflowService_RecordActivityTaskHeartbeat_FullMethodName
	poll = workflowservice.WorkflowService_PollActivityTaskQueue_FullMethodName
)

// The SDK's own limit of 1 s ends every call but a heart-beat.
func TestPatientHeartbeats(t *testing.T) {
	stalls := func(stall time.Duration) grpc.UnaryInvoker {
		return func(ctx context.Context, _ string, _, _ any, _ *grpc.ClientConn, _ ...grpc.CallOption) error {
			select {
			case <-ctx.Done():
				return status.FromContextError(ctx.Err()).Err()
			case <-time.After(stall):
				return nil
			}
		}
	}
	failsFor := func(outage time.Duration) grpc.UnaryInvoker {
		begun := time.Now()
		return func(context.Context, string, any, any, *grpc.ClientConn, ...grpc.CallOption) error {
			if time.Since(begun) < outage {
				return status.Error(codes.Unavailable, "connection refused")
			}
			return nil
		}
	}
	says := func(code codes.Code) func(time.Duration) grpc.UnaryInvoker {
		return func(time.Duration) grpc.UnaryInvoker {
			return func(context.Context, string, any, any, *grpc.ClientConn, ...grpc.CallOption) error {
				return status.Error(code, "for good")
			}
		}
	}
	for _, c := range []struct {
		name   string
		method string
		engine func(time.Duration) grpc.UnaryInvoker
		stall  time.Duration
		cancel time.Duration // when the activity ends; 0: it does not
		code   codes.Code
		took   time.Duration
	}{
		{name: "an engine that answers", method: beat, engine: stalls, stall: time.Millisecond, took: time.Millisecond},
		{name: "a stall is waited for", method: beat, engine: stalls, stall: 7 * time.Second, took: 7 * time.Second},
		{name: "one that is too long is not", method: beat, engine: stalls, stall: time.Minute, code: codes.DeadlineExceeded, took: 8 * time.Second},
		{name: "a restart is waited for", method: beat, engine: failsFor, stall: 5 * time.Second, took: 5 * time.Second},
		{name: "one that is too long is not either", method: beat, engine: failsFor, stall: time.Minute, code: codes.Unavailable, took: 8 * time.Second},
		{name: "an activity that the engine has given up ends at once", method: beat, engine: says(codes.NotFound), code: codes.NotFound},
		{name: "nothing is waited for when the activity ends", method: beat, engine: stalls, stall: time.Minute, cancel: 500 * time.Millisecond, code: codes.Canceled, took: 500 * time.Millisecond},
		{name: "other calls keep their limit", method: poll, engine: stalls, stall: 7 * time.Second, code: codes.DeadlineExceeded, took: time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				if c.cancel > 0 {
					time.AfterFunc(c.cancel, cancel)
				}
				begun := time.Now()
				err := patientHeartbeats(heartbeatPatience)(ctx, c.method, nil, nil, nil, c.engine(c.stall))
				if took := time.Since(begun); status.Code(err) != c.code || took != c.took {
					t.Errorf("%v after %v, want %v after %v", err, took, c.code, c.took)
				}
			})
		})
	}
}
