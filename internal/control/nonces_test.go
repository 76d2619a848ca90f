package control

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/pgleap/pgleap/internal/catalog"
)

// soonTooOld is when requests that were signed now are too old.
var soonTooOld = now.Add(15 * time.Minute)

func note(t *testing.T, c *Control, nonce string) error {
	t.Helper()
	return noted(c.NoteNonce(t.Context(), "a", nonce, soonTooOld))
}

// noted is how it came out, now or in the end.
func noted(verdict func() error, err error) error {
	if err != nil {
		return err
	}
	return verdict()
}

func isReplayed(err error) bool {
	_, replayed := errors.AsType[*Replayed](err)
	return replayed
}

// The first nonce is written at once: until then it is not known what former processes have written.
func TestNonceOfAReadingCallIsTakenOnce(t *testing.T) {
	c := newControl(t)
	for _, nonce := range []string{"1", "2", "3"} {
		if err := note(t, c, nonce); err != nil {
			t.Fatal(err)
		}
	}
	if len(c.requests.noted) != 2 {
		t.Errorf("%d nonces wait to be written", len(c.requests.noted))
	}
	for _, again := range []string{"1", "3", "2", "3"} {
		if err := note(t, c, again); !isReplayed(err) {
			t.Errorf("nonce %s once more: %v", again, err)
		}
		if err := c.UseNonce(t.Context(), "a", again, soonTooOld); !isReplayed(err) {
			t.Errorf("nonce %s in a call that changes something: %v", again, err)
		}
	}
	if err := c.UseNonce(t.Context(), "a", "4", soonTooOld); err != nil {
		t.Fatal(err)
	}
	if err := note(t, c, "4"); !isReplayed(err) {
		t.Errorf("the nonce of a call that changed something: %v", err)
	}
	if err := noted(c.NoteNonce(t.Context(), "a", "5", now)); !isReplayed(err) {
		t.Errorf("a nonce that has expired: %v", err)
	}
	if err := noted(c.NoteNonce(t.Context(), "b", "3", soonTooOld)); err != nil {
		t.Errorf("the same one of another key: %v", err)
	}
}

func TestNonceOfAReadingCallIsTakenOnceByManyAtOnce(t *testing.T) {
	c := newControl(t)
	if err := note(t, c, "first"); err != nil {
		t.Fatal(err)
	}
	const atOnce = 50
	for round := range 20 {
		results := make(chan error, atOnce)
		for n := range atOnce {
			go func() {
				if n%3 == 0 {
					results <- c.UseNonce(t.Context(), "a", fmt.Sprint(round), soonTooOld)
				} else {
					results <- note(t, c, fmt.Sprint(round))
				}
			}()
		}
		taken := 0
		for range atOnce {
			if err := <-results; err == nil {
				taken++
			} else if !isReplayed(err) {
				t.Error(err)
			}
		}
		if taken != 1 {
			t.Errorf("it was taken %d times", taken)
		}
	}
}

// What was written is refused by whoever serves next, whose memory is empty.
func TestNonceIsRefusedAfterARestart(t *testing.T) {
	c := newControl(t)
	for n := range 5 {
		if err := note(t, c, fmt.Sprint(n)); err != nil {
			t.Fatal(err)
		}
	}
	c.Close()
	next := New(Deps{Catalog: c.catalog, Host: "db1", Now: c.now})
	t.Cleanup(next.Close)
	for n := range 5 {
		if err := note(t, next, fmt.Sprint(n)); !isReplayed(err) {
			t.Errorf("nonce %d after a restart: %v", n, err)
		}
	}
	if err := note(t, next, "new"); err != nil {
		t.Error(err)
	}
	if err := noted(next.NoteNonce(t.Context(), "a", "newer", soonTooOld.Add(time.Second))); err != nil {
		t.Error(err)
	}
	if len(next.requests.noted) != 1 {
		t.Errorf("%d nonces wait to be written, want the one that is newer than all before the restart", len(next.requests.noted))
	}
}

