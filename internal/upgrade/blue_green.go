package upgrade

import (
	"strconv"
	"strings"
	"time"
)

const cloneMark = "-clone-"

// CloneID is the id of the instance that an upgrade makes of a clone, and leaves beside its source.
func CloneID(instance string, number int64) string {
	return instance + cloneMark + strconv.FormatInt(number, 10)
}

// ParseCloneID is the other way round.
func ParseCloneID(id string) (instance string, number int64, ok bool) {
	mark := strings.LastIndex(id, cloneMark)
	if mark < 1 {
		return "", 0, false
	}
	number, err := strconv.ParseInt(id[mark+len(cloneMark):], 10, 32)
	return id[:mark], number, err == nil && CloneID(id[:mark], number) == id
}

// BlueGreenPhases lists the phases of a blue-green upgrade in order. One that only makes a clone ends
// the recovery of its clone and upgrades it (PhaseUpgrade) where the other one synchronizes and switches.
func BlueGreenPhases(cloneOnly bool) []Phase {
	if cloneOnly {
		return []Phase{PhasePrecheck, PhasePrepare, PhaseBaseBackup, PhaseUpgrade, PhaseFinishing}
	}
	return []Phase{PhasePrecheck, PhasePrepare, PhaseBaseBackup, PhaseSynchronizing, PhaseSwitchover, PhaseFinishing}
}

// Until is how long it takes from a moment until the window is open; 0 while it is.
func (w Window) Until(now time.Time) time.Duration {
	const day = 24 * time.Hour
	now = now.UTC()
	midnight := time.Date(now.Year(), now.Month(), now.Day(), 0, 0, 0, 0, time.UTC)
	start, end := time.Duration(w.Start)*time.Minute, time.Duration(w.End)*time.Minute
	sinceStart := (now.Sub(midnight) - start + day) % day
	if sinceStart < (end-start+day)%day {
		return 0
	}
	return day - sinceStart
}
