package durable

import (
	"context"
	"errors"
	"slices"
	"time"

	"go.temporal.io/api/workflowservice/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const (
	// heartbeatPatience is how long a heart-beat may take to get through. It begins at most the interval
	// between two beats after the last one that did, so it ends before the engine hands the activity out
	// again: no two of them run.
	heartbeatPatience = HeartbeatTimeout * 8 / 10

	// heartbeatRetry is the time between two tries of one.
	heartbeatRetry = 200 * time.Millisecond
)

// heartbeatTries are what may pass: the engine restarts, is overloaded, or its database is away.
var heartbeatTries = []codes.Code{
	codes.Unavailable, codes.DeadlineExceeded, codes.ResourceExhausted, codes.Aborted, codes.Internal, codes.Unknown,
}

// patientHeartbeats gives the heart-beats of activities a limit of their own. The SDK gives one, with all its
// tries, no longer than the throttle interval or 1 s, and cancels the activity if it does not get through
// (internal_task_handlers.go, internalHeartBeat): an engine that stalls for two seconds would end a base
// backup of hours. A stall that is shorter than patience changes nothing.
func patientHeartbeats(patience time.Duration) grpc.UnaryClientInterceptor {
	return func(ctx context.Context, method string, request, reply any, conn *grpc.ClientConn, invoke grpc.UnaryInvoker, options ...grpc.CallOption) error {
		if method != workflowservice.WorkflowService_RecordActivityTaskHeartbeat_FullMethodName {
			return invoke(ctx, method, request, reply, conn, options...)
		}
		patient, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
		defer cancel()
		// It is not the SDK's limit that ends it, but the end of the activity does.
		stop := context.AfterFunc(ctx, func() {
			if errors.Is(ctx.Err(), context.Canceled) {
				cancel()
			}
		})
		defer stop()
		for {
			err := invoke(patient, method, request, reply, conn, options...)
			if err == nil || !slices.Contains(heartbeatTries, status.Code(err)) {
				return err
			}
			select {
			case <-patient.Done():
				return err
			case <-time.After(heartbeatRetry):
			}
		}
	}
}