// Noted nonces that could not be written come before those of calls that came later: of two that are
// alike, the first one counts.
func TestNoncesThatCouldNotBeWrittenComeFirst(t *testing.T) {
	for name, later := range map[string][]catalog.Nonce{"alone": nil, "with others": {nonceOf("noted"), nonceOf("other")}} {
		t.Run(name, func(t *testing.T) {
			c := newControl(t)
			r := c.requests
			r.mu.Lock()
			r.unsaved = 1
			var verdicts []chan nonceAnswer
			for _, n := range later {
				verdicts = append(verdicts, make(chan nonceAnswer, 1))
				r.pending.Nonces, r.waiting = append(r.pending.Nonces, n), append(r.waiting, verdicts[len(verdicts)-1])
			}
			r.mu.Unlock()
			r.settle([]catalog.Nonce{nonceOf("noted")}, false)
			r.mu.Lock()
			r.write()
			r.mu.Unlock()
			for i, verdict := range verdicts {
				if a := <-verdict; a.err != nil || a.fresh != (i == 1) {
					t.Errorf("%s: %+v", later[i].Nonce, a)
				}
			}
			r.flush()
			if r.unsaved != 0 {
				t.Errorf("%d nonces are not written", r.unsaved)
			}
			if err := c.UseNonce(t.Context(), "a", "noted", soonTooOld); !isReplayed(err) {
				t.Errorf("once more: %v", err)
			}
		})
	}
}

func nonceOf(text string) catalog.Nonce {
	return catalog.Nonce{AccessKey: "a", Nonce: text, ExpiresAt: soonTooOld}
}

// What there was no room for is in the record only, which is asked for it when there is room again.
func TestNonceThatThereWasNoRoomForIsTakenOnce(t *testing.T) {
	c := newControl(t)
	c.requests.known.limit = 4
	at := func(minute int) time.Time { return now.Add(time.Duration(minute) * time.Minute) }
	for _, step := range []struct {
		nonce         string
		minute, until int
		replayed      bool
	}{
		{"1", 0, 30, false},
		{"2", 0, 30, false},
		{"3", 0, 30, false},
		{"4", 0, 30, false},
		{"one too many", 29, 58, false},
		{"another", 29, 59, false},
		{"one too many", 30, 58, true},
		{"another", 30, 59, true},
		{"new", 30, 59, false},
		{"new", 30, 59, true},
	} {
		c.now = func() time.Time { return at(step.minute) }
		if err := noted(c.NoteNonce(t.Context(), "a", step.nonce, at(step.until))); isReplayed(err) != step.replayed || err != nil && !step.replayed {
			t.Errorf("%s in minute %d: %v", step.nonce, step.minute, err)
		}
	}
	if newer := (catalog.Nonce{AccessKey: "a", Nonce: "newer", ExpiresAt: at(60)}); !c.requests.noteNonce(newer, at(30)) {
		t.Error("the record is asked for one that is newer than all that there was no room for")
	}
}

// Who repeats a request is told so before anything is done for it.
func TestNonceThatMayHaveBeenUsedIsLookedUpFirst(t *testing.T) {
	c := newControl(t)
	for _, nonce := range []string{"written at once", "noted"} {
		if err := note(t, c, nonce); err != nil {
			t.Fatal(err)
		}
		if _, err := c.NoteNonce(t.Context(), "a", nonce, soonTooOld); !isReplayed(err) {
			t.Errorf("%s, once more: %v", nonce, err)
		}
	}
	// Where others write the record, its answer is awaited first for what this process knows.
	for _, want := range []bool{true, false} {
		verdict, unknown := c.requests.submit(t.Context(), nonceOf("another"), now)
		if unknown != want {
			t.Errorf("surely not seen here: %t, want %t", unknown, want)
		}
		if err := verdict(); isReplayed(err) == want {
			t.Error(err)
		}
	}
}

func TestMemoryOfNonces(t *testing.T) {
	s := newNonces(3)
	at := func(minutes int) time.Time { return now.Add(time.Duration(minutes) * time.Minute) }
	for _, step := range []struct {
		name   string
		nonce  string
		minute int
		until  int
		new    bool
	}{
		{"a new one", "1", 0, 15, true},
		{"once more", "1", 1, 15, false},
		{"while it counts", "1", 15, 15, false},
		{"one that counts longest", "2", 29, 59, true},
		{"once more, when the memory has aged", "2", 31, 59, false},
		{"in its last minute", "2", 59, 59, false},
		{"when it counts no more", "2", 62, 77, true},
		{"one that counts too long", "3", 62, 93, false},
		{"another", "4", 63, 78, true},
		{"after the clock was put back", "4", 50, 78, false},
		{"the last one that there is room for", "5", 63, 78, true},
		{"one too many", "6", 63, 78, false},
		{"when there is room again", "6", 92, 100, true},
		{"one before that", "5", 92, 100, false},
	} {
		if got := s.add(catalog.Nonce{AccessKey: "a", Nonce: step.nonce, ExpiresAt: at(step.until)}, at(step.minute)); got != step.new {
			t.Errorf("%s: surely new: %t", step.name, got)
		}
	}
}
