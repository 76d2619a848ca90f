package catalog

import (
	"sync"
	"sync/atomic"
)

// revisions remembers the revisions of instances between two changes of the record. Any change
// forgets all of them, which is cheap: clients ask far more often than anything changes. It is of use
// only where this process is the only one that writes: with an SQLite file.
type revisions struct {
	alone    bool
	begun    atomic.Uint64 // changes
	ended    atomic.Uint64
	mu       sync.RWMutex
	known    map[string]int64
	knownFor uint64 // the number of changes after which they were read
}

// changing notes the beginning of a change; what it returns notes the end.
func (r *revisions) changing() (changed func()) {
	r.begun.Add(1)
	return func() { r.ended.Add(1) }
}

// now returns the number of changes so far, if none is under way. In this order: a change that begins
// meanwhile is seen as one that has not ended.
func (r *revisions) now() (changes uint64, quiet bool) {
	ended := r.ended.Load()
	return ended, r.alone && r.begun.Load() == ended
}

func (r *revisions) get(instance string) (int64, bool) {
	changes, quiet := r.now()
	if !quiet {
		return 0, false
	}
	r.mu.RLock()
	defer r.mu.RUnlock()
	revision, known := r.known[instance]
	return revision, known && r.knownFor == changes
}

// put remembers a revision that was read after a number of changes, unless there was one since.
func (r *revisions) put(instance string, revision int64, changes uint64) {
	if now, quiet := r.now(); !quiet || now != changes {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.knownFor != changes || r.known == nil {
		r.known, r.knownFor = map[string]int64{}, changes
	}
	r.known[instance] = revision
}
