package control

import (
	"fmt"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Throttled tells that an access key calls too often.
type Throttled struct {
	RetryAfter time.Duration
}

// Error says when to try again.
func (e *Throttled) Error() string {
	return fmt.Sprintf("this access key calls too often; try again in %s", e.RetryAfter)
}

// throttle gives every access key its share.
type throttle struct {
	perSecond float64 // 0: no limit
	mu        sync.Mutex
	limits    map[string]*rate.Limiter
}

// Admit counts a request of an access key, and returns *Throttled when it is one too many. A key may
// send twice what it may send in a second at once.
func (c *Control) Admit(keyID string) error {
	t := c.throttle
	if t.perSecond <= 0 {
		return nil
	}
	t.mu.Lock()
	limit := t.limits[keyID]
	if limit == nil {
		limit = rate.NewLimiter(rate.Limit(t.perSecond), max(1, int(2*t.perSecond)))
		t.limits[keyID] = limit
	}
	t.mu.Unlock()
	now := c.now()
	reservation := limit.ReserveN(now, 1)
	wait := reservation.DelayFrom(now)
	if wait == 0 {
		return nil
	}
	reservation.CancelAt(now)
	return &Throttled{RetryAfter: wait.Round(time.Millisecond) + time.Millisecond}
}
