// Package agent looks after the clusters of one host: it is the worker of the host's task queue.
package agent

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"go.temporal.io/sdk/client"

	"github.com/pgleap/pgleap/internal/durable"
	"github.com/pgleap/pgleap/internal/postmaster"
	"github.com/pgleap/pgleap/internal/run"
	"github.com/pgleap/pgleap/internal/work/onhost"
)

// Config is what an agent is told.
type Config struct {
	HostID   string
	StateDir string   // its own directory is "agent" below
	Prefixes []string // where PostgreSQL installations are looked for besides the usual places
	// Guard is the command that watches over a switchover; an empty path means none.
	Guard onhost.GuardCommand
	Log   *slog.Logger
}

// Agent is a host's agent.
type Agent struct {
	worker *onhost.Worker
	config Config
}

// New makes the agent of a host.
func New(c Config) *Agent {
	runner := run.New(c.Log)
	host := postmaster.New(c.HostID, runner, c.Prefixes, c.Log)
	return &Agent{config: c, worker: onhost.New(host, runner, filepath.Join(c.StateDir, "agent"), c.Guard, c.Log, time.Now)}
}

// Recover ends what a crash left in the middle of a switchover or of an upgrade in place, and needs
// nothing but what is noted on the host: clients wait, and the record or the engine may be behind the very
// fence that is to be lifted. It returns at once; the channel is closed when nothing is left to do. What
// cannot be ended is tried again until ctx ends.
func (a *Agent) Recover(ctx context.Context) (ended <-chan struct{}) {
	var all sync.WaitGroup
	all.Go(func() {
		if err := a.worker.RecoverSwitchovers(ctx); err != nil {
			a.config.Log.ErrorContext(ctx, "a switchover that was left in the middle could not be ended", "error", err)
		}
	})
	all.Go(func() {
		if err := a.worker.RecoverInPlace(ctx); err != nil {
			a.config.Log.ErrorContext(ctx, "an upgrade in place that was left in the middle could not be ended", "error", err)
		}
	})
	done := make(chan struct{})
	go func() {
		all.Wait()
		close(done)
	}()
	return done
}

// KeepEndpoints keeps the PgBouncers running that are pgleap's own, until ctx ends. It needs notes of the host alone,
// too: after a boot a switchover cannot be ended before its PgBouncer runs.
func (a *Agent) KeepEndpoints(ctx context.Context) { a.worker.KeepEndpoints(ctx) }

// Start begins to work on the host's queue, and returns how to stop.
func (a *Agent) Start(ctx context.Context, temporal client.Client) (stop func(), err error) {
	if err := a.worker.RecoverSnapshots(ctx); err != nil {
		a.config.Log.WarnContext(ctx, "snapshots of an earlier process may still be held", "error", err)
	}
	worker := durable.NewWorker(temporal, durable.HostQueue(a.config.HostID))
	a.worker.Register(worker)
	if err := worker.Start(); err != nil {
		return nil, fmt.Errorf("start agent: %w", err)
	}
	return worker.Stop, nil
}

// Guard watches over the switchover whose journal is at path, see onhost.Worker.Guard.
func (a *Agent) Guard(ctx context.Context, path string) error { return a.worker.Guard(ctx, path) }
