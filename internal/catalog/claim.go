package catalog

import (
	"sync/atomic"
	"time"
)

// claim is what this process knows of being the only one that writes the record: until when that is
// certain. It is asked in every request, and asks nobody.
type claim struct {
	always bool // nobody else can
	now    func() time.Time
	lease  atomic.Pointer[lease] // nil: there was none yet
}

// lease is a time in which nobody else writes.
type lease struct {
	until  time.Time
	period uint64 // the same for all that follow each other without a gap
}

// alone tells whether nobody else writes the record now, and numbers the periods in which that is so.
func (c *claim) alone() (period uint64, alone bool) {
	if c.always {
		return 1, true
	}
	l := c.lease.Load()
	if !l.holds(c.now()) {
		return 0, false
	}
	return l.period, true
}

// holds asks both clocks: the monotonic one stands still while the machine sleeps, the other one can be
// put back.
func (l *lease) holds(now time.Time) bool {
	return l != nil && now.Before(l.until) && now.Round(0).Before(l.until.Round(0))
}

// extend makes it last until a moment, unless it was given up since the lease that is to be extended was
// looked at. If that one has run out meanwhile, another period begins, with what begin does.
func (c *claim) extend(former *lease, until time.Time, begin func()) {
	next := &lease{until: until}
	if former != nil {
		next.period = former.period
	}
	now := c.now()
	if !next.holds(now) {
		return // the answer took too long
	}
	if !former.holds(now) {
		next.period++
		begin()
	}
	c.lease.CompareAndSwap(former, next)
}

// giveUp ends it at once. Who is about to extend it does not.
func (c *claim) giveUp() {
	for {
		former := c.lease.Load()
		ended := &lease{}
		if former != nil {
			ended.period = former.period
		}
		if c.lease.CompareAndSwap(former, ended) {
			return
		}
	}
}

// Alone tells whether this process is the only one that writes the record: what it has written, read or
// noted since is all there is. It is true for a moment only and must be asked each time. Times in which it
// was true throughout have the same number, so that what was learned in an earlier one can be told apart.
func (c *Catalog) Alone() (period uint64, alone bool) { return c.claim.alone() }
