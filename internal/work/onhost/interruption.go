package onhost

import "maps"

// interruption watches whether the lag can be measured. As long as it cannot nobody knows whether replication goes
// on, and the user is told so: once, and again when it can.
type interruption struct {
	told   bool // the user knows that it cannot be measured
	failed int  // samples in a row
	fine   int
}

// samplesUntilTold is how many samples in a row must fail, or succeed, before the user is told: one that fails is
// no news.
const samplesUntilTold = 3

// sampled takes what became of a sample and tells whether there is news.
func (i *interruption) sampled(err error) (news bool) {
	if err == nil {
		i.failed, i.fine = 0, i.fine+1
	} else {
		i.failed, i.fine = i.failed+1, 0
	}
	if i.told && i.fine < samplesUntilTold || !i.told && i.failed < samplesUntilTold {
		return false
	}
	i.told = !i.told
	return true
}

// The state of an interruption goes with what is told of the slots of others, see step.Synchronized. No slot has
// such a name (slot.c, ReplicationSlotValidateName).
const (
	interruptionKey = "(lag)"
	isInterrupted   = 1
	isMeasured      = 2 // again
)

// interruptionOf is the state that an earlier Synchronize left.
func interruptionOf(told map[string]int) interruption {
	return interruption{told: told[interruptionKey] == isInterrupted}
}

// with adds the state to what was told of slots.
func (i *interruption) with(told map[string]int) map[string]int {
	all := map[string]int{}
	maps.Copy(all, told)
	all[interruptionKey] = isMeasured
	if i.told {
		all[interruptionKey] = isInterrupted
	}
	return all
}
