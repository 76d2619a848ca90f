package onhost

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/pgleap/pgleap/internal/endpoint"
	"github.com/pgleap/pgleap/internal/run"
	"github.com/pgleap/pgleap/internal/switchover"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// readyDescriptor is the one on which a guard says that it stands: a pipe, the next after the standard ones.
const readyDescriptor = 3

// guardStart is how long a guard may take until it stands, on a busy machine.
const guardStart = 30 * time.Second

// startGuard starts a process of our own program that outlives this one, and waits until it stands: then
// nobody waits for its start, and it takes no processor time from the pause. It holds the reading end of a
// pipe; the writing end, which no other process inherits, closes when we die.
func (w *Worker) startGuard(ctx context.Context, plan upgrade.Plan, journal string) (*endpoint.Guard, error) {
	if w.guard.Path == "" {
		return nil, nil
	}
	files, err := w.files(plan)
	if err != nil {
		return nil, err
	}
	read, write, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("make pipe: %w", err)
	}
	defer read.Close() //nolint:errcheck // the guard has its own descriptor
	ready, said, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("make pipe: %w", err), write.Close())
	}
	defer ready.Close() //nolint:errcheck // it was only read
	command := run.Command{
		Path: w.guard.Path, Args: append(append([]string{}, w.guard.Args...), journal),
		Stdin: read, Files: []*os.File{said}, Transcript: files.transcript("guard"),
	}
	_, err = w.runner.StartDetached(ctx, command)
	_ = said.Close() // the guard has its own: when it ends, so does the pipe
	if err == nil {
		err = awaitGuard(ctx, ready, command.Transcript)
	}
	if err != nil {
		_ = write.Close()
		return nil, err
	}
	return endpoint.NewGuard(write), nil
}

// awaitGuard waits until a guard says that it stands.
func awaitGuard(ctx context.Context, ready *os.File, transcript string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, guardStart, fmt.Errorf("it does not stand after %s", guardStart))
	defer cancel()
	defer context.AfterFunc(ctx, func() { _ = ready.SetReadDeadline(time.Now()) })()
	_, err := io.ReadFull(ready, make([]byte, 1))
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	}
	return fmt.Errorf("it ended before it stood, see %s: %w", transcript, err)
}

// standing tells the process that started this one as a guard that it stands.
func standing() {
	var stat syscall.Stat_t
	if syscall.Fstat(readyDescriptor, &stat) != nil || stat.Mode&syscall.S_IFMT != syscall.S_IFIFO {
		return // another program has started it, which does not wait
	}
	ready := os.NewFile(readyDescriptor, "ready")
	_, _ = ready.Write([]byte{'\n'})
	_ = ready.Close()
}

// Guard watches over the switchover of a journal until the process that started it says that it is
// done. When that process dies or misses the deadline, it ends the switchover as the journal tells. Or it
// is the process that holds the snapshots of a verification.
func (w *Worker) Guard(ctx context.Context, path string) error {
	if w.IsOutage(path) {
		return w.GuardInPlace(ctx, path, os.Stdin)
	}
	if isSnapshots(path) {
		return w.holdSnapshots(ctx, path)
	}
	// Who ends the agent may signal its whole session or group; the guard is for just that moment.
	signal.Ignore(os.Interrupt)
	journal := switchover.OpenJournal(path, w.now)
	state, err := journal.Read()
	if err != nil {
		return err
	}
	plan := state.Intent.Plan
	config := w.switchoverConfig(plan, journal)
	return endpoint.RunGuard(ctx, endpoint.GuardConfig{
		Driver: config.Endpoint, Parent: os.Stdin, Log: w.log,
		Source: endpoint.Address{Host: state.Intent.SourceHost, Port: plan.Source.Port},
		Target: endpoint.Address{Host: state.Intent.TargetHost, Port: plan.Target.Port},
		Decide: func(ctx context.Context) (endpoint.Decision, error) { return w.decide(ctx, config) },
		Ready:  standing,
	})
}

// decide ends the switchover by itself: what is left to the guard's endpoint is nothing, or to do
// the same again.
func (w *Worker) decide(ctx context.Context, config switchover.Config) (endpoint.Decision, error) {
	_, err := w.recover(ctx, config)
	return endpoint.Leave, err
}
