package control

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/pgleap/pgleap/internal/catalog"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// Call is a call of a vendor's API, for the record.
type Call = catalog.AuditEntry

// Replayed tells that a request was sent before.
type Replayed struct{}

// Error says so.
func (*Replayed) Error() string { return "this request was sent before" }

// UseNonce remembers what a client says once in its life, until a request that repeats it would be
// too old anyway. It returns *Replayed for one that was used before.
func (c *Control) UseNonce(ctx context.Context, keyID, nonce string, until time.Time) error {
	now := c.now()
	if !until.After(now) {
		return &Replayed{} // whether it was used before is forgotten
	}
	verdict, _ := c.requests.submit(ctx, catalog.Nonce{AccessKey: keyID, Nonce: nonce, ExpiresAt: until}, now)
	return verdict()
}

// NoteNonce is UseNonce of a request that changes nothing: its answer can be looked up meanwhile, unless it may
// have been sent before. Then that is found out first, so that who repeats it costs nothing but a look. The verdict
// tells how it came out, and must be asked before the answer is given. While nobody else writes the record, the
// nonce is written down a moment later: if the process is killed before, the request can be sent once more, and
// is answered once more.
func (c *Control) NoteNonce(ctx context.Context, keyID, nonce string, until time.Time) (verdict func() error, err error) {
	now := c.now()
	n := catalog.Nonce{AccessKey: keyID, Nonce: nonce, ExpiresAt: until}
	taken := func() error { return nil }
	switch {
	case !until.After(now):
		return nil, &Replayed{}
	case c.requests.noteNonce(n, now):
		return taken, nil
	}
	verdict, unknown := c.requests.submit(ctx, n, now)
	if _, alone := c.catalog.Alone(); unknown && !alone {
		return verdict, nil
	}
	return taken, verdict()
}

// RecordCall writes down a call of a vendor's API, a moment later.
func (c *Control) RecordCall(call Call) { c.requests.recordCall(call) }

// RecordStranger is RecordCall for a request whose sender has not proven who he is. Of these only as many are written
// down as leave the others their place, so that nobody can fill the record without a key.
func (c *Control) RecordStranger(call Call) {
	if c.strangers.AllowN(c.now(), 1) {
		c.requests.recordCall(call)
		return
	}
	c.log.Debug("call of a stranger not recorded: there are too many", "what", call.What, "request", call.RequestID)
}

// Calls of strangers have a tenth of the record, for as long as calls are kept: more of them would push the others out.
// They may come a hundred at once.
const (
	strangersPerSecond = rate.Limit(catalog.MaxCalls/10) / rate.Limit(catalog.CallRetention/time.Second)
	strangersAtOnce    = 100
)

// Calls returns the last calls of the vendors' APIs, the newest first.
func (c *Control) Calls(ctx context.Context, atMost int) ([]Call, error) {
	c.requests.flush()
	return c.catalog.Calls(ctx, atMost)
}

// Close writes down what has not been written yet.
func (c *Control) Close() { c.requests.flush() }

// requests writes what every request leaves in the record: many at a time, since a transaction of
// its own for each would cost more than the request. Whoever comes while one is being written is
// part of the next.
type requests struct {
	catalog *catalog.Catalog
	log     *slog.Logger

	mu      sync.Mutex
	pending catalog.APIBatch
	waiting []chan<- nonceAnswer // for pending.Nonces; nil: nobody waits
	calls   []Call               // that wait to be written together with others
	noted   []catalog.Nonce      // and nonces
	unsaved int                  // nonces that nobody waits for and that are not in the record
	known   nonces
	// Nonces that expire later than floor were not used before this process was the only one that writes the
	// record, nor have any of them been too many to be remembered. It holds for one period in which that is so,
	// and is known once something has been written in it.
	floor    time.Time
	floorFor uint64
	used     map[string]time.Time // access keys, and when they were recorded as used last
	writing  bool                 // a writer is at work
	flushed  []chan struct{}      // to be closed when what is pending has been written
	flushAt  *time.Timer
}

type nonceAnswer struct {
	fresh bool
	err   error
}

const (
	// delay is how long calls and noted nonces wait to be written together with others.
	delay = 100 * time.Millisecond
	// retry is how long noted nonces wait that could not be written.
	retry = time.Second
	// maxPending bounds the calls, and the noted nonces, that are kept while the record cannot be written.
	maxPending = 20_000
	// batchTimeout bounds one transaction.
	batchTimeout = 10 * time.Second
	// usedEvery is how exactly it is known when an access key was used last.
	usedEvery = time.Minute
)

func newRequests(c *catalog.Catalog, log *slog.Logger) *requests {
	r := &requests{catalog: c, log: log, used: map[string]time.Time{}, known: newNonces(maxGeneration)}
	c.BeforeOthersWrite(r.saved)
	return r
}

// noteNonce remembers a nonce, to be written a moment later, if it is surely new.
func (r *requests) noteNonce(n catalog.Nonce, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	period, alone := r.catalog.Alone()
	if !alone || r.floorFor != period || !n.ExpiresAt.After(r.floor) || r.unsaved >= maxPending || !r.known.add(n, now) {
		return false
	}
	r.noted = append(r.noted, n)
	r.unsaved++
	r.isUsed(n.AccessKey, now)
	r.soon(delay)
	return true
}

// isUsed has it recorded now and then that an access key is used. The lock is held.
func (r *requests) isUsed(key string, now time.Time) {
	if now.Sub(r.used[key]) < usedEvery {
		return
	}
	r.used[key] = now
	if r.pending.Used == nil {
		r.pending.Used = map[string]time.Time{}
	}
	r.pending.Used[key] = now
}

