package endpoint

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"
)

// Decision is what is to become of an endpoint whose switchover was left in the middle.
type Decision int

// The decisions. There is no third way to end a switchover; Leave means that it has ended.
const (
	Leave       Decision = iota // nothing to do: somebody has finished or undone it
	RollBack                    // clients go on at the source
	RollForward                 // clients go on at the target
)

// String names a decision.
func (d Decision) String() string {
	switch d {
	case Leave:
		return "leave"
	case RollBack:
		return "roll back"
	case RollForward:
		return "roll forward"
	}
	return fmt.Sprintf("decision %d", int(d))
}

// GuardConfig is what a guard needs to know.
type GuardConfig struct {
	Driver         Driver
	Source, Target Address
	// Parent is the reading end of a pipe whose only writer is the process that is being guarded
	// (see Guard): its end of file is that process's death.
	Parent io.Reader
	// Deadline is when the guard acts although the parent lives. Zero: not before the parent says so.
	Deadline time.Time
	// Decide looks at the journal. It must make its answer binding before it returns, so that the
	// parent, should it only have been slow, cannot commit after a RollBack; and it undoes the fence
	// before it returns RollBack, because clients go on right after.
	Decide func(ctx context.Context) (Decision, error)
	// Ready is called once the guard stands. May be nil.
	Ready func()
	// Patience is how long it goes on trying when the endpoint or the journal cannot be reached. Default 10 min.
	Patience time.Duration
	Log      *slog.Logger
}

// RunGuard watches a process that is switching an endpoint, from a process of its own, and ends the
// switchover when that process dies or its deadline passes. It returns nil when the parent said that
// it is done, or when the endpoint is in order again.
func RunGuard(ctx context.Context, cfg GuardConfig) error {
	session, err := cfg.Driver.Open(ctx) // now, not when it is needed: then everything may be busy
	if err != nil {
		return fmt.Errorf("guard endpoint: %w", err)
	}
	defer func() { session.Close() }()
	if cfg.Ready != nil {
		cfg.Ready()
	}
	reason, err := watch(ctx, cfg)
	if err != nil || reason == "" {
		return err
	}
	if cfg.Patience == 0 {
		cfg.Patience = 10 * time.Minute
	}
	ctx, cancel := context.WithTimeout(ctx, cfg.Patience)
	defer cancel()
	for {
		decision, err := settle(ctx, cfg, session)
		if err == nil {
			cfg.Log.WarnContext(ctx, "guard ended a switchover", "reason", reason, "decision", decision.String())
			return nil
		}
		cfg.Log.WarnContext(ctx, "guard could not end a switchover yet", "reason", reason, "error", err)
		select {
		case <-ctx.Done():
			return fmt.Errorf("guard endpoint: %s, and the switchover could not be ended: %w", reason, err)
		case <-time.After(200 * time.Millisecond):
		}
		if fresh, err := cfg.Driver.Open(ctx); err == nil { // the endpoint may have been restarted
			session.Close()
			session = fresh
		}
	}
}

// watch returns why the guard has to act, or nothing if the parent is done.
func watch(ctx context.Context, cfg GuardConfig) (string, error) {
	lines := linesOf(ctx, cfg.Parent)
	timer := time.NewTimer(time.Until(cfg.Deadline))
	defer timer.Stop()
	if cfg.Deadline.IsZero() {
		timer.Stop()
	}
	for {
		select {
		case <-ctx.Done():
			return "", ctx.Err()
		case <-timer.C:
			return "the deadline passed", nil
		case line, open := <-lines:
			if !open {
				return "the process that was switching died", nil
			}
			word, rest, _ := strings.Cut(line, " ")
			if word == lineDone {
				return "", nil
			}
			if word != lineDeadline {
				continue
			}
			at, err := time.Parse(time.RFC3339Nano, rest)
			if err != nil {
				return "", fmt.Errorf("guard endpoint: read deadline: %w", err)
			}
			timer.Reset(time.Until(at))
		}
	}
}

// linesOf is what the parent says, line by line. It ends with the parent.
func linesOf(ctx context.Context, parent io.Reader) <-chan string {
	lines := make(chan string)
	go func() {
		defer close(lines)
		for in := bufio.NewScanner(parent); in.Scan(); {
			select {
			case lines <- strings.TrimSpace(in.Text()):
			case <-ctx.Done():
				return
			}
		}
	}()
	return lines
}

func settle(ctx context.Context, cfg GuardConfig, session Session) (Decision, error) {
	decision, err := cfg.Decide(ctx)
	if err != nil {
		return decision, fmt.Errorf("decide: %w", err)
	}
	switch decision {
	case Leave:
		return decision, nil
	case RollBack:
		return decision, session.Recover(ctx, cfg.Source)
	case RollForward:
		return decision, session.Recover(ctx, cfg.Target)
	}
	return decision, fmt.Errorf("decide: unknown %s", decision)
}

// What the parent writes to its guard, one per line.
const (
	lineDone     = "done"
	lineDeadline = "deadline"
)

// Guard is the parent's side: the writing end of the pipe that the guard reads.
type Guard struct {
	to io.WriteCloser
}

// NewGuard takes the writing end of the pipe. No other process may hold it open: it must not be
// inherited by programs that the parent starts, or the guard would not see the parent die.
func NewGuard(to io.WriteCloser) *Guard { return &Guard{to: to} }

// Deadline sets or shifts the time at which the guard acts.
func (g *Guard) Deadline(at time.Time) error {
	if _, err := fmt.Fprintf(g.to, "%s %s\n", lineDeadline, at.Format(time.RFC3339Nano)); err != nil {
		return fmt.Errorf("tell guard its deadline: %w", err)
	}
	return nil
}

// Done sends the guard home.
func (g *Guard) Done() error {
	_, err := fmt.Fprintln(g.to, lineDone)
	if err := errors.Join(err, g.to.Close()); err != nil {
		return fmt.Errorf("dismiss guard: %w", err)
	}
	return nil
}
