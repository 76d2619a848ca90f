package catalog

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// Whoever asks after a change has come to its end gets its revision, however many ask meanwhile.
func TestRevisionIsNeverOlderThanTheLastChange(t *testing.T) {
	t.Parallel()
	c := openFile(t)
	at := time.Now()
	for i := range 3 {
		err := c.AddInstance(t.Context(), upgrade.Instance{
			ID: fmt.Sprintf("i%d", i), Cluster: upgrade.Cluster{Pgdata: fmt.Sprintf("/data/%d", i)}, CreatedAt: at,
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	var done atomic.Bool
	var asking sync.WaitGroup
	for i := range 3 {
		id := fmt.Sprintf("i%d", i)
		asking.Go(func() {
			var last int64
			for !done.Load() {
				revision, err := c.Revision(t.Context(), id)
				if err != nil || revision < last {
					t.Errorf("instance %s: revision %d after %d (%v)", id, revision, last, err)
					return
				}
				last = revision
			}
		})
	}
	for n := range 300 {
		id := fmt.Sprintf("i%d", n%3)
		before, err := c.Revision(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.SetWindow(t.Context(), id, &upgrade.Window{Start: n, End: n + 1}); err != nil {
			t.Fatal(err)
		}
		if after, err := c.Revision(t.Context(), id); err != nil || after != before+1 {
			t.Fatalf("change %d of instance %s: revision %d after %d (%v)", n, id, after, before, err)
		}
	}
	done.Store(true)
	asking.Wait()
}