// submit has a nonce written at once. The verdict waits for that. It tells, too, whether this process has
// surely not seen the nonce before; where others write the record, they may have.
func (r *requests) submit(ctx context.Context, n catalog.Nonce, now time.Time) (verdict func() error, unknown bool) {
	answer := make(chan nonceAnswer, 1)
	r.mu.Lock()
	unknown = r.known.add(n, now)
	if !unknown {
		r.takeNoted() // it may be one of these, which came first
		if !r.known.has(n) {
			r.raiseFloor(n.ExpiresAt) // when there is room again nobody but the record knows of it
		}
	}
	r.pending.Nonces = append(r.pending.Nonces, n)
	r.waiting = append(r.waiting, answer)
	r.isUsed(n.AccessKey, now)
	r.write()
	r.mu.Unlock()
	return func() error {
		select {
		case <-ctx.Done():
			return fmt.Errorf("remember the request: %w", ctx.Err())
		case a := <-answer:
			return a.verdict()
		}
	}, unknown
}

func (a nonceAnswer) verdict() error {
	switch {
	case a.err != nil:
		return &Unavailable{
			Reason: "the record cannot be written", Remedy: "see the server's log", Cause: upgrade.CauseCatalogue, Err: a.err,
		}
	case !a.fresh:
		return &Replayed{}
	}
	return nil
}

func (r *requests) recordCall(call Call) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.calls)+len(r.pending.Calls) >= maxPending {
		r.log.Error("call not recorded: the record cannot be written", "who", call.Who, "what", call.What,
			"object", call.Object, "result", call.Result, "request", call.RequestID)
		return
	}
	r.calls = append(r.calls, call)
	r.soon(delay)
}

// soon has what waits for others written after a while. The lock is held.
func (r *requests) soon(after time.Duration) {
	if r.flushAt == nil {
		r.flushAt = time.AfterFunc(after, func() {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.due()
		})
	}
}

// due has everything written that waits for others. The lock is held.
func (r *requests) due() {
	if r.flushAt != nil {
		r.flushAt.Stop()
		r.flushAt = nil
	}
	if len(r.calls) == 0 && len(r.noted) == 0 {
		return
	}
	r.pending.Calls = append(r.pending.Calls, r.calls...)
	r.calls = nil
	r.takeNoted()
	r.write()
}

// takeNoted adds the noted nonces to what is written next. The lock is held.
func (r *requests) takeNoted() {
	r.pending.Nonces = append(r.pending.Nonces, r.noted...)
	r.waiting = append(r.waiting, make([]chan<- nonceAnswer, len(r.noted))...)
	r.noted = nil
}

// write lets a writer go to work, unless one is at it. The lock is held.
func (r *requests) write() {
	if !r.writing {
		r.writing = true
		go r.writeAll()
	}
}

// flush returns when everything is written that is pending now.
func (r *requests) flush() {
	r.mu.Lock()
	r.due()
	if !r.writing {
		r.mu.Unlock()
		return
	}
	done := make(chan struct{})
	r.flushed = append(r.flushed, done)
	r.mu.Unlock()
	<-done
}

// saved writes down what is noted and tells whether it is in the record.
func (r *requests) saved() bool {
	r.flush()
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.unsaved == 0
}

// writeAll writes batches until nothing is pending.
func (r *requests) writeAll() {
	for {
		r.mu.Lock()
		batch, waiting, flushed := r.pending, r.waiting, r.flushed
		r.pending, r.waiting, r.flushed = catalog.APIBatch{}, nil, nil
		if len(batch.Nonces) == 0 && len(batch.Calls) == 0 {
			r.writing = false
			r.mu.Unlock()
			for _, done := range flushed {
				close(done)
			}
			return
		}
		r.mu.Unlock()
		r.writeBatch(batch, waiting)
		for _, done := range flushed {
			close(done)
		}
	}
}

func (r *requests) writeBatch(batch catalog.APIBatch, waiting []chan<- nonceAnswer) {
	ctx, cancel := context.WithTimeout(context.Background(), batchTimeout)
	defer cancel()
	r.learnFloor(ctx)
	fresh, err := r.catalog.WriteAPIBatch(ctx, batch)
	if err != nil {
		r.log.Error("calls not recorded", "calls", len(batch.Calls), "nonces", len(batch.Nonces), "error", err)
	}
	var noted []catalog.Nonce
	for i, answer := range waiting {
		if answer == nil {
			noted = append(noted, batch.Nonces[i])
			continue
		}
		a := nonceAnswer{err: err}
		if err == nil {
			a.fresh = fresh[i]
		}
		answer <- a
	}
	r.settle(noted, err == nil)
}

// settle forgets noted nonces that have been written, and keeps the others for another attempt.
func (r *requests) settle(noted []catalog.Nonce, written bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case written:
		r.unsaved -= len(noted)
	case len(r.pending.Nonces) > 0: // these came later, and may be the same
		r.pending.Nonces = append(noted, r.pending.Nonces...)
		r.waiting = append(make([]chan<- nonceAnswer, len(noted)), r.waiting...)
	case len(noted) > 0:
		r.noted = append(noted, r.noted...)
		r.soon(retry)
	}
}

// learnFloor finds out until when nonces count that were there when this process began to be alone.
func (r *requests) learnFloor(ctx context.Context) {
	period, alone := r.catalog.Alone()
	if !alone || r.floorFor == period {
		return
	}
	floor, err := r.catalog.LastNonceExpiry(ctx)
	if err != nil {
		r.log.WarnContext(ctx, "nonces of former requests not found out", "error", err)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.raiseFloor(floor)
	r.floorFor = period
}

// raiseFloor leaves it to the record to know nonces that expire by then. The lock is held.
func (r *requests) raiseFloor(to time.Time) {
	if to.After(r.floor) {
		r.floor = to
	}
}
