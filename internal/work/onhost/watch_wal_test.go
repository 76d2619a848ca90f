package onhost

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pgleap/pgleap/internal/postgres"
	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/internal/upgrade/step"
)

// The user is told of what would end the upgrade before it does, of each once; and once more when all has been well
// for an hour, however long one leg is.
func TestWALIsToldOfOnce(t *testing.T) {
	const gib = 1 << 30
	room := walKept{free: 50 * gib, total: 100 * gib}
	keeps := func(gibs float64) walFigures {
		return walFigures{serving: walKept{bytes: int64(gibs * gib), free: room.free, total: room.total}, follower: room}
	}
	full := func(now walFigures, free int64) walFigures {
		now.serving.free = free
		return now
	}
	followerFull := func(bytes, free int64) walFigures {
		now := keeps(0.1)
		now.follower.bytes, now.follower.free = bytes, free
		return now
	}
	losing := func(now walFigures, since time.Duration) walFigures {
		now.losing, now.never = since, "it will never catch up"
		return now
	}
	const half, most, disk, never = "at 10240 MiB the way back is closed", "at 10240 MiB the way back is closed", "when less than 5120 MiB are left, the way back is closed", "never catch up"
	plan := upgrade.Plan{
		Source: upgrade.Cluster{Port: 5433}, Target: upgrade.Cluster{Port: 5432}, Reversed: true,
		Options: upgrade.Options{MaxRetainedWAL: 10 * gib},
	}
	at := time.Unix(0, 0)
	var told map[string]int // what the workflow keeps
	watch := walWatchOf(nil)
	for _, c := range []struct {
		name  string
		after time.Duration
		now   walFigures
		want  []string
		news  bool
	}{
		{"little", 0, keeps(0.1), nil, false},
		{"losing ground for a moment", time.Second, losing(keeps(0.2), time.Minute), nil, false},
		{"for long", 4 * time.Minute, losing(keeps(2), losingFor), []string{never}, true},
		{"half", time.Hour, losing(keeps(6), time.Hour), []string{half}, true},
		{"half, still", time.Hour, losing(keeps(7), time.Hour), nil, false},
		{"most", time.Hour, keeps(9), []string{most}, true},
		{"most, still", time.Hour, keeps(9.5), nil, false},
		{"it has caught up", time.Hour, keeps(0.1), nil, false},
		{"but not for long", time.Minute, keeps(6), nil, false},
		{"it has caught up again", time.Minute, keeps(0.1), nil, false},
		{"an hour later", wellFor, keeps(2), nil, true},
		{"and another", wellFor, keeps(0.1), nil, false},
		{"down again a week later", 7 * 24 * time.Hour, keeps(6), []string{half}, true},
		{"and all at once", time.Second, full(losing(keeps(9), time.Second), 9*gib), []string{most, disk, never}, true},
		{"well", time.Hour, keeps(0.1), nil, false},
		{"for an hour", wellFor, keeps(0.1), nil, true},
		{"a disk that is filled by others", time.Second, full(keeps(0.2), gib), nil, false},
		{"a disk that will be full", time.Second, full(keeps(0.3), 10*gib-1), []string{"port 5433 has 10239 MiB left of 102400 MiB"}, true},
		{"still", time.Second, full(keeps(0.4), 9*gib), nil, false},
		{"the follower's, with what comes between two advances", time.Second, followerFull(followersShare, 9*gib), nil, false},
		{"the follower's", time.Second, followerFull(followersShare+1, 9*gib), []string{"port 5432 has 9216 MiB left"}, true},
		{"losing ground fast", time.Second, losing(keeps(3), 30*time.Second), []string{never}, true},
		{"what cannot be measured", time.Second, walFigures{serving: walKept{bytes: 2 * gib}}, nil, false},
	} {
		at = at.Add(c.after)
		c.now.at = at
		warnings, news := watch.judge(plan, c.now)
		fits := len(warnings) == len(c.want) && news == c.news
		for i := 0; fits && i < len(c.want); i++ {
			fits = strings.Contains(warnings[i], c.want[i])
		}
		if !fits {
			t.Errorf("%s: told %q, news %v; want %q", c.name, warnings, news, c.want)
		}
		if news { // following begins anew with what is told
			told = watch.with(map[string]int{"lake": 1})
			if watch = walWatchOf(told); told["lake"] != 1 {
				t.Errorf("%s: kept %v", c.name, told)
			}
		}
	}
}

// warnsOfWhatIsKept follows a source on which a slot keeps more than half of what the upgrade may keep: one that is held
// for a consumer counts. It tells of that once.
func (b *upgradeBed) warnsOfWhatIsKept() {
	b.Helper()
	const held = "pgleap_cdc_0123456789abcdef"
	source := b.session(b.plan.Source, "shop")
	kept, err := postgres.RetainedForUpgrade(b.Context(), source)
	b.must(err)
	much := 4*kept + 16<<20 // the other slots may let go of theirs at any time
	b.exec(source, `SELECT pg_create_logical_replication_slot('`+held+`', 'test_decoding')`)
	b.exec(source, fmt.Sprintf(`SELECT pg_logical_emit_message(false, 'much', repeat('x', %d))`, much))
	defer b.exec(source, `SELECT pg_drop_replication_slot('`+held+`')`)
	plan := b.plan
	plan.Options.MaxRetainedWAL = (kept + much) / 10 * 13
	var told map[string]int
	for _, want := range [][]string{{"MiB of WAL because"}, {"the target has caught up"}} {
		result, err := b.worker.Synchronize(b.Context(), step.SynchronizeArgs{Plan: plan, UntilReady: told != nil, Told: told})
		b.must(err)
		var texts []string
		for _, event := range result.Events {
			texts = append(texts, event.Text)
		}
		if !slices.EqualFunc(texts, want, strings.Contains) {
			b.Fatalf("told %q, want %q", texts, want)
		}
		told = result.Told
	}
}
