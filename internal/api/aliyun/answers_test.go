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
		if _, known := s.get([]byte("00"), 1); !known {
			t.Fatalf("what is used most was dropped first, after %d", i)
		}
	}
	if s.size > s.limit || len(s.byKey) != 10 || s.recent.Len() != 10 {
		t.Errorf("%d answers of %d bytes, want 10 of at most %d", len(s.byKey), s.size, s.limit)
	}
	large := newAnswers(maxAnswers)
	large.put([]byte("k"), 1, make([]byte, maxAnswer+1))
	if _, known := large.get([]byte("k"), 1); known {
		t.Error("an answer of more than 1 MiB was kept")
	}
	small := newAnswers(10)
	small.put([]byte("k"), 1, make([]byte, 100))
	if small.size != 0 || len(small.byKey) != 0 {
		t.Errorf("a memory of 10 bytes holds %d", small.size)
	}
}

func TestLateAnswerDoesNotReplaceNewerOne(t *testing.T) {
	s := newAnswers(maxAnswers)
	s.put([]byte("k"), 2, []byte("new"))
	s.put([]byte("k"), 1, []byte("old"))
	if body, known := s.get([]byte("k"), 2); !known || string(body) != "new" {
		t.Errorf("got %q %v", body, known)
	}
	if _, known := s.get([]byte("k"), 3); known {
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
				if body, known := s.get([]byte(key), revision); known && !bytes.HasPrefix(body, []byte(key+"@"+strconv.Itoa(int(revision))+"#")) {
					t.Errorf("key %s at %d: %.20s", key, revision, body)
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
