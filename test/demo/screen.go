package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/test/harness"
)

// screen prints what happens, each line with the time since the beginning.
type screen struct {
	out   io.Writer
	begun time.Time
	mu    *sync.Mutex
	done  chan struct{} // closed when the log of the task has been printed to its end
}

func newScreen(out io.Writer) screen {
	return screen{out: out, begun: time.Now(), mu: &sync.Mutex{}, done: make(chan struct{})}
}

func (s *screen) title(format string, args ...any) { s.print("", "\n== "+format, args...) }

func (s *screen) say(format string, args ...any) { s.print("   ", format, args...) }

func (s *screen) command(args ...string) { s.print("   ", "$ pgleap %s", strings.Join(args, " ")) }

func (s *screen) print(indent, format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	text := strings.TrimRight(fmt.Sprintf(format, args...), " ")
	if blank, rest, found := strings.Cut(text, "\n"); found && blank == "" {
		fmt.Fprintln(s.out)
		text = rest
	}
	fmt.Fprintf(s.out, "%6.1f s %s%s\n", time.Since(s.begun).Seconds(), indent, text)
}

// follow prints a task's log as it grows, and now and then where the running step stands.
func (s *screen) follow(ctx context.Context, server *harness.Server, number int64) {
	go func() {
		defer close(s.done)
		var seen int64
		var phase upgrade.Phase
		var told time.Time
		for {
			task, errTask := server.Task(ctx, number)
			events, errEvents := server.Events(ctx, number, seen)
			for _, e := range events {
				seen = e.Seq
				s.print("   ", "%-16s %s%s", e.Phase, mark(e.Level), e.Text)
			}
			if errTask == nil && (task.Phase != phase || time.Since(told) > 2*time.Second) {
				if line := progressLine(task); line != "" || task.Phase != phase {
					s.print("   ", "%-16s %s", task.Phase, line)
				}
				phase, told = task.Phase, time.Now()
			}
			if errTask == nil && errEvents == nil && task.Status.Ended() && len(events) == 0 {
				return
			}
			select {
			case <-ctx.Done():
				return
			case <-time.After(250 * time.Millisecond):
			}
		}
	}()
}

// followed waits until the log has been printed to its end.
func (s *screen) followed() {
	select {
	case <-s.done:
	case <-time.After(5 * time.Second):
	}
}

func mark(level upgrade.Level) string {
	if level == upgrade.LevelInfo {
		return ""
	}
	return strings.ToUpper(string(level)) + ": "
}

// progressLine is where the running step stands, in one line.
func progressLine(t upgrade.Task) string {
	p := t.Progress
	if p == nil || p.Phase != t.Phase || t.Status.Ended() {
		return ""
	}
	line := p.Step
	switch {
	case p.Lag != nil:
		line = fmt.Sprintf("lag %d kB, %.1f s", p.Lag.Bytes>>10, p.Lag.LagSeconds)
	case p.Total > 0 && p.Unit == "bytes":
		line += fmt.Sprintf(" %d of %d MB", p.Done>>20, p.Total>>20)
	case p.Total > 0:
		line += fmt.Sprintf(" %d of %d %s", p.Done, p.Total, p.Unit)
	case p.Text != "":
		line += ": " + p.Text
	}
	return line
}

// showLogs prints the ends of the servers' logs: what failed is told there.
func (d *demo) showLogs() {
	logs, _ := filepath.Glob(filepath.Join(d.place.Logs(), "*.log"))
	for _, log := range logs {
		content, err := os.ReadFile(log)
		if err == nil && len(content) > 0 {
			fmt.Fprintf(os.Stderr, "\n--- the end of %s\n%s\n", log, harness.Tail(string(content), 30))
		}
	}
}
