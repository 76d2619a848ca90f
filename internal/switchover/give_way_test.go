package switchover

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// TestGivingWay: what holds the clients up for longer than they may wait in the first try is gone in the second
// one. Clients write all the time, and none has an error.
func TestGivingWay(t *testing.T) {
	t.Parallel()
	b := lay(t)
	t.Run("interrupted between two tries", func(t *testing.T) { interruptedBetweenTries(t, b) })
	t.Run("killed between two tries", func(t *testing.T) { killedBetweenTries(t, b) })
	w := b.write(t)
	w.awaitMore(t, 100)
	t.Run("a transaction is a long one", func(t *testing.T) {
		config, held := b.patient(t)
		config.Rehearse = true
		client := b.bouncer.Connect(t, "app", "app")
		tx, err := client.Begin(t.Context())
		must(t, "begin", err)
		_, err = tx.Exec(t.Context(), "SELECT 1")
		must(t, "stay in the transaction", err)
		config.OnStep = held.then(func() { must(t, "commit", tx.Commit(t.Context())) })
		outcome, err := Run(t.Context(), config)
		must(t, "rehearse", err)
		if !outcome.Rehearsed {
			t.Errorf("it was not rehearsed: %+v", outcome)
		}
		wantTries(t, outcome, "pause: ", "user app in database app")
		w.awaitMore(t, 100)
	})
	t.Run("the target is late", func(t *testing.T) {
		config, held := b.patient(t)
		config.OnStep = held.up(func() {})
		outcome, err := Run(t.Context(), config)
		must(t, "switch over", err)
		if !outcome.Switched {
			t.Fatalf("it did not switch: %+v", outcome)
		}
		wantTries(t, outcome, "drain: the target has not applied everything of")
	})
	w.awaitMore(t, 100)
	w.stop(t)
	for _, database := range databases {
		w.wantOnce(t, b.ours(t, b.target, database), database)
	}
}

// interruptedBetweenTries: clients go on at the source, and the attempt has ended.
func interruptedBetweenTries(t *testing.T, b *bed) {
	config, held := b.patient(t)
	ctx, interrupt := context.WithCancel(t.Context())
	config.OnStep = held.up(interrupt)
	outcome, err := Run(ctx, config)
	must(t, "be interrupted", err)
	if outcome.Switched || outcome.Reason != errInterrupted.Error() {
		t.Errorf("outcome is %+v", outcome)
	}
	wantTries(t, outcome, "drain: ")
	b.wantStage(t, config.Journal, StageUndone)
	b.wantServing(t, b.source)
}

// killedBetweenTries: whoever finds the journal ends the attempt, so that the one who was thought dead cannot go on.
func killedBetweenTries(t *testing.T, b *bed) {
	config, held := b.patient(t)
	var found upgrade.Switchover
	holdUp := held.up(func() {})
	config.OnStep = func(step string) {
		holdUp(step)
		if step == "ready" && held.over { // the next try's
			var err error
			found, err = Recover(t.Context(), config)
			must(t, "recover", err)
		}
	}
	_, err := Run(t.Context(), config)
	if err == nil || !strings.Contains(err.Error(), `"intent" cannot follow "undone"`) {
		t.Errorf("the next try: %v, want none", err)
	}
	if found.Switched || !strings.Contains(found.Reason, errHeldTooLong.Error()) {
		t.Errorf("who finds it is told %+v", found)
	}
	b.wantStage(t, config.Journal, StageUndone)
	b.wantServing(t, b.source)
}

// firstTry is long enough for all that is not held up, on a busy machine too.
const firstTry = 2 * time.Second

// patient is a configuration with two tries, the first of which can be held up.
func (b *bed) patient(t *testing.T) (Config, *heldUp) {
	t.Helper()
	config := b.config(t)
	config.Patience = []time.Duration{firstTry}
	return config, &heldUp{t: t, holder: b.target.Connect(t, "app")}
}

// heldUp is a first try that takes long.
type heldUp struct {
	t      *testing.T
	holder *pgx.Conn
	over   bool
}

// then does something when the first try is undone.
func (h *heldUp) then(do func()) (onStep func(string)) {
	return func(step string) {
		if step == "undo" && !h.over {
			h.over = true
			do()
		}
	}
}

// up keeps the target from applying the marker until the first try is undone.
func (h *heldUp) up(then func()) (onStep func(string)) {
	undone := h.then(func() {
		h.exec("COMMIT")
		then()
	})
	return func(step string) {
		if step == "pause" && !h.over {
			h.exec("BEGIN; LOCK TABLE pgleap.marker IN SHARE MODE")
		}
		undone(step)
	}
}

func (h *heldUp) exec(sql string) {
	h.t.Helper()
	_, err := h.holder.Exec(h.t.Context(), sql)
	must(h.t, sql, err)
}

// wantTries wants one try that gave way, for a reason.
func wantTries(t *testing.T, outcome upgrade.Switchover, reason ...string) {
	t.Helper()
	if len(outcome.Tries) != 1 {
		t.Fatalf("tries: %v, want one", outcome.Tries)
	}
	try := outcome.Tries[0]
	for _, part := range append(reason, errHeldTooLong.Error()) {
		if !strings.Contains(try.Reason, part) {
			t.Errorf("the first try gave way for %q, want %q in it", try.Reason, part)
		}
	}
	if took := try.EndedAt.Sub(try.StartedAt); took < firstTry || took > 10*time.Second {
		t.Errorf("clients waited %s in the first try", took)
	}
}
