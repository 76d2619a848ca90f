package embedded

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"strings"
	"sync"

	"go.temporal.io/server/common/log"
	"go.temporal.io/server/common/log/tag"
)

// noHTTP begins a warning of every start, that a door which we keep shut is shut.
const noHTTP = "HTTP API port has not been set"

// logger passes what Temporal logs from warn on to slog.
type logger struct {
	slog  *slog.Logger
	phase *phase
}

var _ log.WithLogger = logger{}

func newLogger(l *slog.Logger) logger {
	return logger{slog: l.With("component", "temporal-engine"), phase: &phase{now: building, exit: os.Exit}}
}

// Debug implements log.Logger. Temporal's debug and info records tell of its inner workings;
// there are hundreds at each start.
func (l logger) Debug(string, ...tag.Tag) {}

// Info implements log.Logger.
func (l logger) Info(string, ...tag.Tag) {}

// Warn implements log.Logger.
func (l logger) Warn(msg string, tags ...tag.Tag) { l.write(slog.LevelWarn, msg, tags) }

// Error implements log.Logger.
func (l logger) Error(msg string, tags ...tag.Tag) { l.write(slog.LevelError, msg, tags) }

// DPanic implements log.Logger: a panic in development only, which this is not.
func (l logger) DPanic(msg string, tags ...tag.Tag) { l.write(slog.LevelError, msg, tags) }

// Panic implements log.Logger.
func (l logger) Panic(msg string, tags ...tag.Tag) {
	l.write(slog.LevelError, msg, tags)
	panic(msg)
}

// Fatal implements log.Logger. It does not return.
func (l logger) Fatal(msg string, tags ...tag.Tag) {
	l.phase.fatal(l.slog, fatalError(msg, tags))
}

// With implements log.WithLogger.
func (l logger) With(tags ...tag.Tag) log.Logger {
	return logger{slog: l.slog.With(attrs(tags)...), phase: l.phase}
}

func (l logger) write(level slog.Level, msg string, tags []tag.Tag) {
	if l.phase.is(stopping) || strings.HasPrefix(msg, noHTTP) {
		return
	}
	if ctx := context.Background(); l.slog.Enabled(ctx, level) {
		l.slog.Log(ctx, level, msg, attrs(tags)...) //nolint:sloglint // the message is the engine's
	}
}

func attrs(tags []tag.Tag) []any {
	out := make([]any, 0, len(tags))
	for _, t := range tags {
		out = append(out, slog.Any(t.Key(), t.Value()))
	}
	return out
}

// fatalError makes one error of a record, keeping the error in it for errors.Is.
func fatalError(msg string, tags []tag.Tag) error {
	err := errors.New(msg)
	for _, t := range tags {
		z, ok := t.(tag.ZapTag)
		if !ok {
			continue
		}
		if cause, ok := z.Field().Interface.(error); ok {
			return fmt.Errorf("%s: %w", msg, cause)
		}
	}
	return err
}

// The life of an engine.
const (
	building int32 = iota
	starting
	running
	stopping // the services warn of each other's end
)

// phase is where the engine is in its life. It decides what Temporal's Fatal does to us, which
// means to end the process, as is right for a program of its own.
//
// Until the engine runs, it becomes an error of Start: a port that someone else took a moment ago
// is no reason to die. While the services are built, all in one goroutine, it unwinds that by a
// panic, as the listeners are opened within a sync.OnceValue, which Goexit must not leave. While
// they are started, by goroutines of fx, it ends the one that called, which fx knows to handle.
// Once the engine runs there is no way to stop one part of it, and the process ends.
type phase struct {
	mu   sync.Mutex
	now  int32
	err  error
	exit func(code int)
}

// enter begins a later phase, or returns what was fatal before it.
func (p *phase) enter(next int32) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err == nil || next == stopping {
		// A start that was given up may still end, but does not undo the stop.
		p.now = max(p.now, next)
	}
	return p.err
}

func (p *phase) is(which int32) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.now == which
}

// fatal does not return.
func (p *phase) fatal(l *slog.Logger, err error) {
	p.mu.Lock()
	if p.err == nil {
		p.err = err
	}
	now := p.now
	p.mu.Unlock()
	switch now {
	case building:
		panic(err)
	case running:
		l.Error("the embedded engine cannot go on, so pgleap ends; "+
			"start it again, and running upgrades continue from the step they were in", "error", err)
		p.exit(1)
	}
	runtime.Goexit()
}
