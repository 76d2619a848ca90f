package control

import (
	"testing"

	"github.com/pgleap/pgleap/internal/upgrade"
)

func TestVerbFitsThePhase(t *testing.T) {
	running := func(phase upgrade.Phase) upgrade.Task {
		return upgrade.Task{Number: 3, Kind: upgrade.TaskUpgrade, Status: upgrade.StatusRunning, Phase: phase}
	}
	switched := running(upgrade.PhaseSwitchover)
	switched.Switchover = &upgrade.Switchover{Switched: true}
	refused := running(upgrade.PhaseSynchronizing)
	refused.Switchover = &upgrade.Switchover{Reason: "a transaction stayed open"}
	ended := running(upgrade.PhaseFinishing)
	ended.Status = upgrade.StatusSucceeded
	precheck := running(upgrade.PhasePrecheck)
	precheck.Kind = upgrade.TaskPrecheck

	for name, test := range map[string]struct {
		task                        upgrade.Task
		doSwitch, interrupt, cancel bool
	}{
		"precheck of an upgrade": {task: running(upgrade.PhasePrecheck), cancel: true},
		"base backup":            {task: running(upgrade.PhaseBaseBackup), cancel: true},
		"synchronizing":          {task: running(upgrade.PhaseSynchronizing), doSwitch: true, cancel: true},
		"synchronizing again":    {task: refused, doSwitch: true, cancel: true},
		"switchover":             {task: running(upgrade.PhaseSwitchover), interrupt: true, cancel: true},
		"switched":               {task: switched},
		"finishing":              {task: running(upgrade.PhaseFinishing)},
		"cleaning up":            {task: running(upgrade.PhaseCleanup)},
		"ended":                  {task: ended},
		"precheck":               {task: precheck},
	} {
		for verb, allowed := range map[Verb]bool{VerbSwitch: test.doSwitch, VerbInterrupt: test.interrupt, VerbCancel: test.cancel} {
			err := verb.allowed(test.task)
			if (err == nil) != allowed {
				t.Errorf("%s: %s allowed is %t, want %t (%v)", name, verb, err == nil, allowed, err)
			}
			if err != nil && kind(err) != "conflict" {
				t.Errorf("%s: %s: %v is no conflict", name, verb, err)
			}
		}
	}
}
