package huawei

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/pgleap/pgleap/internal/control"
	"github.com/pgleap/pgleap/internal/upgrade"
)

func TestMemoryIsBounded(t *testing.T) {
	m := newMemory(10 * weight)
	for i := range 100 {
		id := fmt.Sprint("instance-", i)
		m.learn(id, upgrade.Instance{ID: id}, 1)
		m.keep(id, 1, answerKey{"check", english}, make(rendered, weight/2))
		if _, ok := m.answer(id, 1, answerKey{"check", english}); !ok {
			t.Fatalf("%s was forgotten at once", id)
		}
		sum := 0
		for _, r := range m.known {
			sum += r.size
		}
		if m.size != sum || m.size > m.limit {
			t.Fatalf("after %s: %d bytes are counted, %d are there", id, m.size, sum)
		}
	}
	m.keep("instance-99", 1, answerKey{"upgrade", english}, make(rendered, 11*weight))
	if m.size != 0 || len(m.known) != 0 {
		t.Errorf("an answer that is too large: %d bytes of %d instances are left", m.size, len(m.known))
	}
}

func TestMemoryKnowsRevisions(t *testing.T) {
	m, key := newMemory(maxRemembered), answerKey{"check", english}
	m.learn("a", upgrade.Instance{ID: "a", UUID: "1"}, 5)
	m.keep("a", 5, key, rendered("five"))
	m.keep("a", 4, key, rendered("four"))
	m.learn("a", upgrade.Instance{ID: "a", UUID: "1"}, 4) // computed slowly
	if got, ok := m.answer("a", 5, key); !ok || string(got) != "five" {
		t.Errorf("got %q", got)
	}
	for _, revision := range []int64{4, 6} {
		if _, ok := m.answer("a", revision, key); ok {
			t.Errorf("an answer of revision 5 was given for %d", revision)
		}
	}
	if _, ok := m.answer("a", 5, answerKey{"check", chinese}); ok {
		t.Error("an answer was given in another language")
	}
	m.learn("a", upgrade.Instance{ID: "a", UUID: "1"}, 6)
	if _, ok := m.answer("a", 6, key); ok {
		t.Error("an answer outlived its revision")
	}
}

// Whoever polls sees every change, and what he polls for is computed once.
func TestStatusIsFreshAndComputedOnce(t *testing.T) {
	b := newBed(t)
	b.addInstance(t, "orders")
	counted := &counting{engineless: b.control}
	b.Handler = New(counted, Options{Region: "local", Now: b.clock}, nil)
	given := uuid("orders") + "in03"
	poll := func(language, want string) {
		t.Helper()
		w := b.call(t, "GET", versionPath(given, "status?action=upgrade"), "", func(r *http.Request) { r.Header.Set("X-Language", language) })
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("got %s, want %q", w.Body, want)
		}
	}
	poll("", "DBS.200086")
	task := b.addTask(t, "orders", upgrade.TaskUpgrade, b.now)
	counted.lookups = 0
	for range 5 {
		poll("", "running")
		poll("zh-cn", "running")
	}
	if counted.lookups != 2 {
		t.Errorf("the status was looked up %d times, want once for each language", counted.lookups)
	}
	if err := b.record.EnterPhase(t.Context(), task.Number, upgrade.PhaseBaseBackup, b.now); err != nil {
		t.Fatal(err)
	}
	poll("", "base backup")
	b.end(t, task.Number, upgrade.Outcome{Status: upgrade.StatusSucceeded}, b.now)
	poll("", "success")
}

// An instance that is added under the id of a former one is another one.
func TestAnotherInstanceUnderTheSameID(t *testing.T) {
	b := newBed(t)
	b.addInstance(t, "orders")
	task := b.addTask(t, "orders", upgrade.TaskUpgrade, b.now)
	b.end(t, task.Number, upgrade.Outcome{Status: upgrade.StatusFailed}, b.now)
	old := uuid("orders") + "in03"
	if w := b.call(t, "GET", versionPath(old, "status?action=upgrade"), ""); w.Code != http.StatusOK {
		t.Fatalf("got %s", w.Body)
	}
	if err := b.record.RemoveInstance(t.Context(), "orders"); err != nil {
		t.Fatal(err)
	}
	absent := func() {
		t.Helper()
		if got := codeOf(t, b.call(t, "GET", versionPath(old, "status?action=upgrade"), "")); got != "404 DBS.200002" {
			t.Errorf("got %q", got)
		}
	}
	absent()
	err := b.record.AddInstance(t.Context(), upgrade.Instance{
		ID: "orders", UUID: uuid("orders again"), Cluster: upgrade.Cluster{Host: "db1", Version: 150012, Pgdata: "/srv/again"},
	})
	if err != nil {
		t.Fatal(err)
	}
	absent()
}

// counting counts how often the last task is looked up.
type counting struct {
	*engineless

	lookups int
}

func (c *counting) LatestTask(ctx context.Context, instance string, kind upgrade.TaskKind, mode upgrade.Mode) (control.Summary, error) {
	c.lookups++
	return c.engineless.LatestTask(ctx, instance, kind, mode)
}
