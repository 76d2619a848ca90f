package control

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/pgleap/pgleap/internal/catalog"
	"github.com/pgleap/pgleap/internal/pgtest"
	"github.com/pgleap/pgleap/internal/upgrade"
)

func TestOnce(t *testing.T) {
	c := newControl(t)
	at := now
	c.now = func() time.Time { return at }
	done := 0
	do := func(answer string, err error) func(context.Context) ([]byte, error) {
		return func(context.Context) ([]byte, error) {
			done++
			return []byte(answer), err
		}
	}
	token := Once{Account: "a", Action: "Switch", Token: "t1", Digest: "d1"}
	ask := func(o Once, do func(context.Context) ([]byte, error)) (string, error) {
		answer, err := c.Once(t.Context(), o, do)
		return string(answer), err
	}
	if _, err := ask(token, do("", errors.New("no"))); err == nil {
		t.Error("a failure was taken for an answer")
	}
	for range 3 {
		if answer, err := ask(token, do("first", nil)); err != nil || answer != "first" {
			t.Errorf("got %q (%v)", answer, err)
		}
	}
	if done != 2 {
		t.Errorf("carried out %d times, want once after the failure", done)
	}
	other := token
	other.Digest = "d2"
	if _, err := ask(other, do("x", nil)); !is[*TokenMismatch](err) {
		t.Errorf("other parameters: %v", err)
	}
	elsewhere := token
	elsewhere.Account = "b"
	if answer, err := ask(elsewhere, do("second", nil)); err != nil || answer != "second" {
		t.Errorf("another account: %q (%v)", answer, err)
	}
	busy := Once{Account: "a", Action: "Switch", Token: "t2", Digest: "d1"}
	late, err := ask(busy, func(context.Context) ([]byte, error) {
		_, err := ask(busy, do("x", nil))
		if !is[*TokenBusy](err) {
			t.Errorf("while it is being carried out: %v", err)
		}
		// Its server dies here, as far as the next one can tell.
		at = at.Add(abandonedAfter)
		answer, err := ask(busy, do("third", nil))
		if err != nil || answer != "third" {
			t.Errorf("after its server died: %q (%v)", answer, err)
		}
		return []byte("late"), nil
	})
	if err != nil || late != "late" {
		t.Errorf("who was not dead after all got %q (%v)", late, err)
	}
	if answer, err := ask(busy, do("x", nil)); err != nil || answer != "third" {
		t.Errorf("after that: %q (%v)", answer, err)
	}
}

// A request may be at work still whose server's clock is behind.
func TestATokenIsLeftToAServerWhoseClockIsBehind(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t, 15)
	one, closeOne := newShared(t, server)
	other, closeOther := newShared(t, server)
	defer closeOther()
	token := Once{Account: "a", Action: "Switch", Token: "t", Digest: "d"}
	again := func(ahead time.Duration) error {
		other.now = func() time.Time { return now.Add(ahead) }
		_, err := other.Once(t.Context(), token, func(context.Context) ([]byte, error) { return nil, errors.New("carried out") })
		return err
	}
	if _, err := one.catalog.TakeClientToken(t.Context(), catalog.ClientToken{Account: "a", Action: "Switch", Token: "t"}, "d", now); err != nil {
		t.Fatal(err)
	}
	for _, ahead := range []time.Duration{0, abandonedAfter, clockSkew} {
		if err := again(ahead); !is[*TokenBusy](err) {
			t.Errorf("by a clock that is %s ahead: %v", ahead, err)
		}
	}
	closeOne()
	awaitAlone(t, other)
	if err := again(abandonedAfter); err == nil || is[*TokenBusy](err) {
		t.Errorf("when its server is gone: %v", err)
	}
}

// A token is taken from a request when its server must have died. So no request may hold one for that long.
func TestARequestIsOverBeforeItsTokenIsTaken(t *testing.T) {
	c := newControl(t)
	token := Once{Account: "a", Action: "Switch", Token: "t", Digest: "d"}
	bounded := func(ctx context.Context) ([]byte, error) {
		ends, bounded := ctx.Deadline()
		if least := 5 * startTimeout; !bounded || time.Until(ends) > abandonedAfter-least {
			t.Errorf("it may go on until %s (bounded: %v), and its token is taken after %s", ends, bounded, abandonedAfter)
		}
		return nil, errors.New("no")
	}
	if _, err := c.Once(t.Context(), token, bounded); err == nil {
		t.Error("a failure was taken for an answer")
	}
	impatient, cancel := context.WithCancel(t.Context())
	slow := func(ctx context.Context) ([]byte, error) {
		cancel()
		<-ctx.Done()
		return nil, ctx.Err()
	}
	if _, err := c.Once(impatient, token, slow); !errors.Is(err, context.Canceled) {
		t.Errorf("a request that was too slow came to %v", err)
	}
	again := func(context.Context) ([]byte, error) { return []byte("done"), nil }
	if answer, err := c.Once(t.Context(), token, again); err != nil || string(answer) != "done" {
		t.Errorf("sent again, it came to %q (%v)", answer, err)
	}
}

func is[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}

func TestHistoryKnowsWhatRunsAndWhoNeverWas(t *testing.T) {
	c := newControl(t)
	addInstance(t, c, "orders")
	if _, _, err := c.History(t.Context(), HistoryFilter{Instance: "nosuch", Kind: upgrade.TaskUpgrade}); kind(err) != "notfound" {
		t.Errorf("an instance that never was: %v", err)
	}
	if tasks, total, err := c.History(t.Context(), HistoryFilter{Instance: "orders", Kind: upgrade.TaskUpgrade}); err != nil || total != 0 || len(tasks) != 0 {
		t.Errorf("nothing yet: %d of %d (%v)", len(tasks), total, err)
	}
	ended := addTask(t, c, "orders", upgrade.TaskUpgrade)
	if err := c.catalog.EndTask(t.Context(), ended.Number, upgrade.Outcome{Status: upgrade.StatusFailed, Reason: "no"}, now); err != nil {
		t.Fatal(err)
	}
	running := addTask(t, c, "orders", upgrade.TaskUpgrade)
	tasks, total, err := c.History(t.Context(), HistoryFilter{Instance: "orders", Kind: upgrade.TaskUpgrade, Limit: 10})
	if err != nil || total != 2 || len(tasks) != 2 {
		t.Fatalf("got %d of %d (%v)", len(tasks), total, err)
	}
	if tasks[0].Number != running.Number || tasks[0].Running == nil || tasks[1].Running != nil {
		t.Errorf("got %d and %d", tasks[0].Number, tasks[1].Number)
	}
	state, err := c.InstanceState(t.Context(), "orders")
	if err != nil || state.Upgrade == nil || state.Upgrade.Number != running.Number || state.Precheck != nil {
		t.Errorf("state %+v (%v)", state, err)
	}
	if latest, err := c.LatestTask(t.Context(), "orders", upgrade.TaskUpgrade, ""); err != nil || latest.Number != running.Number {
		t.Errorf("latest is %d (%v)", latest.Number, err)
	}
	if _, err := c.LatestTask(t.Context(), "orders", upgrade.TaskPrecheck, ""); kind(err) != "notfound" {
		t.Errorf("latest precheck: %v", err)
	}
}
