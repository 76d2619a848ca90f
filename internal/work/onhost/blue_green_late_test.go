package onhost

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pgleap/pgleap/internal/pgtest"
	"github.com/pgleap/pgleap/internal/switchover"
	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/internal/upgrade/step"
)

// A switch for which it is too late does not begin, and nothing is run before it; nor does one for which the window closes
// while it is made ready. No client waits for it, and the next window finds the clone as it was.
func TestSwitchToCloneTooLate(t *testing.T) {
	pgtest.Slow(t)
	b := newSwitchBed(t, func(*upgrade.Options) {})
	ran := b.notingHooks()
	b.toClone()
	for i, c := range []struct {
		name     string
		closes   time.Duration // from now
		passes   bool          // an hour, while the first program runs
		prepares bool          // a transaction, which keeps the switch from beginning until the window has closed
		switched bool
		ran      string
	}{
		{"the window has closed", -time.Second, false, false, false, ""},
		{"the window closes while the first program runs", 30 * time.Minute, true, false, false, "before\nafter false"},
		{"the window closes while it is made ready", 10 * time.Second, false, true, false, "before\nafter false"},
		{"the next window", time.Hour, false, false, true, "before\nafter true"},
	} {
		b.hourPasses(c.passes)
		args := step.SwitchOverArgs{Plan: b.plan, Attempt: i + 1, NotAfter: time.Now().Add(c.closes)}
		if c.prepares {
			b.source.Exec(t, "shop", `BEGIN; INSERT INTO keyless VALUES (1, 'late'); PREPARE TRANSACTION 'late'`)
			time.AfterFunc(c.closes+time.Second, func() { b.source.Exec(t, "shop", `COMMIT PREPARED 'late'`) })
		}
		result, err := b.worker.switchToCloneAround(t.Context(), args)
		b.must(err)
		if result.Late == c.switched || result.Switchover.Switched != c.switched || result.Spent {
			t.Errorf("%s: %+v", c.name, result)
		}
		if diff := cmp.Diff(c.ran, ran()); diff != "" {
			t.Errorf("%s: run (-want +got):\n%s", c.name, diff)
		}
		path, err := b.worker.journalPath(args)
		b.must(err)
		state, err := switchover.OpenJournal(path, time.Now).Read()
		b.must(err)
		if (state.Stage == switchover.StageNone) == c.switched {
			t.Errorf("%s: the journal is at %q", c.name, state.Stage)
		}
	}
}
