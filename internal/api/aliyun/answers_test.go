package aliyun

import (
	"bytes"
	"fmt"
	"strconv"
	"sync"
	"testing"
)

func TestAnswerIsRememberedUntilInstanceChanges(t *testing.T) {
	d := newDoor(t)
	nonce := 0
	ask := func(what string, ran int, pairs ...string) reply {
		t.Helper()
		nonce++
		c := newV1().set("Action", "Cached", "SignatureNonce", strconv.Itoa(nonce)).set(pairs...)
		got := d.wantOK(t, what, c.signed().request())
		if d.ran != ran {
			t.Errorf("%s: operation ran %d times, want %d", what, d.ran, ran)
		}
		return got
	}
	first := ask("first", 1)
	again := ask("again", 1, "OwnerId", "7", "Timestamp", "2026-01-02T03:04:06Z")
	if first.body == again.body || first.header.Get("X-Acs-Request-Id") == again.header.Get("X-Acs-Request-Id") {
		t.Error("both answers have the same request id")
	}
	ask("as XML", 2, "Format", "XML")
	ask("as XML again", 2, "Format", "XML")
	ask("another page", 3, "PageSize", "50")
	ask("an unknown parameter", 4, "Unknown", "x")
	d.revisions["orders"]++
	ask("after a change", 5)
	ask("after a change again", 5)
	ask("an instance that is not known", 6, "DBInstanceId", "payments")
	ask("an instance that is not known again", 7, "DBInstanceId", "payments")
	d.allow(t, `{"Version":"1","Statement":[]}`)
	d.wantCode(t, "who may not see it", newV1().set("Action", "Cached", "SignatureNonce", "last").signed().request(), 403, "Forbidden.RAM")
}

func TestRequestsThatAskTheSame(t *testing.T) {
	asked := func(list ...parameter) string {
		q := request{sorted: list}
		return string(q.appendAsked(nil))
	}
	if asked(parameter{name: "A", value: "1&B=2"}) == asked(parameter{name: "A", value: "1"}, parameter{name: "B", value: "2"}) {
		t.Error("one parameter looks like two")
	}
	if got := asked(parameter{name: "RegionId", value: "x"}, parameter{name: "RegionId.0", value: "99"}); got != "" {
		t.Errorf("common parameters count: %s", got)
	}
}

func TestMemoryOfAnswersIsBounded(t *testing.T) {
	const body = 1000
	s := newAnswers(10 * (body + answerOverhead + 2))
	for i := range 100 {
		s.put(fmt.Appendf(nil, "%02d", i), 1, make([]byte, body))
		if s.get([]byte("00"), 1) == nil {
			t.Fatalf("what is used most was dropped first, after %d", i)
		}
	}
	if s.size > s.limit || len(s.byKey) != 10 || s.recent.Len() != 10 {
		t.Errorf("%d answers of %d bytes, want 10 of at most %d", len(s.byKey), s.size, s.limit)
	}
	large := newAnswers(maxAnswers)
	large.put([]byte("k"), 1, make([]byte, maxAnswer+1))
	if large.get([]byte("k"), 1) != nil {
		t.Error("an answer of more than 1 MiB was kept")
	}
	small := newAnswers(10)
	small.put([]byte("k"), 1, make([]byte, 100))
	if small.size != 0 || len(small.byKey) != 0 {
		t.Errorf("a memory of 10 bytes holds %d", small.size)
	}
}

// What does not fit is unpacked when it is asked for, into the same place each time, and kept unpacked
// when it is soon asked for again.
func TestMoreAnswersAreRememberedCompressed(t *testing.T) {
	m := memory{ready: newAnswers(2500), packed: newAnswers(10_000)}
	body := func(i int) []byte { return bytes.Repeat(fmt.Appendf(nil, "%02d", i), 1000) }
	for i := range 20 {
		m.put(fmt.Appendf(nil, "%02d", i), 1, body(i))
	}
	scratch := make([]byte, 0, 2000)
	for round := range 3 {
		for i := range 20 {
			key := fmt.Appendf(nil, "%02d", i)
			if got, known := m.get(key, 1, &scratch); !known || !bytes.Equal(got, body(i)) {
				t.Fatalf("round %d, answer %d: %t, %.20q", round, i, known, got)
			}
			if _, known := m.get(key, 2, &scratch); known {
				t.Fatal("an answer of another revision was given")
			}
		}
	}
	if len(m.ready.byKey) != 1 || len(m.packed.byKey) != 20 || cap(scratch) != 2000 {
		t.Errorf("%d answers are ready and %d packed, the scratch has %d bytes", len(m.ready.byKey), len(m.packed.byKey), cap(scratch))
	}
	for again := range 2 {
		if m.ready.get([]byte("07"), 1) != nil {
			t.Errorf("an answer is kept ready that was asked for %d times, among others", again)
		}
		m.get([]byte("07"), 1, &scratch)
	}
	if m.ready.get([]byte("07"), 1) == nil {
		t.Error("an answer that is soon asked for again is not kept ready")
	}
	m.packed.put([]byte("07"), 2, []byte("no such thing"))
	if _, known := m.get([]byte("07"), 2, &scratch); known {
		t.Error("what cannot be unpacked was given")
	}
}

func TestLateAnswerDoesNotReplaceNewerOne(t *testing.T) {
	s := newAnswers(maxAnswers)
	s.put([]byte("k"), 2, []byte("new"))
	s.put([]byte("k"), 1, []byte("old"))
	if found := s.get([]byte("k"), 2); found == nil || string(found.body) != "new" {
		t.Errorf("got %+v", found)
	}
	if s.get([]byte("k"), 3) != nil {
		t.Error("an old answer was given")
	}
}

func TestAnswersAreSharedByManyRequests(t *testing.T) {
	s := newAnswers(50_000)
	var all sync.WaitGroup
	for worker := range 8 {
		all.Go(func() {
			for i := range 500 {
				key, revision := strconv.Itoa((i*7+worker)%97), int64(i%5)
				if found := s.get([]byte(key), revision); found != nil && !bytes.HasPrefix(found.body, []byte(key+"@"+strconv.Itoa(int(revision))+"#")) {
					t.Errorf("key %s at %d: %.20s", key, revision, found.body)
				}
				s.put([]byte(key), revision, append([]byte(key+"@"+strconv.Itoa(int(revision))+"#"), make([]byte, 900)...))
			}
		})
	}
	all.Wait()
	size := 0
	for _, element := range s.byKey {
		size += element.Value.(*answer).size()
	}
	if size != s.size || size > s.limit || len(s.byKey) != s.recent.Len() {
		t.Errorf("counted %d bytes in %d, are %d in %d", s.size, s.recent.Len(), size, len(s.byKey))
	}
}
