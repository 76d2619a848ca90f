package catalog

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pgleap/pgleap/internal/pgtest"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// clock is the one by which leases run in these tests. It goes when it is told to.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// bed is a record in a schema of its own, to be opened by several servers that beat when they are told to.
type bed struct {
	*testing.T
	server *pgtest.Cluster
	url    string
	clock  *clock
}

func TestServersThatShareARecord(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t, 15)
	for i, story := range []struct {
		name string
		tell func(b *bed)
	}{
		{"one that sees no other is alone", oneAlone},
		{"another one joins and leaves", anotherJoins},
		{"another one waits for what is not written", anotherWaits},
		{"one that was killed is waited for until its claim is over", killedOne},
		{"one that stalls is taken for gone and joins again", stalledOne},
		{"one that stalls in a change is waited for", stalledInAChange},
		{"one that was taken for gone writes no nonce", goneWithNonces},
		{"the connections are lost", connectionsLost},
		{"a change whose end is not known", unknownEnd},
		{"one that is closed joins no more", closedOne},
	} {
		t.Run(story.name, func(t *testing.T) {
			schema := fmt.Sprintf("record%d", i)
			server.Exec(t, "postgres", "CREATE SCHEMA "+schema)
			u, err := url.Parse(server.DSN("postgres"))
			ok(t, err)
			query := u.Query()
			query.Set("search_path", schema)
			u.RawQuery = query.Encode()
			story.tell(&bed{T: t, server: server, url: u.String(), clock: &clock{at: time.Now()}})
		})
	}
}

