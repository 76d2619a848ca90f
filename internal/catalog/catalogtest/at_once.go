package catalogtest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/pgleap/pgleap/internal/catalog"
	"github.com/pgleap/pgleap/internal/upgrade"
)

const workers = 8

// together runs f in as many goroutines as there are workers, and returns their errors.
func together(f func(worker int) error) []error {
	var all sync.WaitGroup
	errs := make([]error, workers)
	for worker := range workers {
		all.Go(func() { errs[worker] = f(worker) })
	}
	all.Wait()
	return errs
}

func atOnce(t *testing.T, open func(t *testing.T) *catalog.Catalog) {
	t.Run("tasks are numbered without gaps, and their logs complete", func(t *testing.T) {
		c := withInstances(t, open(t), orders(), another("billing"))
		for worker := range workers {
			withInstances(t, c, another(ofWorker(worker)))
		}
		created(t, c, anUpgrade("billing"))
		const rounds = 4
		must(t, errors.Join(together(func(worker int) error { return busy(t.Context(), c, worker, rounds) })...))

		all, err := c.Tasks(t.Context(), catalog.TaskFilter{})
		must(t, err)
		numbers := taskNumbers(all)
		slices.Reverse(numbers)
		for i, number := range numbers {
			same(t, "number", number, int64(i+1))
		}
		same(t, "tasks", len(all), 1+workers*rounds)
		checkSharedLog(t, c, rounds)
	})

	t.Run("one of many upgrades of an instance is begun", func(t *testing.T) {
		c := withInstances(t, open(t), orders())
		var begun int
		for _, err := range together(func(int) error {
			_, err := c.CreateTask(t.Context(), anUpgrade("orders"))
			return err
		}) {
			if err == nil {
				begun++
				continue
			}
			refused(t, err, "upgrade 1 of instance")
		}
		same(t, "upgrades begun", begun, 1)
	})

	t.Run("a batch that many write counts once", func(t *testing.T) {
		c := withInstances(t, open(t), orders())
		created(t, c, anUpgrade("orders"))
		must(t, errors.Join(together(func(int) error {
			return c.AppendEvents(t.Context(), 1, "same", []upgrade.Event{{Text: "one"}, {Text: "two"}})
		})...))
		got, err := c.Events(t.Context(), 1, 0, 0)
		must(t, err)
		same(t, "number of events", len(got), 2)
	})

	t.Run("an instance is removed or gets a task, not both", func(t *testing.T) {
		c := open(t)
		for round := range 5 {
			id := fmt.Sprint("i", round)
			withInstances(t, c, another(id))
			errs := together(func(worker int) error {
				if worker == 0 {
					return c.RemoveInstance(t.Context(), id)
				}
				_, err := c.CreateTask(t.Context(), aPrecheck(id))
				return err
			})
			removed := errs[0] == nil
			tasks, err := c.Tasks(t.Context(), catalog.TaskFilter{Instance: id, Status: upgrade.StatusRunning})
			must(t, err)
			if removed == (len(tasks) > 0) {
				t.Errorf("removed: %v, running tasks: %d (%v)", removed, len(tasks), errors.Join(errs...))
			}
		}
	})
}

// ofWorker is a worker's own instance: only one precheck of each runs.
func ofWorker(worker int) string { return fmt.Sprintf("orders-%d", worker) }

// busy does what a server does all day: tasks begin, go on and end, while their logs and a log that
// all share grow.
func busy(ctx context.Context, c *catalog.Catalog, worker, rounds int) error {
	for round := range rounds {
		task, err := c.CreateTask(ctx, aPrecheck(ofWorker(worker)))
		if err != nil {
			return err
		}
		key := fmt.Sprintf("%d-%d", worker, round)
		pair := []upgrade.Event{{Text: key}, {Text: key}}
		if err := errors.Join(
			c.EnterPhase(ctx, task.Number, upgrade.PhasePrecheck, noon),
			c.AppendEvents(ctx, task.Number, key, pair),
			c.AppendEvents(ctx, 1, key, pair),
			c.SetProgress(ctx, 1, upgrade.Progress{Text: key}),
			c.AppendLag(ctx, 1, after(worker*rounds+round), upgrade.Lag{Bytes: 1}),
			c.AppendAudit(ctx, catalog.AuditEntry{Who: key}),
			c.EndTask(ctx, task.Number, upgrade.Outcome{Status: upgrade.StatusSucceeded}, noon),
		); err != nil {
			return err
		}
	}
	return nil
}

// checkSharedLog checks that every batch is in the log, in one piece.
func checkSharedLog(t *testing.T, c *catalog.Catalog, rounds int) {
	t.Helper()
	log, err := c.Events(t.Context(), 1, 0, 0)
	must(t, err)
	same(t, "shared events", len(log), 2*workers*rounds)
	for i, event := range log {
		same(t, "place in the log", event.Seq, int64(i+1))
		if i%2 == 1 {
			same(t, "second of a batch", event.Text, log[i-1].Text)
		}
	}
	samples, err := c.LagSamples(t.Context(), 1, noon, 0)
	must(t, err)
	same(t, "samples", len(samples), workers*rounds)
	entries, err := c.AuditEntries(t.Context(), 0)
	must(t, err)
	same(t, "audit entries", len(entries), workers*rounds)
}
