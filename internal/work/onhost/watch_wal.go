package onhost

import (
	"fmt"
	"maps"
	"time"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// walWatch looks after the WAL that is kept for the upgrade itself while a side follows. What is told of it is told
// once, well before the upgrade, or the way back, ends for it. When all has been well for a while it is forgotten:
// a side may follow for weeks, and be away on more than one night.
type walWatch struct {
	told int       // a sum of what is to be told of a slot, and of what follows
	well time.Time // since when there has been nothing to tell; zero: there is
}

// What else there is to be told.
const (
	fillsFollowersDisk = 1 << 8 << iota
	losesGround
)

// walFigures is what is judged.
type walFigures struct {
	at       time.Time
	serving  walKept       // the side that clients are on
	follower walKept       // the other one
	isHeld   bool          // what the serving side keeps is for a consumer whose slot could not be made
	losing   time.Duration // for how long it has come no nearer
	never    string        // that it will never catch up, if that is clear
}

// walKept is what one side keeps, and what is left of its WAL's file system; nothing is left of nothing where that
// cannot be measured.
type walKept struct{ bytes, free, total int64 }

// measure looks at the file system of a cluster's WAL.
func (k *walKept) measure(cluster upgrade.Cluster) {
	if free, total, err := walDisk(cluster); err == nil {
		k.free, k.total = free, total
	}
}

// nearlyFull tells whether the disk will soon end the upgrade, see overDisk and judgeFollowersDisk.
func (k walKept) nearlyFull(share int64) bool {
	return k.total > 0 && k.free < 2*leastFree(k.total) && k.bytes > share
}

// losingFor is how long a side must have been losing ground before the user is told so, unless its share of the cap is
// not small any more by then: it is early, and not every batch that clients write.
const losingFor = 5 * time.Minute

// small is the part of the cap, in percent, that nobody needs to know of.
const small = 25

// wellFor is how long all must have been well before what was told will be told again. What is told makes the
// history of the upgrade's workflow longer, which the engine limits.
const wellFor = time.Hour

// judge tells what the user does not know yet. There is news without a warning when all is well again.
func (w *walWatch) judge(plan upgrade.Plan, now walFigures) (warnings []string, news bool) {
	limit := plan.Options.MaxRetainedWAL
	isSmall := now.serving.bytes <= limit/100*small
	state := 0
	for what, is := range map[int]bool{
		keepsHalf:          now.serving.bytes > limit/2,
		keepsMost:          now.serving.bytes > limit/100*most,
		fillsDisk:          now.serving.nearlyFull(ourShare),
		fillsFollowersDisk: now.follower.nearlyFull(followersShare),
		losesGround:        now.never != "" && (now.losing >= losingFor || !isSmall),
	} {
		if is {
			state |= what
		}
	}
	unknown := state &^ w.told
	w.told |= state
	switch {
	case state != 0 || !isSmall:
		w.well = time.Time{}
	case w.well.IsZero():
		w.well = now.at
	case w.told != 0 && now.at.Sub(w.well) >= wellFor:
		w.told = 0
		return nil, true
	}
	return warnOfWAL(plan, now, unknown), unknown != 0
}

// warnOfWAL tells what will happen, and when.
func warnOfWAL(plan upgrade.Plan, now walFigures, unknown int) (warnings []string) {
	then := "the upgrade is given up"
	if plan.Reversed {
		then = "the way back is closed"
	}
	if unknown&(keepsHalf|keepsMost) != 0 {
		why := fmt.Sprintf("the server at port %d is behind", plan.Target.Port)
		switch {
		case now.isHeld:
			why = "the slot of a consumer could not be made there"
		case plan.Mode == upgrade.BlueGreen:
			why = "the clone is behind"
		}
		warnings = append(warnings, fmt.Sprintf(
			"the server at port %d keeps %d MiB of WAL because %s; at %d MiB %s",
			plan.Source.Port, now.serving.bytes>>20, why, plan.Options.MaxRetainedWAL>>20, then))
	}
	disk := func(port int, kept walKept) {
		warnings = append(warnings, fmt.Sprintf(
			"the file system of the WAL of the server at port %d has %d MiB left of %d MiB, and that server keeps %d MiB of WAL for the upgrade; when less than %d MiB are left, %s: make room there",
			port, kept.free>>20, kept.total>>20, kept.bytes>>20, leastFree(kept.total)>>20, then))
	}
	if unknown&fillsDisk != 0 {
		disk(plan.Source.Port, now.serving)
	}
	if unknown&fillsFollowersDisk != 0 {
		disk(plan.Target.Port, now.follower)
	}
	if unknown&losesGround != 0 {
		warnings = append(warnings, now.never)
	}
	return warnings
}

// figures is what the follower has measured last.
func (f *follower) figures(lag upgrade.Lag) walFigures {
	now := walFigures{
		at: f.trend.last().at, never: f.neverCatchesUp(lag),
		serving: walKept{bytes: lag.RetainedWAL}, follower: walKept{bytes: f.kept},
		isHeld: f.held > 0 && f.held == lag.RetainedWAL,
	}
	if !f.trend.losing.IsZero() {
		now.losing = now.at.Sub(f.trend.losing)
	}
	now.serving.measure(f.plan.Source)
	now.follower.measure(f.plan.Target)
	return now
}

// walKey is where what was told goes with what was told of the slots of others, see interruptionKey.
const walKey = "(wal)"

func walWatchOf(told map[string]int) walWatch { return walWatch{told: told[walKey]} }

// with adds what was told to what was told of other things.
func (w *walWatch) with(told map[string]int) map[string]int {
	all := map[string]int{}
	maps.Copy(all, told)
	all[walKey] = w.told
	return all
}
