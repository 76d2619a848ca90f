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
	f := follower{screen: s, server: server, number: number}
	go func() {
		defer close(s.done)
		for !f.look(ctx) {
			select {
			case <-ctx.Done():
				return
			case <-time.After(250 * time.Millisecond):
			}
		}
	}()
}

// follower knows what was printed of a task.
type follower struct {
	*screen

	server *harness.Server
	number int64
	seen   int64         // the last line of its log
	phase  upgrade.Phase // that was entered last
	line   string        // where the step stood last
	told   time.Time     // when that was
}

// look prints what is new, and tells whether the log has ended.
func (f *follower) look(ctx context.Context) (ended bool) {
	task, errTask := f.server.Task(ctx, f.number)
	events, errEvents := f.server.Events(ctx, f.number, f.seen)
	if errTask == nil && task.Phase != f.phase {
		f.phase = task.Phase
		f.print("   ", "%s", f.phase)
	}
	for _, e := range events {
		f.seen = e.Seq
		f.print("   ", "%-16s %s%s", e.Phase, mark(e.Level), e.Text)
	}
	if errTask != nil || errEvents != nil {
		return false
	}
	if line := progressLine(task); line != "" && line != f.line && time.Since(f.told) > 2*time.Second {
		f.line, f.told = line, time.Now()
		f.print("   ", "%-16s %s", f.phase, line)
	}
	return task.Status.Ended() && len(events) == 0
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

// progressLine is where the running step stands, in one line; nothing if it does not tell.
func progressLine(t upgrade.Task) string {
	p := t.Progress
	if p == nil || p.Phase != t.Phase || t.Status.Ended() {
		return ""
	}
	switch {
	case p.Lag != nil:
		return fmt.Sprintf("lag %d kB, %.1f s", p.Lag.Bytes>>10, p.Lag.LagSeconds)
	case p.Total > 0 && p.Unit == "bytes":
		return fmt.Sprintf("%s: %d of %d MB", p.Step, p.Done>>20, p.Total>>20)
	case p.Total > 0:
		return fmt.Sprintf("%s: %d of %d %s", p.Step, p.Done, p.Total, p.Unit)
	case p.Text != "":
		return p.Step + ": " + p.Text
	}
	return ""
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
