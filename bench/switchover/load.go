package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

// load is a number of clients that keep to a rate, as pgbench --rate does.
type load struct {
	cancel context.CancelFunc
	done   sync.WaitGroup
	rate   int

	mu       sync.Mutex
	samples  []sample
	underWay map[int]time.Time // when the transaction of a client began
	err      error
}

// sample is a transaction that was acknowledged.
type sample struct{ begun, ended time.Time }

func startLoad(ctx context.Context, s *stage, o options) (*load, error) {
	running, cancel := context.WithCancel(ctx)
	l := &load{cancel: cancel, rate: o.rate, underWay: map[int]time.Time{}}
	every := time.Second * time.Duration(o.clients) / time.Duration(o.rate)
	for i := range o.clients {
		conn, err := connectPooled(ctx, s, databases[i%len(databases)])
		if err != nil {
			l.stop()
			return nil, err
		}
		l.done.Go(func() {
			defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // the load is over
			l.work(running, i, conn, every, time.Now().Add(every*time.Duration(i)/time.Duration(o.clients)))
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
func (l *load) work(ctx context.Context, client int, conn *pgx.Conn, every time.Duration, next time.Time) {
	for sleepUntil(ctx, next) == nil {
		begun := l.begin(client)
		if err := transact(context.WithoutCancel(ctx), conn); err != nil {
			l.fail(err)
			return
		}
		l.end(client, sample{begun, time.Now()})
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

func (l *load) begin(client int) time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.underWay[client] = time.Now()
	return l.underWay[client]
}

func (l *load) end(client int, s sample) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.underWay, client)
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

// latencies are those of all transactions.
func (l *load) latencies() []time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := make([]time.Duration, len(l.samples))
	for i, s := range l.samples {
		all[i] = s.ended.Sub(s.begun)
	}
	return all
}

// longest is the longest latency of the transactions that overlap a time. It waits for those that
// began in it and are still under way.
func (l *load) longest(ctx context.Context, from, to time.Time) (time.Duration, error) {
	for l.anyFrom(to) {
		if err := errors.Join(l.failure(), sleepUntil(ctx, time.Now().Add(5*time.Millisecond))); err != nil {
			return 0, err
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	var longest time.Duration
	for _, s := range l.samples {
		if s.begun.Before(to) && s.ended.After(from) {
			longest = max(longest, s.ended.Sub(s.begun))
		}
	}
	return longest, nil
}

// anyFrom tells whether a transaction is under way that began before a time.
func (l *load) anyFrom(before time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, begun := range l.underWay {
		if begun.Before(before) {
			return true
		}
	}
	return false
}

// steady waits until clients have worked at their rate for a moment, in which PgBouncer made no new
// connections: after a switchover it has none at first. (A PAUSE in the middle of a login counts as a
// failed login, after which PgBouncer rests for server_login_retry.) The moment's length varies, so that no
// round is in step with anything that comes round by the clock, such as the WAL writer.
func (l *load) steady(ctx context.Context, connections func(context.Context) (int, error)) error {
	deadline := time.Now().Add(30 * time.Second)
	for {
		begun, first := time.Now(), l.acknowledged()
		before, err := connections(ctx)
		moment := 400*time.Millisecond + rand.N(200*time.Millisecond)
		if err := errors.Join(err, l.failure(), sleepUntil(ctx, begun.Add(moment))); err != nil {
			return err
		}
		after, err := connections(ctx)
		if err != nil {
			return err
		}
		made := l.acknowledged() - first
		if after == before && float64(made) > 0.8*float64(l.rate)*time.Since(begun).Seconds() {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("clients made %d transactions in %s: the machine is too busy for a rate of %d", made, time.Since(begun), l.rate)
		}
	}
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