func ok(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// begin opens the record. It beats no more by itself.
func (b *bed) begin(ctx context.Context) (*Catalog, error) {
	c, err := openAt(ctx, b.url, slog.New(slog.DiscardHandler), b.clock.now)
	if err != nil {
		return nil, err
	}
	c.writers.stop()
	<-c.writers.stopped
	return c, nil
}

func (b *bed) open() *Catalog {
	b.Helper()
	c, err := b.begin(b.Context())
	ok(b, err)
	b.Cleanup(func() { c.Close() })
	return c
}

// openLater opens it while others must do something first.
func (b *bed) openLater() (opened <-chan *Catalog) {
	b.Helper()
	before := b.rows("TRUE")
	there := make(chan *Catalog, 1)
	go func() {
		defer close(there)
		c, err := b.begin(b.Context())
		if err != nil {
			b.Error(err)
			return
		}
		b.Cleanup(func() { c.Close() })
		there <- c
	}()
	b.until("it has joined", func() bool { return b.rows("TRUE") > before })
	return there
}

func (b *bed) beat(c *Catalog) {
	b.Helper()
	ok(b, c.writers.beat(b.Context()))
}

func (b *bed) isAlone(c *Catalog, want bool) {
	b.Helper()
	if _, alone := c.Alone(); alone != want {
		b.Fatalf("alone: %t, want %t", alone, want)
	}
}

// rows counts the writers of which something is true.
func (b *bed) rows(condition string) (n int) {
	b.Helper()
	return b.number("SELECT count(*) FROM writer WHERE " + condition)
}

func (b *bed) number(query string) (n int) {
	b.Helper()
	db := b.stranger()
	defer db.Close()
	ok(b, db.QueryRowContext(b.Context(), query).Scan(&n))
	return n
}

// stranger is a session that is nobody's.
func (b *bed) stranger() *sql.DB {
	b.Helper()
	where, err := parseURL(b.url)
	ok(b, err)
	return openPostgresPool(where.postgres, 1)
}

func (b *bed) until(what string, is func() bool) {
	b.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(time.Minute); !is(); <-tick.C {
		if time.Now().After(deadline) {
			b.Fatalf("waited in vain until %s", what)
		}
	}
}

// waitForLock returns when somebody waits for a lock.
func (b *bed) waitForLock() {
	b.Helper()
	b.until("somebody waits for a lock", func() bool { return b.number("SELECT count(*) FROM pg_locks WHERE NOT granted") > 0 })
}

func (b *bed) addInstance(c *Catalog) {
	b.Helper()
	ok(b, c.AddInstance(b.Context(), upgrade.Instance{ID: "orders", Cluster: upgrade.Cluster{Pgdata: "/data"}, CreatedAt: time.Now()}))
}

func (b *bed) change(c *Catalog) {
	b.Helper()
	ok(b, c.SetWindow(b.Context(), "orders", nil))
}

// see asks all for the revision, twice, so that who may remembers it.
func (b *bed) see(servers ...*Catalog) (revision int64) {
	b.Helper()
	truth := int64(b.number("SELECT changes FROM instance WHERE id = 'orders'"))
	for i, c := range append(servers, servers...) {
		got, err := c.Revision(b.Context(), "orders")
		ok(b, err)
		if got != truth {
			b.Fatalf("server %d: revision %d, and the record has %d", i%len(servers), got, truth)
		}
	}
	return truth
}

func remembers(c *Catalog) bool {
	_, known := c.revisions.get("orders")
	return known
}

func oneAlone(b *bed) {
	first := b.open()
	b.isAlone(first, false)
	b.addInstance(first)
	b.see(first)
	b.beat(first)
	b.isAlone(first, true)
	if remembers(first) {
		b.Error("what was read before is remembered")
	}
	b.see(first)
	if !remembers(first) {
		b.Error("nothing is remembered")
	}
	period, _ := first.Alone()
	for range 3 {
		b.clock.pass(claimFor - time.Millisecond)
		b.isAlone(first, true)
		b.beat(first)
	}
	if now, _ := first.Alone(); now != period || !remembers(first) {
		b.Errorf("period %d after period %d", now, period)
	}
	b.change(first)
	b.see(first)
	b.clock.pass(claimFor)
	b.isAlone(first, false)
	if remembers(first) {
		b.Error("remembered for longer than the claim")
	}
	b.beat(first)
	if now, _ := first.Alone(); now != period+1 || remembers(first) {
		b.Errorf("period %d after period %d and a gap", now, period)
	}
}

func anotherJoins(b *bed) {
	first := b.open()
	b.addInstance(first)
	b.beat(first)
	b.see(first)
	opened := b.openLater()
	select {
	case <-opened:
		b.Fatal("it waited for nobody")
	default:
		b.isAlone(first, true)
	}
	b.beat(first)
	b.isAlone(first, false)
	second := <-opened
	b.change(second)
	b.see(first, second)
	b.beat(second)
	b.isAlone(second, false)
	b.change(first)
	b.see(first, second)
	ok(b, second.Close())
	b.beat(first)
	b.isAlone(first, true)
	b.see(first)
}

// What one who was alone has noted is in the record before another one may ask for it.
func anotherWaits(b *bed) {
	first := b.open()
	noted := APIBatch{Nonces: []Nonce{{AccessKey: "a", Nonce: "noted", ExpiresAt: b.clock.now()}}}
	var works atomic.Bool
	first.BeforeOthersWrite(func() bool {
		if !works.Load() {
			return false
		}
		fresh, err := first.WriteAPIBatch(b.Context(), noted)
		return err == nil && fresh[0]
	})
	b.beat(first)
	opened := b.openLater()
	b.beat(first)
	b.isAlone(first, false)
	select {
	case <-opened:
		b.Fatal("it did not wait for what could not be written")
	default:
	}
	works.Store(true)
	b.beat(first)
	second := <-opened
	fresh, err := second.WriteAPIBatch(b.Context(), noted)
	ok(b, err)
	if fresh[0] {
		b.Error("the nonce is new to the second")
	}
}

func killedOne(b *bed) {
	first := b.open()
	b.beat(first)
	opened := b.openLater()
	b.clock.pass(claimFor)
	b.isAlone(first, false)
	select {
	case <-opened:
		b.Fatal("it did not wait until the claim must be over")
	default:
	}
	b.clock.pass(respectFor - claimFor)
	second := <-opened
	b.addInstance(second)
	for range missedBeats {
		b.isAlone(second, false)
		b.beat(second)
	}
	b.beat(second)
	b.isAlone(second, true)
	if n := b.rows("TRUE"); n != 1 {
		b.Errorf("%d writers are left", n)
	}
}

// stall opens the record twice and lets the first one be taken for gone.
func (b *bed) stall() (first, second *Catalog) {
	b.Helper()
	first, second = b.open(), b.open()
	b.addInstance(first)
	b.see(first, second)
	for range missedBeats {
		b.beat(second)
		b.isAlone(second, false)
	}
	return first, second
}

func stalledOne(b *bed) {
	first, second := b.stall()
	b.beat(second)
	b.isAlone(second, true)
	b.see(second)
	changed := make(chan error, 1)
	go func() { changed <- first.SetWindow(b.Context(), "orders", nil) }()
	b.until("it has joined again", func() bool { return b.rows("TRUE") == 2 })
	b.see(second)
	select {
	case err := <-changed:
		b.Fatalf("it changed something while the other one was alone: %v", err)
	default:
	}
	b.beat(second)
	ok(b, <-changed)
	b.isAlone(second, false)
	b.see(first, second)
}

func stalledInAChange(b *bed) {
	first, second := b.stall()
	begun, goOn := make(chan struct{}), make(chan struct{})
	changed, beaten := make(chan error, 1), make(chan error, 1)
	go func() {
		changed <- first.change(b.Context(), func(tx *sql.Tx) error {
			close(begun)
			<-goOn
			_, err := tx.ExecContext(b.Context(), updateWindow, "orders", document{nil})
			return err
		})
	}()
	<-begun
	go func() { beaten <- second.writers.beat(b.Context()) }()
	b.waitForLock()
	b.isAlone(second, false)
	close(goOn)
	ok(b, <-changed)
	ok(b, <-beaten)
	b.isAlone(second, true)
	b.see(second)
}

func goneWithNonces(b *bed) {
	first, second := b.stall()
	b.beat(second)
	b.isAlone(second, true)
	batch := func(nonce string) APIBatch {
		return APIBatch{Nonces: []Nonce{{AccessKey: "a", Nonce: nonce, ExpiresAt: time.Now()}}, Calls: []AuditEntry{{At: time.Now(), RequestID: nonce}}}
	}
	written := make(chan bool, 1)
	go func() {
		fresh, err := first.WriteAPIBatch(b.Context(), batch("of both"))
		if err != nil {
			b.Error(err)
		}
		written <- err == nil && fresh[0]
	}()
	b.until("it has joined again", func() bool { return b.rows("TRUE") == 2 })
	if n := b.number("SELECT count(*) FROM used_nonce") + b.number("SELECT count(*) FROM api_call"); n != 0 {
		b.Errorf("%d rows were written by one that is gone", n)
	}
	fresh, err := second.WriteAPIBatch(b.Context(), batch("of both"))
	ok(b, err)
	b.beat(second)
	if !fresh[0] || <-written {
		b.Error("it was new to the one that was gone")
	}
	for name, used := range map[string]map[string]time.Time{"one statement": nil, "more": {"a": time.Now()}} {
		more := batch(name)
		more.Used = used
		if fresh, err := first.WriteAPIBatch(b.Context(), more); err != nil || !fresh[0] {
			b.Errorf("%s: %v, %v", name, fresh, err)
		}
	}
}

func connectionsLost(b *bed) {
	first := b.open()
	b.addInstance(first)
	b.beat(first)
	b.see(first)
	b.number("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'pgleap' AND pid <> pg_backend_pid()")
	b.isAlone(first, true)
	b.clock.pass(claimFor)
	b.isAlone(first, false)
	b.until("it is connected again", func() bool { return first.writers.beat(b.Context()) == nil })
	b.isAlone(first, true)
	b.change(first)
	b.see(first)
}

// When the connection is lost while a change is committed, the change may come later than the news of its failure.
func unknownEnd(b *bed) {
	first := b.open()
	b.addInstance(first)
	b.beat(first)
	b.see(first)
	err := first.change(b.Context(), func(tx *sql.Tx) error {
		var pid int
		if err := tx.QueryRowContext(b.Context(), "SELECT pg_backend_pid()").Scan(&pid); err != nil {
			return err
		}
		b.number(fmt.Sprintf("SELECT count(pg_terminate_backend(%d))", pid))
		b.until("the session has ended", func() bool {
			return b.number(fmt.Sprintf("SELECT count(*) FROM pg_stat_activity WHERE pid = %d", pid)) == 0
		})
		return nil
	})
	if err == nil {
		b.Fatal("a session that has ended has committed")
	}
	b.isAlone(first, false)

	// The session that nobody hears from has proven that the row is there, and is about to commit.
	sessions := b.stranger()
	defer sessions.Close()
	orphan, err := sessions.BeginTx(b.Context(), nil)
	ok(b, err)
	ok(b, prove(b.Context(), orphan, *first.writers.id.Load()))
	_, err = orphan.ExecContext(b.Context(), updateWindow, "orders", document{nil})
	ok(b, err)
	beaten := make(chan error, 1)
	go func() { beaten <- first.writers.beat(b.Context()) }()
	b.waitForLock()
	b.isAlone(first, false)
	ok(b, orphan.Commit())
	ok(b, <-beaten)
	b.isAlone(first, true)
	b.see(first)
}

func closedOne(b *bed) {
	first := b.open()
	b.addInstance(first)
	b.beat(first)
	first.writers.leave()
	b.isAlone(first, false)
	if n := b.rows("TRUE"); n != 0 {
		b.Errorf("%d writers are left", n)
	}
	if err := first.SetWindow(b.Context(), "orders", nil); err == nil {
		b.Error("it wrote something after it had left")
	}
}

// By themselves servers beat every second. Whoever asks one after a change of any has come to its end gets its
// revision, while others come and go.
func TestServersFindEachOtherByThemselves(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t, 15)
	b := &bed{T: t, server: server, url: server.DSN("postgres")}
	open := func() *Catalog {
		t.Helper()
		c, err := Open(t.Context(), b.url, slog.New(slog.DiscardHandler))
		ok(t, err)
		t.Cleanup(func() { c.Close() })
		return c
	}
	alone := func(c *Catalog) bool {
		_, alone := c.Alone()
		return alone
	}
	first := open()
	b.addInstance(first)
	var last atomic.Int64
	var done atomic.Bool
	var asking sync.WaitGroup
	defer asking.Wait()
	defer done.Store(true)
	asking.Go(func() {
		for !done.Load() {
			atLeast := last.Load()
			if got, err := first.Revision(t.Context(), "orders"); err != nil || got < atLeast {
				t.Errorf("revision %d after %d (%v)", got, atLeast, err)
				return
			}
		}
	})
	for range 2 {
		b.until("the first one is alone", func() bool { return alone(first) })
		second := open()
		if alone(first) || alone(second) {
			t.Error("one of two is alone")
		}
		for range 10 {
			for _, c := range []*Catalog{second, first} {
				b.change(c)
				last.Store(b.see(first, second))
			}
		}
		ok(t, second.Close())
		b.until("the first one is alone again", func() bool { return alone(first) })
		for range 10 {
			b.change(first)
			last.Store(b.see(first))
		}
	}
}

func TestLease(t *testing.T) {
	t.Parallel()
	now := time.Now()
	at := now
	c := claim{now: func() time.Time { return at }}
	begun := 0
	begin := func() { begun++ }
	c.extend(nil, now, begin)
	if _, alone := c.alone(); alone || begun != 0 {
		t.Error("a claim that is over already counts")
	}
	c.extend(nil, now.Add(time.Second), begin)
	seen := c.lease.Load()
	c.giveUp()
	c.extend(seen, now.Add(time.Second), begin)
	if _, alone := c.alone(); alone {
		t.Error("a claim that was given up is extended by one who did not know")
	}
	c.extend(c.lease.Load(), now.Add(time.Second), begin)
	if period, alone := c.alone(); !alone || period != 2 || begun != 2 {
		t.Errorf("alone %t in period %d, %d begun", alone, period, begun)
	}
	at = now.Add(time.Second)
	if _, alone := c.alone(); alone {
		t.Error("it outlasts its time")
	}
}
