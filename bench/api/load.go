package main

import (
	"errors"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// load is what is sent to whom.
type load struct {
	to       peer
	scenario scenario
	fixture  fixture
	among    int // instances
	salted   bool
}

// crew are connections that work at the same time.
type crew struct{ clients []*client }

func (l load) crew(size int) (crew, error) {
	var c crew
	for range size {
		client, err := dial(l.to.Address, l.scenario.maker(l.to, l.fixture, l.salted))
		if err != nil {
			c.leave()
			return crew{}, err
		}
		c.clients = append(c.clients, client)
	}
	return c, nil
}

func (c crew) leave() {
	for _, client := range c.clients {
		client.conn.Close()
	}
}

// each lets all connections work, until each has done its part.
func (c crew) each(limit time.Duration, part func(ask func(instance int) error) error) error {
	failed := make([]error, len(c.clients))
	var working sync.WaitGroup
	for i, client := range c.clients {
		working.Go(func() {
			failed[i] = client.conn.SetDeadline(time.Now().Add(limit + patience))
			if failed[i] == nil {
				failed[i] = part(func(instance int) error { return client.ask(instance, nil) })
			}
		})
	}
	working.Wait()
	return errors.Join(failed...)
}

// sweep asks about every instance once.
func (l load) sweep(connections int) error {
	c, err := l.crew(connections)
	if err != nil {
		return err
	}
	defer c.leave()
	var next atomic.Int64
	return c.each(2*time.Minute, func(ask func(int) error) error {
		for i := int(next.Add(1)) - 1; i < l.among; i = int(next.Add(1)) - 1 {
			if err := ask(i); err != nil {
				return err
			}
		}
		return nil
	})
}

// throughput lets connections ask one question after the other, and returns the number of answers
// and the time it took.
func (l load) throughput(connections int, length time.Duration) (int, time.Duration, error) {
	c, err := l.crew(connections)
	if err != nil {
		return 0, 0, err
	}
	defer c.leave()
	var answered atomic.Int64
	begun := time.Now()
	err = c.each(length, func(ask func(int) error) error {
		for time.Since(begun) < length {
			if err := ask(rand.IntN(l.among)); err != nil {
				return err
			}
			answered.Add(1)
		}
		return nil
	})
	return int(answered.Load()), time.Since(begun), err
}

// latencies sends requests at a rate, whether or not earlier ones were answered, and returns how long
// after the moment at which each should have been sent its answer was there: in order of size.
func (l load) latencies(connections, perSecond int, length time.Duration) ([]time.Duration, error) {
	c, err := l.crew(connections)
	if err != nil {
		return nil, err
	}
	defer c.leave()
	count := int(length.Seconds() * float64(perSecond))
	begun, interval := time.Now().Add(10*time.Millisecond), time.Second/time.Duration(perSecond)
	took := make([]time.Duration, count)
	due := make(chan int, count)
	go dispatch(due, begun, interval)
	err = c.each(length, func(ask func(int) error) error {
		for i := range due {
			if err := ask(rand.IntN(l.among)); err != nil {
				return err
			}
			took[i] = time.Since(begun.Add(time.Duration(i) * interval))
		}
		return nil
	})
	slices.Sort(took)
	return took, err
}

// dispatch calls for one request after the other when its time has come. It sleeps in the kernel: Go's
// own timers are up to a millisecond late while a process is idle.
func dispatch(due chan<- int, begun time.Time, interval time.Duration) {
	runtime.LockOSThread() // the thread ends with the goroutine
	defer close(due)
	for i := range cap(due) {
		for wait := time.Until(begun.Add(time.Duration(i) * interval)); wait > 0; wait = time.Until(begun.Add(time.Duration(i) * interval)) {
			pause := syscall.NsecToTimespec(wait.Nanoseconds())
			_ = syscall.Nanosleep(&pause, nil) // interrupted: the rest is waited for
		}
		due <- i
	}
}

// ownCPU is the processor time that this process has taken.
func ownCPU() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u) // it cannot fail
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
