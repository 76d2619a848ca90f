package harness

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
)

// LoadConfig says how many clients do what.
type LoadConfig struct {
	Name    string       // begins the references of these clients; empty for the only load there is
	Port    int          // where the clients connect
	Clients map[Kind]int // how many of each kind
	Rate    float64      // transactions a second of each client
	Scale   int          // of pgbench's tables
	Record  *Record
}

// transactionLimit is longer than any switchover holds a client: a transaction that takes longer has failed.
const transactionLimit = 100 * time.Second

// Load is a number of clients that write until they are stopped.
type Load struct {
	config  LoadConfig
	begun   time.Time
	stop    context.CancelFunc
	running sync.WaitGroup

	acknowledged atomic.Int64
	failed       atomic.Int64

	mu      sync.Mutex
	samples []Sample
	errors  []string
}

// Sample is one transaction as its client saw it.
type Sample struct {
	Kind         Kind
	Begun, Ended time.Time
	Outcome      Outcome
}

// StartLoad starts the clients.
func StartLoad(ctx context.Context, config LoadConfig) *Load {
	ctx, stop := context.WithCancel(ctx)
	l := &Load{config: config, begun: time.Now(), stop: stop}
	for _, kind := range []Kind{TPCB, Entry, Order} {
		for i := range config.Clients[kind] {
			c := &client{load: l, kind: kind, name: fmt.Sprintf("%s%s-%d", config.Name, kind, i+1)}
			l.running.Go(func() { c.run(ctx) })
		}
	}
	return l
}

// Acknowledged is the number of transactions acknowledged so far.
func (l *Load) Acknowledged() int64 { return l.acknowledged.Load() }

// Failed is the number of transactions that did not succeed so far, whatever became of them.
func (l *Load) Failed() int64 { return l.failed.Load() }

// AwaitProgress waits until the clients have got a number of further acknowledgements.
func (l *Load) AwaitProgress(ctx context.Context, further int64, limit time.Duration) error {
	goal := l.Acknowledged() + further
	return Await(ctx, limit, "the clients to go on", func(context.Context) error {
		if now := l.Acknowledged(); now < goal {
			return fmt.Errorf("%d transactions are still to be acknowledged", goal-now)
		}
		return nil
	})
}

// Summary is what the clients saw.
type Summary struct {
	Duration time.Duration
	Samples  []Sample // in the order of their ends
	Errors   []string // the first ones
}

// Stop lets each client end its transaction, and returns what they saw.
func (l *Load) Stop() Summary {
	l.stop()
	l.running.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	slices.SortFunc(l.samples, func(a, b Sample) int { return a.Ended.Compare(b.Ended) })
	return Summary{Duration: time.Since(l.begun), Samples: l.samples, Errors: l.errors}
}

// note keeps what became of a transaction.
func (l *Load) note(c *client, ref string, sample Sample, err error) {
	if sample.Outcome == Acknowledged {
		l.acknowledged.Add(1)
	} else {
		l.failed.Add(1)
	}
	if failed := l.config.Record.Note(sample.Kind, ref, sample.Outcome); failed != nil {
		err = errors.Join(err, failed)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.samples = append(l.samples, sample)
	if err != nil && len(l.errors) < 20 {
		l.errors = append(l.errors, fmt.Sprintf("%s %s %s: %v", sample.Ended.Format("15:04:05.000"), c.name, sample.Outcome, err))
	}
}

// client is one that does transactions at a steady rate, one at a time.
type client struct {
	load *Load
	kind Kind
	name string
	conn *pgx.Conn
}

func (c *client) run(ctx context.Context) {
	defer func() { c.disconnect() }()
	period := time.Duration(float64(time.Second) / c.load.config.Rate)
	next := time.Now()
	for number := 1; ; number++ {
		if wait(ctx, time.Until(next)) != nil {
			return
		}
		if late := time.Since(next); late > time.Second { // what was missed is not made up for
			next = time.Now()
		}
		next = next.Add(period)
		ref := fmt.Sprintf("%s-%d", c.name, number)
		sample := Sample{Kind: c.kind, Begun: time.Now()}
		var err error
		sample.Outcome, err = c.transact(context.WithoutCancel(ctx), ref)
		sample.Ended = time.Now()
		c.load.note(c, ref, sample, err)
		if err != nil {
			c.disconnect()
			_ = wait(ctx, 100*time.Millisecond)
		}
	}
}

// transact does one transaction, over a new connection if the last one failed.
func (c *client) transact(ctx context.Context, ref string) (Outcome, error) {
	ctx, cancel := context.WithTimeout(ctx, transactionLimit)
	defer cancel()
	if c.conn == nil {
		role, database := c.kind.login()
		conn, err := ConnectPooled(ctx, c.load.config.Port, role, database, "load "+c.name)
		if err != nil {
			return RolledBack, err // nothing was sent
		}
		c.conn = conn
	}
	tx, err := c.conn.Begin(ctx)
	if err != nil {
		return RolledBack, fmt.Errorf("begin: %w", err)
	}
	if err := c.kind.do(ctx, tx, ref, c.load.config.Scale); err != nil {
		_ = tx.Rollback(ctx)
		return RolledBack, err
	}
	err = tx.Commit(ctx)
	if err != nil {
		err = fmt.Errorf("commit: %w", err)
	}
	return outcomeOf(err), err
}

func (c *client) disconnect() {
	if c.conn != nil {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = c.conn.Close(ctx)
		c.conn = nil
	}
}

// ConnectPooled opens a session that may go through a PgBouncer with transaction pooling: it prepares no
// statements, since the next transaction may have another server connection.
func ConnectPooled(ctx context.Context, port int, role, database, application string) (*pgx.Conn, error) {
	config, err := pgx.ParseConfig(databaseURL(role, RolePassword, port, database))
	if err != nil {
		return nil, err
	}
	config.DefaultQueryExecMode = pgx.QueryExecModeExec
	config.RuntimeParams["application_name"] = application
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("connect to database %s on port %d as %s: %w", database, port, role, err)
	}
	return conn, nil
}

// wait waits for a time that may be over already.
func wait(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
