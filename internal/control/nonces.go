package control

import (
	"hash/maphash"
	"time"

	"github.com/pgleap/pgleap/internal/catalog"
)

const (
	// generation is the longest that a nonce counts: its time may be 15 minutes ahead, and it counts for
	// 15 minutes from then.
	generation = 30 * time.Minute
	// maxGeneration bounds the memory: two generations of hashes are some 70 MB then.
	maxGeneration = 2 << 20
)

// nonces remembers what was said since this process started, so that the record need not be asked
// each time. It errs on one side only: what it takes for new is new.
type nonces struct {
	seed           maphash.Seed
	limit          int
	recent, former map[uint64]struct{}
	since          time.Time // when recent was begun
}

func newNonces(limit int) nonces {
	return nonces{seed: maphash.MakeSeed(), limit: limit, recent: map[uint64]struct{}{}}
}

// add tells whether a nonce is surely new, and remembers it. One that counts too long to be remembered
// is never surely new, nor is any while there are too many.
func (s *nonces) add(n catalog.Nonce, now time.Time) bool {
	if now.Sub(s.since) >= generation {
		s.recent, s.former, s.since = map[uint64]struct{}{}, s.recent, now
	}
	hash := s.hash(n)
	if s.knows(hash) || len(s.recent) >= s.limit || n.ExpiresAt.Sub(now) > generation {
		return false
	}
	s.recent[hash] = struct{}{}
	return true
}

// has tells whether a nonce is remembered.
func (s *nonces) has(n catalog.Nonce) bool { return s.knows(s.hash(n)) }

func (s *nonces) hash(n catalog.Nonce) uint64 {
	return maphash.Comparable(s.seed, [2]string{n.AccessKey, n.Nonce})
}

func (s *nonces) knows(hash uint64) bool {
	_, recently := s.recent[hash]
	_, formerly := s.former[hash]
	return recently || formerly
}
