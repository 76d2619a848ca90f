package onhost

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/pgleap/pgleap/internal/upgrade"
)

func TestJudgeFollowersDisk(t *testing.T) {
	const gib = 1 << 30
	for _, c := range []struct {
		name              string
		kept, free, total int64
		reversed          bool
		want              string // empty: it goes on
	}{
		{"room enough", 10 * gib, 50 * gib, 100 * gib, false, ""},
		{"5 % of a large disk", 10 * gib, 5*gib - 1, 100 * gib, false, "port 5433 has 5119 MiB left of 102400 MiB, and that server keeps 10240 MiB"},
		{"full, but what is kept is what comes between two advances", followersShare, 0, 100 * gib, false, ""},
		{"when clients have gone over", 2 * gib, 0, 100 * gib, true, "there is no way back any more"},
	} {
		plan := upgrade.Plan{Source: upgrade.Cluster{Port: 5432}, Target: upgrade.Cluster{Port: 5433}, Reversed: c.reversed}
		err := judgeFollowersDisk(plan, c.kept, c.free, c.total)
		if refused, ok := errors.AsType[*upgrade.Refused](err); ok != (c.want != "") || ok && !strings.Contains(refused.Error(), c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// keepsLittle: while standbys are made, the target lets go of the WAL for the way back that it need not keep, and
// what it keeps is under the cap.
func (b *upgradeBed) keepsLittle() {
	b.Helper()
	confirmed := func() string {
		return b.ask(b.plan.Target, "shop", `
			SELECT confirmed_flush_lsn::text FROM pg_replication_slots WHERE slot_name ~ '^pgleap_back' AND database = current_database()`)[0]
	}
	b.source.Exec(b, "shop", `INSERT INTO keyless VALUES (3, 'moves the slot')`)
	b.until("the row is on the target", func() bool {
		return b.ask(b.plan.Target, "shop", `SELECT count(*)::text FROM keyless WHERE b = 'moves the slot'`)[0] == "1"
	})
	before := confirmed()
	b.worker.advanceSlots(b.Context(), b.plan)
	if after := confirmed(); after == before {
		b.Errorf("the slot for the way back is still at %s", after)
	}
	b.must(b.worker.overStandbysCap(b.Context(), b.plan))
	plan := b.plan
	plan.Options.MaxRetainedWAL = 1
	err := b.worker.overStandbysCap(b.Context(), plan)
	if refused, ok := errors.AsType[*upgrade.Refused](err); !ok || !strings.Contains(refused.Reason, "the target keeps") {
		b.Errorf("beyond the cap: %v", err)
	}
}

// givenUpHalfway: standbys that are given up while they are copied leave nothing on the target that keeps WAL, and
// nothing beside the old ones. They can be made later.
func (b *upgradeBed) givenUpHalfway(beside func() []string) {
	b.Helper()
	before := beside()
	ctx, cancel := context.WithCancel(b.Context())
	ctx = context.WithValue(ctx, progressKey{}, &progress{beat: func(now upgrade.Progress) {
		if strings.HasPrefix(now.Text, "copying") {
			cancel()
		}
	}})
	b.must(b.worker.surveyStandbys(b.Context(), b.plan))
	if _, err := b.worker.buildStandbys(ctx, b.plan, 1, true); err == nil {
		b.Error("the standbys were made")
	}
	slots := func() []string {
		return b.ask(b.plan.Target, "postgres", `SELECT slot_name::text FROM pg_replication_slots WHERE slot_type = 'physical'`)
	}
	if len(slots()) == 0 {
		b.Error("no slot was made")
	}
	b.must(b.worker.giveUpStandbys(b.Context(), b.plan))
	if left := slots(); len(left) > 0 {
		b.Errorf("left on the target: %v", left)
	}
	if after := beside(); !slices.Equal(before, after) {
		b.Errorf("beside the old standby: %v, before: %v", after, before)
	}
}
