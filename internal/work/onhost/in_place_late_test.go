package onhost

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pgleap/pgleap/internal/pgtest"
	"github.com/pgleap/pgleap/internal/run"
	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/internal/upgrade/step"
)

// notingHooks are programs around the switch that note that they were run.
func (b *upgradeBed) notingHooks() (ran func() string) {
	b.Helper()
	dir := filepath.Dir(b.source.Pgdata)
	owner, err := run.LookupUser(b.source.Owner)
	b.must(err)
	log := filepath.Join(dir, "hooks.log")
	program := func(name string) string {
		path := filepath.Join(dir, name)
		b.must(os.WriteFile(path, []byte(fmt.Sprintf("#!/bin/sh\necho $PGLEAP_HOOK $PGLEAP_SWITCHED >> %s\n", log)), 0o700))
		b.must(owner.Chown(path))
		return path
	}
	b.plan.Hooks = &upgrade.Hooks{Before: program("before"), After: program("after")}
	return func() string {
		content, _ := os.ReadFile(log)
		_ = os.Remove(log)
		return strings.TrimSpace(string(content))
	}
}

// hourPasses has the agent's clock go an hour ahead as soon as the first program of notingHooks has run.
func (b *upgradeBed) hourPasses(passes bool) {
	log := filepath.Join(filepath.Dir(b.source.Pgdata), "hooks.log")
	b.worker.now = func() time.Time {
		now := time.Now()
		if _, err := os.Stat(log); err == nil && passes {
			now = now.Add(time.Hour)
		}
		return now
	}
}

// An outage for which it is too late does not begin, and nothing is run before it. If the window closes while that is
// run, it is undone; and the next window has all of it anew.
func TestInPlaceTooLate(t *testing.T) {
	pgtest.Slow(t)
	b := newInPlaceBed(t, upgrade.TransferAuto)
	ran := b.notingHooks()
	b.prepared()
	for _, c := range []struct {
		name     string
		closes   time.Duration // from now
		passes   bool          // an hour, while the first program runs
		switched bool
		ran      string
	}{
		{"the window has closed", -time.Second, false, false, ""},
		{"the window closes meanwhile", 30 * time.Minute, true, false, "before\nafter false"},
		{"the next window", time.Hour, false, true, "before\nafter true"},
	} {
		b.hourPasses(c.passes)
		result, err := b.worker.upgradeInPlaceAround(t.Context(), step.InPlaceArgs{Plan: b.plan, NotAfter: time.Now().Add(c.closes)})
		b.must(err)
		if result.Late == c.switched || result.Switchover.Switched != c.switched {
			t.Errorf("%s: %+v", c.name, result)
		}
		if diff := cmp.Diff(c.ran, ran()); diff != "" {
			t.Errorf("%s: run (-want +got):\n%s", c.name, diff)
		}
		if !c.switched && b.stage() != outageNone {
			t.Errorf("%s: the journal is at %q", c.name, b.stage())
		}
	}
}
