package endpointtest

import (
	"context"
	"io"
	"log/slog"
	"testing"
	"time"

	"github.com/pgleap/pgleap/internal/endpoint"
)

func guardRollsBack(t *testing.T, f Fixture) {
	parent, ended := f.guard(t, endpoint.RollBack, time.Time{})
	dead := f.open(t)
	must(t, "pause", dead.Pause(t.Context()))
	must(t, "move", dead.Move(t.Context(), f.TargetAddress))
	must(t, "die", parent.Close())
	must(t, "guard", <-ended)
	f.wantAt(t, f.Source)
}

func guardRollsForward(t *testing.T, f Fixture) {
	parent, ended := f.guard(t, endpoint.RollForward, time.Time{})
	must(t, "pause", f.open(t).Pause(t.Context()))
	must(t, "set deadline", endpoint.NewGuard(parent).Deadline(time.Now().Add(50*time.Millisecond)))
	must(t, "guard", <-ended)
	f.wantAt(t, f.Target)
}

func guardDismissed(t *testing.T, f Fixture) {
	parent, ended := f.guard(t, endpoint.RollBack, time.Now().Add(time.Hour))
	s := f.open(t)
	must(t, "pause", s.Pause(t.Context()))
	must(t, "dismiss", endpoint.NewGuard(parent).Done())
	must(t, "guard", <-ended)
	if !f.state(t).Paused() {
		t.Error("a guard that was dismissed resumed the clients")
	}
	must(t, "resume", s.Resume(t.Context()))
}

// guard runs a guard that decides as told, and returns when it stands.
func (f Fixture) guard(t *testing.T, decision endpoint.Decision, deadline time.Time) (io.WriteCloser, <-chan error) {
	t.Helper()
	reading, writing := io.Pipe()
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		ended <- endpoint.RunGuard(t.Context(), endpoint.GuardConfig{
			Driver: f.Driver, Source: f.SourceAddress, Target: f.TargetAddress,
			Parent: reading, Deadline: deadline,
			Decide: func(context.Context) (endpoint.Decision, error) { return decision, nil },
			Ready:  func() { close(ready) },
			Log:    slog.New(slog.NewTextHandler(t.Output(), nil)),
		})
	}()
	select {
	case <-ready:
	case err := <-ended:
		t.Fatalf("guard: %v", err)
	}
	return writing, ended
}
