package huawei

import (
	"sync"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// maxRemembered bounds the memory, in bytes.
const maxRemembered = 64 << 20

// memory keeps what clients poll for. What it knows of an instance is true as long as the
// instance's revision is the one that it was read at, which asks for one small query instead of
// several large ones. Whether a caller may see it is decided anew each time.
type memory struct {
	mu    sync.Mutex
	known map[string]*remembered // by the id that callers give
	size  int
	limit int
}

// remembered is an instance and answers about it, all read after its revision was.
type remembered struct {
	instance upgrade.Instance
	revision int64
	answers  map[answerKey]rendered
	size     int
}

type answerKey struct {
	what     string
	language language
}

// rendered is an answer in JSON. It is never changed.
type rendered []byte

// weight is about what an entry takes besides its answers.
const weight = 2 << 10

func newMemory(limit int) *memory { return &memory{known: map[string]*remembered{}, limit: limit} }

// instance returns what is remembered under an id, if anything is.
func (m *memory) instance(given string) (upgrade.Instance, int64, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := m.known[given]
	if r == nil {
		return upgrade.Instance{}, 0, false
	}
	return r.instance, r.revision, true
}

// learn replaces what is remembered of an instance. The revision must have been read before it.
func (m *memory) learn(given string, instance upgrade.Instance, revision int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if r := m.known[given]; r != nil && r.instance.UUID == instance.UUID && r.revision >= revision {
		return
	}
	m.forget(given)
	m.known[given] = &remembered{instance: instance, revision: revision, answers: map[answerKey]rendered{}, size: weight}
	m.grow(given, weight)
}

// answer returns what was answered at a revision.
func (m *memory) answer(given string, revision int64, key answerKey) (rendered, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := m.known[given]
	if r == nil || r.revision != revision {
		return nil, false
	}
	answer, ok := r.answers[key]
	return answer, ok
}

// keep remembers an answer, unless the instance has changed since its revision was read.
func (m *memory) keep(given string, revision int64, key answerKey, answer rendered) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := m.known[given]
	if r == nil || r.revision != revision || r.answers[key] != nil {
		return
	}
	r.answers[key] = answer
	r.size += len(answer)
	m.grow(given, len(answer))
}

// forget forgets an id. The lock is held.
func (m *memory) forget(given string) {
	if r := m.known[given]; r != nil {
		delete(m.known, given)
		m.size -= r.size
	}
}

// grow counts what was added for an id, and makes room by forgetting others, no matter which. What
// has become too large by itself is forgotten, too. The lock is held.
func (m *memory) grow(given string, added int) {
	m.size += added
	for other := range m.known {
		if m.size <= m.limit {
			return
		}
		if other != given {
			m.forget(other)
		}
	}
	if m.size > m.limit {
		m.forget(given)
	}
}
