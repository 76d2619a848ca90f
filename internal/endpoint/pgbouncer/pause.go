package pgbouncer

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/pgleap/pgleap/internal/endpoint"
)

// Pause implements endpoint.Session.
func (s *session) Pause(ctx context.Context) error {
	if s.held {
		return nil
	}
	if err := s.openPausers(ctx); err != nil {
		return err
	}
	if err := s.override(ctx); err != nil {
		return err
	}
	start := time.Now()
	waiting, cancel := context.WithCancel(ctx)
	defer cancel() // one that fails ends the others
	results := make(chan error, len(s.pausers))
	commands := s.pauses()
	for i, c := range s.pausers {
		go func() {
			err := pause(waiting, c, commands[i])
			if err != nil {
				cancel()
			}
			results <- err
		}()
	}
	var failed error
	for range s.pausers {
		if err := <-results; err != nil && (failed == nil || errors.Is(failed, context.Canceled)) {
			failed = err
		}
	}
	if failed == nil {
		s.held = true
		return nil
	}
	return s.undoPause(ctx, failed, time.Since(start))
}

// pause sends one PAUSE and waits for its end.
func pause(ctx context.Context, c *console, command string) error {
	replies, err := c.run(ctx, command)
	if err != nil {
		return err
	}
	if replies[0].err != nil && strings.Contains(replies[0].err.Error(), "already suspended/paused") {
		return released(ctx, c) // by a process that died: that PAUSE may not have ended yet
	}
	return replies[0].err
}

// released waits until PgBouncer has no server connection in use.
func released(ctx context.Context, c *console) error {
	for tick := time.NewTicker(time.Millisecond); ; {
		replies, err := c.run(ctx, "SHOW SERVERS", "SHOW CLIENTS")
		if err != nil {
			return err
		}
		if err := refused(replies); err != nil {
			return err
		}
		if len(readTransactions(replies[0], replies[1], func(string) bool { return true })) == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// undoPause lets the clients go on, and tells why the pause did not succeed. The connections that
// wait are dropped: after a RESUME from elsewhere their PAUSE would never answer
// (PgBouncer issue 715), and a dropped one leaves its database paused, hence the RESUME comes first.
func (s *session) undoPause(ctx context.Context, failed error, waited time.Duration) error {
	undo, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	defer s.closePausers()
	looks := []string{"SHOW SERVERS", "SHOW CLIENTS"}
	replies, err := s.do(undo, append(looks, s.resumes()...)...)
	if err == nil {
		err = s.Resume(undo)
	}
	if err != nil {
		return fmt.Errorf("%w; moreover clients may still be held: %w: RESUME PgBouncer on its console", failed, err)
	}
	if ctx.Err() == nil {
		return fmt.Errorf("pause: %w", failed)
	}
	names := s.names
	if s.all {
		names = []string{"all databases"}
	}
	return &endpoint.Blocked{
		Databases: names, Waited: waited, Err: ctx.Err(),
		Transactions: readTransactions(replies[0], replies[1], s.ours),
	}
}

// ours tells whether a database that PgBouncer serves belongs to the endpoint.
func (s *session) ours(name string) bool {
	if s.all {
		return true
	}
	for _, n := range s.names {
		if n == name {
			return true
		}
	}
	return false
}
