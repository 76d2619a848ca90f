package embedded

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"syscall"
	"testing"

	"go.temporal.io/server/common/log"
	"go.temporal.io/server/common/log/tag"
)

func TestLoggerPassesFromWarnOn(t *testing.T) {
	var out bytes.Buffer
	l := newLogger(slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug})))
	l.Debug("d")
	l.Info("i")
	l.Warn(noHTTP + ". To enable it, …")
	l.Warn("w", tag.WorkflowID("upgrade-1"))
	log.With(l, tag.ShardID(1)).Error("e", tag.Error(errors.New("broken")))
	if err := l.phase.enter(stopping); err != nil {
		t.Fatal(err)
	}
	l.Error("other services are going")
	got := strings.TrimSpace(out.String())
	lines := strings.Split(got, "\n")
	if len(lines) != 2 || !strings.Contains(lines[0], "msg=w component=temporal-engine wf-id=upgrade-1") ||
		!strings.Contains(lines[1], "msg=e component=temporal-engine shard-id=1 error=broken") {
		t.Errorf("logged:\n%s", got)
	}
}

func TestFatal(t *testing.T) {
	tests := map[string]struct {
		when      int32
		wantPanic bool
		wantExit  bool
		wantLog   string
	}{
		"while building": {building, true, false, ""},
		"while starting": {starting, false, false, ""},
		"when running":   {running, false, true, "pgleap ends"},
		"while stopping": {stopping, false, false, ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			l := newLogger(slog.New(slog.NewTextHandler(&out, nil)))
			exited := false
			l.phase.exit = func(int) { exited = true }
			if err := l.phase.enter(test.when); err != nil {
				t.Fatal(err)
			}
			returned, panicked := callFatal(l)
			if returned {
				t.Error("Fatal returned to its caller")
			}
			if panicked != test.wantPanic {
				t.Errorf("panicked: %v, want %v", panicked, test.wantPanic)
			}
			if exited != test.wantExit {
				t.Errorf("process ended: %v, want %v", exited, test.wantExit)
			}
			if got := out.String(); !strings.Contains(got, test.wantLog) || (test.wantLog == "" && got != "") {
				t.Errorf("logged %q", got)
			}
			if err := l.phase.enter(running); !errors.Is(err, syscall.EADDRINUSE) || !strings.Contains(err.Error(), "cannot listen") {
				t.Errorf("kept error %v", err)
			}
		})
	}
}

// callFatal does so in a goroutine, which may end of it.
func callFatal(l log.Logger) (returned, panicked bool) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() { panicked = recover() != nil }()
		l.Fatal("cannot listen", tag.Error(syscall.EADDRINUSE))
		returned = true
	}()
	<-done
	return returned, panicked
}
