package control

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"go.temporal.io/api/serviceerror"

	"github.com/pgleap/pgleap/internal/catalog"
	"github.com/pgleap/pgleap/internal/pgtest"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// later are nonces that expire one after the other, as those of requests do that are signed so.
func later(n int) catalog.Nonce {
	return catalog.Nonce{AccessKey: "a", Nonce: fmt.Sprint(n), ExpiresAt: soonTooOld.Add(time.Duration(n) * time.Millisecond)}
}

// noteOne returns a nonce that was noted and not yet asked for in the record, when the server notes some.
func noteOne(t *testing.T, c *Control, from int) catalog.Nonce {
	t.Helper()
	for n := from; n < from+50_000; n += 2 {
		awaitAlone(t, c)
		if err := noted(c.NoteNonce(t.Context(), "a", later(n).Nonce, later(n).ExpiresAt)); err != nil {
			t.Fatal(err)
		}
		if c.requests.noteNonce(later(n+1), now) {
			return later(n + 1)
		}
	}
	t.Fatal("it asks the record for each nonce")
	return catalog.Nonce{}
}

func awaitAlone(t *testing.T, c *Control) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(time.Minute); ; <-tick.C {
		if _, alone := c.catalog.Alone(); alone {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("it is not alone")
		}
	}
}

// newShared returns use cases on a record that others have, too.
func newShared(t *testing.T, server *pgtest.Cluster) (c *Control, stop func()) {
	t.Helper()
	record, err := catalog.Open(t.Context(), server.DSN("postgres"), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	c = New(Deps{Catalog: record, Host: "db1", Now: func() time.Time { return now }})
	return c, func() {
		c.Close()
		if err := record.Close(); err != nil {
			t.Error(err)
		}
	}
}

// A nonce is taken once, whichever of the servers it is sent to.
func TestNonceIsTakenOnceByServersThatShareARecord(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t, 15)
	replayed := func(c *Control, n catalog.Nonce, when string) {
		t.Helper()
		if c.requests.noteNonce(n, now) {
			t.Errorf("%s: noted without a question", when)
		}
		if err := noted(c.NoteNonce(t.Context(), n.AccessKey, n.Nonce, n.ExpiresAt)); !isReplayed(err) {
			t.Errorf("%s: %v", when, err)
		}
		if err := c.UseNonce(t.Context(), n.AccessKey, n.Nonce, n.ExpiresAt); !isReplayed(err) {
			t.Errorf("%s, to change something: %v", when, err)
		}
	}
	first, closeFirst := newShared(t, server)
	defer closeFirst()
	alone := noteOne(t, first, 0)
	second, closeSecond := newShared(t, server)
	if first.requests.noteNonce(later(100_000), now) || second.requests.noteNonce(later(100_000), now) {
		t.Error("one of two servers notes a nonce that the other one does not know")
	}
	replayed(second, alone, "noted by the first while it was alone")
	for n, from := range []*Control{first, second} {
		shared := later(200_000 + n)
		if err := noted(from.NoteNonce(t.Context(), shared.AccessKey, shared.Nonce, shared.ExpiresAt)); err != nil {
			t.Error(err)
		}
		replayed(first, shared, "taken by one of both, sent to the first")
		replayed(second, shared, "taken by one of both, sent to the second")
	}
	unheard := later(250_000)
	if err := noted(second.NoteNonce(t.Context(), unheard.AccessKey, unheard.Nonce, unheard.ExpiresAt)); err != nil {
		t.Error(err)
	}
	closeSecond()
	awaitAlone(t, first)
	replayed(first, unheard, "taken by the second, when the first is alone again")
	noteOne(t, first, 300_000)
	replayed(first, unheard, "when the first notes nonces again")
}

// Whoever asked for a task that the engine did not take is told so, even if the record is not to be had.
func TestATaskThatDidNotBeginKeepsNobodyWaiting(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t, 15)
	c, stop := newShared(t, server)
	defer stop()
	e := &engine{unknown: serviceerror.NewNotFound("no such workflow")}
	c.temporal = e
	addInstance(t, c, "orders")
	task := addTask(t, c, "orders", upgrade.TaskUpgrade)
	blocker := server.Connect(t, "postgres")
	for _, statement := range []string{"BEGIN", "SELECT FROM task FOR UPDATE"} {
		if _, err := blocker.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*startTimeout)
	defer cancel()
	c.endUnstarted(ctx, task, errLate)
	if ctx.Err() != nil || len(e.told) != 1 {
		t.Errorf("it waited (%v), and told the engine %v", ctx.Err(), e.told)
	}
}

// Others wait until what was noted is in the record.
func TestWhatIsNotedIsSaved(t *testing.T) {
	t.Parallel()
	c := newControl(t)
	if !c.requests.saved() {
		t.Error("there is nothing to be saved")
	}
	noteOne(t, c, 0)
	if !c.requests.saved() || c.requests.unsaved != 0 {
		t.Errorf("%d nonces are not saved", c.requests.unsaved)
	}
	noteOne(t, c, 10)
	if err := c.catalog.Close(); err != nil {
		t.Fatal(err)
	}
	if c.requests.saved() {
		t.Error("saved in a record that is closed")
	}
}
