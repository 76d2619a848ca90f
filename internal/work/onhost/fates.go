package onhost

import (
	"path/filepath"
	"sync"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// fates are what is under way with clusters that clients have left: that clients are brought back, or that they are
// retired. No cluster has both, which the journals alone cannot tell: a way back begins its own only when it is
// prepared, and to stop a cluster takes seconds from the last look at them. Of one kind there may be several, as when
// an activity is repeated whose first attempt is not over yet.
//
// It is enough that the agent remembers it. When it dies a way back has either begun its journal, or it goes no
// further; and a cluster that was on its way down lets nobody in who would go back to it.
type fates struct {
	mu    sync.Mutex
	count map[string]int // by data directory; more than zero are ways back, less are retirements
}

// fate is one of the two.
type fate int

const (
	isReturnedTo fate = 1
	isRetired    fate = -1
)

// begin tells that a cluster has a fate until end is called. It is not ok if it has the other one.
func (f *fates) begin(c upgrade.Cluster, what fate) (end func(), ok bool) {
	pgdata, by := filepath.Clean(c.Pgdata), int(what)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.count[pgdata]*by < 0 {
		return nil, false
	}
	if f.count == nil {
		f.count = make(map[string]int)
	}
	f.count[pgdata] += by
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.count[pgdata] -= by
	}, true
}
