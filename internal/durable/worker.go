package durable

import (
	"runtime/debug"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
)

// HeartbeatTimeout is what activities of pgleap that run for long should ask for.
//
// It decides how soon an upgrade goes on after the process that carried out a step was killed:
// the engine sees a dead worker only by the heart-beats that stay out, and hands the step out
// again when this time has passed since the last one, plus the first interval of the activity's
// retry policy (1 s unless set). Shorter, and a host that swaps or stalls in fsync loses steps
// that are in good health. Nothing else waits: a timer, a signal, or a step that was not begun
// goes on as soon as a worker is there (20 to 50 ms after a signal, in TestKillWhileWaiting),
// on a cluster of the user's own after stickyTimeout at most.
const HeartbeatTimeout = 10 * time.Second

const (
	// heartbeatInterval lets heart-beats through that carry progress once a second; the
	// SDK's own default holds them back for 80 % of the heart-beat timeout. How long one may take
	// is another matter, see patientHeartbeats.
	heartbeatInterval = 500 * time.Millisecond

	// stickyTimeout bounds how long a workflow waits for the worker that has it in memory and
	// may be dead, before any worker gets it. The embedded engine usually need not wait: it
	// forgets its pollers when it restarts, and a sticky queue without a poller is passed
	// over at once.
	stickyTimeout = 2 * time.Second

	// stopTimeout is what running activities get to end by themselves when the worker stops.
	// An activity whose context ends by this must leave the world such that it can be taken
	// up again, as after SIGKILL.
	stopTimeout = 5 * time.Second

	// cachedWorkflows is plenty for upgrades under way; the SDK's 10,000 would keep finished
	// ones of months.
	cachedWorkflows = 256
)

// NewWorker returns a worker of one task queue. A worker of a host's queue has activities only.
func NewWorker(c client.Client, queue string) worker.Worker {
	// Settings of the whole process; all our workers have the same.
	worker.SetStickyWorkflowCacheSize(cachedWorkflows)
	worker.SetBinaryChecksum(build())
	return worker.New(c, queue, worker.Options{
		MaxHeartbeatThrottleInterval:     heartbeatInterval,
		DefaultHeartbeatThrottleInterval: heartbeatInterval,
		StickyScheduleToStartTimeout:     stickyTimeout,
		WorkerStopTimeout:                stopTimeout,
		DisableWorkflowWorker:            queue != ServerQueue,
		// Functions registered under a name are called by that name alone: the contract
		// between flow and work is step's names.
		DisableRegistrationAliasing: true,
	})
}

// build names the build in the events of a history. Without it the SDK would read the whole
// executable for a checksum at each start: four times the work of starting the engine.
func build() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "unknown"
}
