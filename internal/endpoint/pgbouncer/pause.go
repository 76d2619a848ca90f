package pgbouncer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/pgleap/pgleap/internal/endpoint"
)

// maxPauses is how often a pause that has cut a login is undone and tried again.
const maxPauses = 10

// Pause implements endpoint.Session.
func (s *session) Pause(ctx context.Context) (err error) {
	if s.held {
		return nil
	}
	start := time.Now()
	if err := s.openPausers(ctx); err != nil {
		return s.expired(ctx, err, start)
	}
	if err := s.override(ctx); err != nil {
		return s.expired(ctx, err, start)
	}
	defer func() {
		if err != nil && s.narrowed { // else the RESUME has done it
			_, _ = s.do(context.WithoutCancel(ctx), s.widening()...)
		}
	}()
	for attempt := 1; ; attempt++ {
		if err := s.narrow(ctx); err != nil {
			return s.expired(ctx, err, start)
		}
		s.awaitLogins(ctx)
		s.pids = nil // of an attempt that was cut
		cut, err := s.pauseAll(ctx)
		if err != nil {
			return err
		}
		if cut == 0 {
			s.held = true
			return nil
		}
		if attempt == maxPauses {
			return fmt.Errorf("pause: PgBouncer was just logging in to the cluster each of %d times, and clients that come then would be turned away; "+
				"clients continue, try again when fewer connections are being made", attempt)
		}
		if err := s.openPausers(ctx); err != nil {
			return s.expired(ctx, err, start)
		}
	}
}

// expired tells, if the time was over before the PAUSE was sent, what would have held it.
func (s *session) expired(ctx context.Context, err error, start time.Time) error {
	if ctx.Err() == nil {
		return err
	}
	return s.undoPause(ctx, err, time.Since(start))
}

// pauseAll pauses every database at once. It returns how many logins to the cluster it has cut: then clients
// go on again.
func (s *session) pauseAll(ctx context.Context) (cut int, err error) {
	start := time.Now()
	waiting, cancel := context.WithCancel(ctx)
	defer cancel() // one that fails ends the others
	type result struct {
		pids []int
		cut  int
		err  error
	}
	results := make(chan result, len(s.pausers))
	commands := s.pauses()
	for i, c := range s.pausers {
		go func() {
			pids, cut, err := s.pause(waiting, c, commands[i])
			if err != nil {
				cancel()
			}
			results <- result{pids, cut, err}
		}()
	}
	var failed error
	for range s.pausers {
		r := <-results
		if r.cut > 0 && cut == 0 {
			err = s.release(ctx)
			cancel()
		}
		cut += r.cut
		s.pids = append(s.pids, r.pids...)
		if r.err != nil && (failed == nil || errors.Is(failed, context.Canceled)) {
			failed = r.err
		}
	}
	switch {
	case cut > 0:
		return cut, err
	case failed != nil:
		return 0, s.undoPause(ctx, failed, time.Since(start))
	}
	return 0, nil
}

// release lets clients go on at once: those that come now are turned away. The connections whose PAUSE still
// waits are of no use any more (PgBouncer issue 715).
func (s *session) release(ctx context.Context) error {
	undo, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	defer s.closePausers()
	return s.Resume(undo)
}

// awaitLogins waits until PgBouncer is not just logging in to the cluster. PAUSE
// would interrupt that, and PgBouncer would tell clients that come during the pause that the login
// "has been failing" (objects.c, check_fast_fail), where otherwise they wait.
//
// Nobody is held meanwhile, so it can be patient. A pool with a size of its own (pool_size of a database) that
// has clients waiting may begin a login at any moment, unless it is full: that is not waited for long.
func (s *session) awaitLogins(ctx context.Context) {
	const patience, patienceWithFullPools = 5 * time.Second, 5 * time.Millisecond
	start := time.Now()
	for tick := time.NewTicker(time.Millisecond); ; {
		replies, err := s.do(ctx, "SHOW POOLS")
		if err != nil {
			return
		}
		logins, waiting, err := s.busy(replies[0])
		if err != nil {
			return
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

// busy counts the logins under way and the clients that wait for a connection.
func (s *session) busy(r reply) (logins, waiting int, err error) {
	pools, err := readPools(r)
	for name, p := range pools {
		if s.ours(name) {
			logins, waiting = logins+p.logins, waiting+p.waiting
		}
	}
	return logins, waiting, err
}

// pause sends one PAUSE and waits for its end, unless it cuts a login. That is asked in the same write, and so are the
// backends of the connections that it closes: PgBouncer does nothing else in between.
func (s *session) pause(ctx context.Context, c *console, command string) (pids []int, cut int, err error) {
	replies, err := c.runUntil(ctx, func(r reply) bool {
		logins, _, err := s.busy(r) // that of other commands has none
		return err == nil && logins > 0
	}, "SHOW POOLS", "SHOW SERVERS", command)
	if err != nil {
		return nil, 0, err
	}
	if cut, _, err = s.busy(replies[0]); err != nil || cut > 0 {
		return nil, cut, err
	}
	servers, err := readServers(replies[1])
	if err != nil {
		return nil, 0, err
	}
	for name, of := range servers {
		if s.ours(name) {
			pids = append(pids, of...)
		}
	}
	if alreadyPaused(replies[2].err) {
		return pids, 0, released(ctx, c) // by a process that died: that PAUSE may not have ended yet
	}
	return pids, 0, replies[2].err
}

// ServerPIDs implements endpoint.Session.
func (s *session) ServerPIDs() []int { return s.pids }

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
	replies, err := s.do(undo, slices.Concat(looks, s.widening(), s.resumes())...)
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
