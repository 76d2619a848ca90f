package onserver

import (
	"errors"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"go.temporal.io/sdk/temporal"

	"github.com/pgleap/pgleap/internal/catalog"
	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/internal/upgrade/step"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func newWorker(t *testing.T) *Worker {
	t.Helper()
	record, err := catalog.Open(t.Context(), "sqlite://"+filepath.Join(t.TempDir(), "catalog.db"), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { record.Close() })
	return New(record, slog.New(slog.DiscardHandler), func() time.Time { return now })
}

func (w *Worker) add(t *testing.T, id, pgdata string) {
	t.Helper()
	in := upgrade.Instance{ID: id, Cluster: upgrade.Cluster{Host: "db1", Version: 150012, Pgdata: pgdata}, CreatedAt: now}
	if err := w.catalog.AddInstance(t.Context(), in); err != nil {
		t.Fatal(err)
	}
}

// An instance whose place another one has is refused once and for all: trying again would keep its upgrade from going on.
func TestAnInstanceMovesToAFreePlace(t *testing.T) {
	w := newWorker(t)
	w.add(t, "orders", "/data/15")
	w.add(t, "stray", "/data/stray")
	move := func(to string) error {
		return w.MoveInstance(t.Context(), step.MoveInstanceArgs{Instance: "orders", Cluster: upgrade.Cluster{Host: "db1", Version: 170006, Pgdata: to}})
	}
	refused, ok := errors.AsType[*temporal.ApplicationError](move("/data/stray"))
	if !ok || refused.Type() != "Refused" || !refused.NonRetryable() {
		t.Errorf("to the place of another one: %v", refused)
	}
	if err := move("/data/17"); err != nil {
		t.Error(err)
	}
	if err := w.catalog.Close(); err != nil {
		t.Fatal(err)
	}
	if _, final := errors.AsType[*temporal.ApplicationError](move("/data/17")); final {
		t.Error("a record that is away is not tried again")
	}
}

func TestIsTaskOver(t *testing.T) {
	w := newWorker(t)
	w.add(t, "orders", "/data/15")
	task, err := w.catalog.CreateTask(t.Context(), upgrade.Task{Kind: upgrade.TaskUpgrade, Instance: "orders", Mode: upgrade.BlueGreen, StartedAt: now})
	if err != nil {
		t.Fatal(err)
	}
	is := func(number int64, want bool) {
		t.Helper()
		if over, err := w.IsTaskOver(t.Context(), number); over != want || err != nil {
			t.Errorf("task %d: %t (%v), want %t", number, over, err, want)
		}
	}
	is(task.Number, false)
	is(task.Number+1, true)
	if err := w.catalog.EndTask(t.Context(), task.Number, upgrade.Outcome{Status: upgrade.StatusFailed}, now); err != nil {
		t.Fatal(err)
	}
	is(task.Number, true)
	if err := w.catalog.Close(); err != nil {
		t.Fatal(err)
	}
	if over, err := w.IsTaskOver(t.Context(), task.Number); over || err == nil {
		t.Errorf("a record that is away: %t, %v", over, err)
	}
}
