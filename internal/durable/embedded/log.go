package embedded

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"sync"

	"go.temporal.io/server/common/log"
	"go.temporal.io/server/common/log/tag"
)

// logger passes what Temporal logs from warn on to slog.
type logger struct {
	slog  *slog.Logger
	fatal *fatal
}

var _ log.WithLogger = logger{}

func newLogger(l *slog.Logger) logger {
	return logger{slog: l.With("component", "temporal-engine"), fatal: &fatal{starting: true, exit: os.Exit}}
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
	l.fatal.end(l, fatalError(msg, tags))
}

// With implements log.WithLogger.
func (l logger) With(tags ...tag.Tag) log.Logger {
	return logger{slog: l.slog.With(attrs(tags)...), fatal: l.fatal}
}

func (l logger) write(level slog.Level, msg string, tags []tag.Tag) {
	if ctx := context.Background(); l.slog.Enabled(ctx, level) {
		l.slog.Log(ctx, level, msg, attrs(tags)...)
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

// fatal is what Temporal's Fatal does to us. It means to end the process, as is right for a
// program of its own. While the engine starts, it ends only the goroutine that called and
// becomes Start's error: a port that someone else took a moment ago is no reason to die.
// Afterwards there is no way to stop a part of the engine, and the process must end.
type fatal struct {
	mu       sync.Mutex
	starting bool
	err      error
	exit     func(code int)
}

func (f *fatal) end(l logger, err error) {
	f.mu.Lock()
	starting := f.starting
	if f.err == nil {
		f.err = err
	}
	f.mu.Unlock()
	if starting {
		runtime.Goexit()
	}
	l.slog.Error("the embedded engine cannot go on, so pgleap ends; "+
		"start it again, and running upgrades continue from the step they were in", "error", err)
	f.exit(1)
	runtime.Goexit()
}

// started closes the time in which Fatal is forgiven, unless it was called.
func (f *fatal) started() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err == nil {
		f.starting = false
	}
	return f.err
}
