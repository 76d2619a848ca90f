package upgrade

import "time"

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
