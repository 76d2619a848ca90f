package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

// load is a number of clients that keep to a rate, as pgbench --rate does.
type load struct {
	cancel context.CancelFunc
	done   sync.WaitGroup
	rate   int

	mu      sync.Mutex
	samples []sample
	err     error
}

// sample is a transaction that was acknowledged.
type sample struct{ begun, ended time.Time }

func startLoad(ctx context.Context, s *stage, o options) (*load, error) {
	running, cancel := context.WithCancel(ctx)
	l := &load{cancel: cancel, rate: o.rate}
	every := time.Second * time.Duration(o.clients) / time.Duration(o.rate)
	for i := range o.clients {
		conn, err := connectPooled(ctx, s, databases[i%len(databases)])
		if err != nil {
			l.stop()
			return nil, err
		}
		l.done.Go(func() {
			defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // the load is over
			l.work(running, conn, every, time.Now().Add(every*time.Duration(i)/time.Duration(o.clients)))
		})
	}
	return l, nil
}

func connectPooled(ctx context.Context, s *stage, database string) (*pgx.Conn, error) {
	config, err := pgx.ParseConfig(fmt.Sprintf("host=127.0.0.1 port=%d dbname=%s user=%s password=%s sslmode=disable",
		s.pooler.ListenPort, database, role, s.secret))
	if err != nil {
		return nil, err
	}
	config.DefaultQueryExecMode = pgx.QueryExecModeSimpleProtocol // transaction pooling
	return pgx.ConnectConfig(ctx, config)
}

// work makes transactions at regular times. One that is late makes no others late: it is not made up for.
func (l *load) work(ctx context.Context, conn *pgx.Conn, every time.Duration, next time.Time) {
	for sleepUntil(ctx, next) == nil {
		begun := time.Now()
		if err := transact(context.WithoutCancel(ctx), conn); err != nil {
			l.fail(err)
			return
		}
		l.note(sample{begun, time.Now()})
		for next = next.Add(every); next.Before(time.Now()); {
			next = next.Add(every)
		}
	}
}

func transact(ctx context.Context, conn *pgx.Conn) error {
	account, delta := 1+rand.IntN(100000), rand.IntN(1000)-500
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `UPDATE public.account SET balance = balance + $1 WHERE id = $2`, delta, account); err != nil {
			return err
		}
		var balance int64
		if err := tx.QueryRow(ctx, `SELECT balance FROM public.account WHERE id = $1`, account).Scan(&balance); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `INSERT INTO public.history (account, delta) VALUES ($1, $2)`, account, delta)
		return err
	})
}

func (l *load) note(s sample) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.samples = append(l.samples, s)
}

func (l *load) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.err = errors.Join(l.err, fmt.Errorf("a client: %w", err))
}

func (l *load) failure() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

func (l *load) acknowledged() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.samples)
}

// longest is the longest latency of the transactions that overlap a time. Those that are still
// under way have begun within it, and are waited for.
func (l *load) longest(from, to time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	var longest time.Duration
	for _, s := range slices.Backward(l.samples) {
		if s.ended.Before(from.Add(-time.Second)) {
			break
		}
		if s.begun.Before(to) && s.ended.After(from) {
			longest = max(longest, s.ended.Sub(s.begun))
		}
	}
	return longest
}

// steady waits until clients have worked at their rate for a moment. Its length varies, so that no
// round is in step with anything that comes round by the clock, such as the WAL writer.
func (l *load) steady(ctx context.Context) error {
	begun, first := time.Now(), l.acknowledged()
	wanted := first + l.rate/4
	moment := 250*time.Millisecond + rand.N(250*time.Millisecond)
	for l.acknowledged() < wanted || time.Since(begun) < moment {
		if err := l.failure(); err != nil {
			return err
		}
		if time.Since(begun) > 30*time.Second {
			return fmt.Errorf("clients made %d transactions in %s: the machine is too busy for a rate of %d", l.acknowledged()-first, time.Since(begun), l.rate)
		}
		if err := sleepUntil(ctx, time.Now().Add(10*time.Millisecond)); err != nil {
			return err
		}
	}
	return nil
}

// stop ends the clients. It may be called twice.
func (l *load) stop() {
	l.cancel()
	l.done.Wait()
}

func sleepUntil(ctx context.Context, at time.Time) error {
	timer := time.NewTimer(time.Until(at))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
