package catalog

import (
	"context"
	"database/sql"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// revisions remembers the revisions of instances between two changes of the record. Any change
// forgets all of them, which is cheap: clients ask far more often than anything changes. So does the
// beginning of a time in which this process is the only one that writes: only then they are of use.
type revisions struct {
	claim    *claim
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
	_, alone := r.claim.alone()
	return ended, alone && r.begun.Load() == ended
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

// readers asks a database for the revisions of many instances at once: of all that have been asked for
// while the query before was under way. So what one gets was read after one had asked.
type readers struct {
	mu      sync.Mutex
	waiting map[string][]chan<- revisionRead
	reading bool
}

type revisionRead struct {
	revision int64
	err      error // sql.ErrNoRows: there is no such instance
}

// revisionTimeout bounds one query.
const revisionTimeout = 10 * time.Second

func (r *readers) get(ctx context.Context, c *Catalog, instance string) (int64, error) {
	answer := make(chan revisionRead, 1)
	r.mu.Lock()
	if r.waiting == nil {
		r.waiting = map[string][]chan<- revisionRead{}
	}
	r.waiting[instance] = append(r.waiting[instance], answer)
	if !r.reading {
		r.reading = true
		go r.readAll(c)
	}
	r.mu.Unlock()
	select {
	case <-ctx.Done():
		return 0, ctx.Err()
	case a := <-answer:
		return a.revision, a.err
	}
}

// readAll reads until nobody waits.
func (r *readers) readAll(c *Catalog) {
	for {
		r.mu.Lock()
		waiting := r.waiting
		r.waiting = nil
		r.reading = len(waiting) > 0
		r.mu.Unlock()
		if len(waiting) == 0 {
			return
		}
		found, err := c.revisionsOf(slices.Collect(maps.Keys(waiting)))
		for instance, answers := range waiting {
			read := revisionRead{found[instance], err}
			if _, known := found[instance]; !known && err == nil {
				read.err = sql.ErrNoRows
			}
			for _, answer := range answers {
				answer <- read
			}
		}
	}
}

const selectRevisions = `
SELECT id, changes
  FROM instance
 WHERE id = ANY($1::text[])`

func (c *Catalog) revisionsOf(instances []string) (map[string]int64, error) {
	ctx, cancel := context.WithTimeout(context.Background(), revisionTimeout)
	defer cancel()
	type entry struct {
		id       string
		revision int64
	}
	entries, err := collect(ctx, c.read, func(r row) (e entry, err error) { return e, r.Scan(&e.id, &e.revision) }, selectRevisions, instances)
	if err != nil {
		return nil, fmt.Errorf("read revisions of instances: %w", err)
	}
	found := make(map[string]int64, len(entries))
	for _, e := range entries {
		found[e.id] = e.revision
	}
	return found, nil
}
