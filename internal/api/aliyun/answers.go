package aliyun

import (
	"container/list"
	"sync"
	"sync/atomic"

	"github.com/golang/snappy"
)

// Bounds of what is remembered.
const (
	maxAnswers = 32 << 20
	maxPacked  = 256 << 20
	maxAnswer  = 1 << 20

	// answerOverhead is about what an entry weighs besides its key and its body.
	answerOverhead = 200
)

// memory remembers answers twice: those that are asked for all the time as they are, and many more of
// them compressed. Lists consist of logs, which say the same again and again.
type memory struct {
	ready, packed *answers
	unpacked      atomic.Int64 // how often answers have been
}

func newMemory() *memory {
	return &memory{ready: newAnswers(maxAnswers), packed: newAnswers(maxPacked)}
}

// get returns what was answered at a revision. It may use scratch for it.
func (m *memory) get(key []byte, revision int64, scratch *[]byte) ([]byte, bool) {
	if found := m.ready.get(key, revision); found != nil {
		return found.body, true
	}
	found := m.packed.get(key, revision)
	if found == nil {
		return nil, false
	}
	keep := m.again(found)
	if keep {
		scratch = new([]byte)
	}
	body, err := snappy.Decode((*scratch)[:cap(*scratch)], found.body)
	if err != nil {
		return nil, false // it is made anew
	}
	*scratch = body
	if keep {
		m.ready.put(key, revision, body)
	}
	return body, true
}

// again tells whether an answer is asked for again so soon that it would still be there, had it been kept ready the last
// time. Any other one would only drive out what is asked for more often.
func (m *memory) again(found *answer) bool {
	now := m.unpacked.Add(1)
	before := found.unpacked.Swap(now)
	return before > 0 && now-before <= int64(m.ready.count())
}

// put remembers an answer.
func (m *memory) put(key []byte, revision int64, body []byte) {
	if len(body) <= maxAnswer {
		m.ready.put(key, revision, body)
		m.packed.put(key, revision, snappy.Encode(nil, body))
	}
}

// answers remembers answers that stay true until the revision of their instance changes. The
// least recently used ones go first. Whether the caller may see an answer is decided before.
type answers struct {
	mu     sync.Mutex
	byKey  map[string]*list.Element
	recent list.List // of *answer, the most recently used one first
	size   int
	limit  int
}

type answer struct {
	key      string
	revision int64
	body     []byte       // rendered, without the request's id; never changed
	unpacked atomic.Int64 // when it was last, counted in answers
}

func (s *answer) size() int { return len(s.key) + len(s.body) + answerOverhead }

func newAnswers(limit int) *answers {
	return &answers{byKey: map[string]*list.Element{}, limit: limit}
}

// count is how many there are.
func (s *answers) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.byKey)
}

// get returns what was answered at a revision, or nil.
func (s *answers) get(key []byte, revision int64) *answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	element := s.byKey[string(key)]
	if element == nil {
		return nil
	}
	found := element.Value.(*answer)
	if found.revision != revision {
		return nil
	}
	s.recent.MoveToFront(element)
	return found
}

// put remembers an answer. The revision must have been read before what the answer tells: then a
// change in between makes the answer look old, never new. An answer of an earlier revision, computed
// slowly, does not replace a later one.
func (s *answers) put(key []byte, revision int64, body []byte) {
	if len(body) > maxAnswer {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if element := s.byKey[string(key)]; element != nil {
		if element.Value.(*answer).revision > revision {
			return
		}
		s.remove(element)
	}
	added := &answer{key: string(key), revision: revision, body: body}
	s.byKey[added.key] = s.recent.PushFront(added)
	s.size += added.size()
	for s.size > s.limit {
		s.remove(s.recent.Back())
	}
}

func (s *answers) remove(element *list.Element) {
	gone := s.recent.Remove(element).(*answer)
	delete(s.byKey, gone.key)
	s.size -= gone.size()
}
