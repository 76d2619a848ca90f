package durable

import (
	"context"
	"log/slog"

	sdklog "go.temporal.io/sdk/log"
)

// sdkLogger lets the SDK write to l from warn on. Its info records tell of every worker started
// and stopped, which is noise beside pgleap's own.
func sdkLogger(l *slog.Logger) sdklog.Logger {
	quiet := slog.New(atLeast{Handler: l.Handler(), min: slog.LevelWarn})
	return sdklog.NewStructuredLogger(quiet.With("component", "temporal-sdk"))
}

// atLeast passes on records of level min and above.
type atLeast struct {
	slog.Handler
	min slog.Level
}

// Enabled implements slog.Handler.
func (h atLeast) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= h.min && h.Handler.Enabled(ctx, level)
}

// WithAttrs implements slog.Handler.
func (h atLeast) WithAttrs(attrs []slog.Attr) slog.Handler {
	return atLeast{Handler: h.Handler.WithAttrs(attrs), min: h.min}
}

// WithGroup implements slog.Handler.
func (h atLeast) WithGroup(name string) slog.Handler {
	return atLeast{Handler: h.Handler.WithGroup(name), min: h.min}
}
