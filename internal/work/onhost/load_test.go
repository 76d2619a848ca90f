package onhost

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// load writes to the source, some hundred times a second, until it is stopped. What was acknowledged is counted.
type load struct {
	bed          *upgradeBed
	stop         context.CancelFunc
	done         sync.WaitGroup
	entries      atomic.Int64 // acknowledged rows of shop's ledger
	stock        atomic.Int64 // acknowledged rows of the depot's stock
	problem      atomic.Pointer[error]
	transactions atomic.Int64
}

// startLoad begins to write in both databases.
func startLoad(b *upgradeBed) *load {
	b.Helper()
	ctx, stop := context.WithCancel(context.Background())
	l := &load{bed: b, stop: stop}
	b.Cleanup(stop)
	for number := range 3 {
		conn := b.session(b.plan.Source, "shop")
		l.write(ctx, func(round int) error { return l.book(conn, number, round) })
	}
	depot := b.session(b.plan.Source, "Depot's")
	l.write(ctx, func(int) error {
		_, err := depot.Exec(context.Background(), `INSERT INTO stock (item) VALUES (md5(random()::text))`)
		if err == nil {
			l.stock.Add(1)
		}
		return err
	})
	return l
}

func (l *load) write(ctx context.Context, transact func(round int) error) {
	l.done.Go(func() {
		for round := 0; sleep(ctx, 2*time.Millisecond) == nil; round++ {
			if err := transact(round); err != nil {
				l.problem.CompareAndSwap(nil, &err)
				return
			}
			l.transactions.Add(1)
		}
	})
}

// book moves an amount: the balance of an account is always the sum of its ledger's entries.
func (l *load) book(conn *pgx.Conn, writer, round int) error {
	ctx := context.Background()
	account, delta := 1+(writer*17+round)%50, 1+round%9
	err := pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error { return bookIn(ctx, tx, account, delta, round) })
	if err == nil {
		l.entries.Add(1)
	}
	return err
}

// batcher is a transaction, or a session that is in one.
type batcher interface {
	SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults
}

func bookIn(ctx context.Context, tx batcher, account, delta, round int) error {
	batch := &pgx.Batch{}
	batch.Queue(`UPDATE account SET balance = balance + $2, mood = 'busy' WHERE id = $1`, account, delta)
	batch.Queue(`INSERT INTO ledger (account, delta, note, tags) VALUES ($1, $2, jsonb_build_object('round', $3::int), 'a=>1')`, account, delta, round)
	switch round % 4 {
	case 0:
		batch.Queue(`INSERT INTO measured (day, value) VALUES (date '2020-01-01' + $1::int, $1::int)`, round%3000)
	case 1:
		batch.Queue(`INSERT INTO keyless VALUES ($1, repeat('x', 3000))`, round)
	case 2:
		batch.Queue(`UPDATE keyless SET b = 'short' WHERE a = $1 - 1`, round)
	case 3:
		batch.Queue(`DELETE FROM keyless WHERE a = $1 - 6`, round)
	}
	return tx.SendBatch(ctx, batch).Close()
}

// end stops the writers and tells what they wrote.
func (l *load) end() (entries, stock int64) {
	l.bed.Helper()
	l.stop()
	l.done.Wait()
	if problem := l.problem.Load(); problem != nil {
		l.bed.Errorf("a writer failed: %v", errors.Join(*problem))
	}
	l.bed.Logf("%d transactions were acknowledged", l.transactions.Load())
	return l.entries.Load(), l.stock.Load()
}

// booksBalance checks that every entry is there once: a lost or doubled one breaks the balance.
func (b *upgradeBed) booksBalance(cluster upgrade.Cluster, entries, stock int64) {
	b.Helper()
	wrong := b.ask(cluster, "shop", `
		SELECT format('account %s has %s, its entries sum up to %s', a.id, a.balance, l.sum)
		FROM account a LEFT JOIN (SELECT account, sum(delta) FROM ledger GROUP BY account) l ON l.account = a.id
		WHERE a.balance <> coalesce(l.sum, 0)`)
	for _, line := range wrong {
		b.Errorf("%s: %s", cluster, line)
	}
	count := func(database, table string, want int64) {
		b.Helper()
		var got int64
		b.must(b.session(cluster, database).QueryRow(b.Context(), "SELECT count(*) FROM "+table).Scan(&got))
		if got != want {
			b.Errorf("%s: %s has %d rows, %d were acknowledged", cluster, table, got, want)
		}
	}
	count("shop", "ledger", entries)
	count("Depot's", "stock", stock)
}
