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
	since, length := w.opened(now)
	if since < length {
		return 0
	}
	return day - since
}

// Closes is when a window closes that is open at a moment.
func (w Window) Closes(now time.Time) time.Time {
	since, length := w.opened(now)
	return now.UTC().Add(length - since)
}

const day = 24 * time.Hour

// opened is how long ago the window last opened, and how long it stays open.
func (w Window) opened(now time.Time) (since, length time.Duration) {
	now = now.UTC()
	midnight := time.Date(now.Year(), now.Month(), now.Day(), 0, 0, 0, 0, time.UTC)
	start, end := time.Duration(w.Start)*time.Minute, time.Duration(w.End)*time.Minute
	return (now.Sub(midnight) - start + day) % day, (end - start + day) % day
}
