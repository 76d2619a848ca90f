package pgbouncer

import (
	"context"
	"errors"
	"fmt"
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
	s.awaitLogins(ctx)
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

// awaitLogins waits, for a short time, until PgBouncer is not just logging in to the cluster. PAUSE
// would interrupt that, and PgBouncer would tell clients that come during the pause that the login
// "has been failing" (objects.c, check_fast_fail), where otherwise they wait.
//
// A pool that has clients waiting may begin a login at any moment, unless it is full.
func (s *session) awaitLogins(ctx context.Context) {
	const patience, patienceWithFullPools = 250 * time.Millisecond, 50 * time.Millisecond
	start := time.Now()
	for tick := time.NewTicker(time.Millisecond); ; {
		replies, err := s.do(ctx, "SHOW POOLS")
		if err != nil {
			return
		}
		pools, err := readPools(replies[0])
		if err != nil {
			return
		}
		logins, waiting := 0, 0
		for name, p := range pools {
			if s.ours(name) {
				logins, waiting = logins+p.logins, waiting+p.waiting
			}
		}
		waited := time.Since(start)
		if waited > patience || logins == 0 && (waiting == 0 || waited > patienceWithFullPools) {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// pause sends one PAUSE and waits for its end.
func pause(ctx context.Context, c *console, command string) error {
	replies, err := c.run(ctx, command)
	if err != nil {
		return err
	}
	if alreadyPaused(replies[0].err) {
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
