package control

import (
	"testing"

	"github.com/pgleap/pgleap/internal/upgrade"
)

func TestVerbFitsThePhase(t *testing.T) {
	running := func(phase upgrade.Phase) upgrade.Task {
		return upgrade.Task{Number: 3, Kind: upgrade.TaskUpgrade, Mode: upgrade.ZeroDowntime, Status: upgrade.StatusRunning, Phase: phase}
	}
	there := func(phase upgrade.Phase) upgrade.Task {
		task := running(phase)
		task.Switchover = &upgrade.Switchover{Switched: true}
		return task
	}
	notBack := running(upgrade.PhaseFollowing)
	notBack.Switchover = &upgrade.Switchover{Back: true}
	back := running(upgrade.PhaseSynchronizing)
	back.Switchover = &upgrade.Switchover{Switched: true, Back: true}
	refused := running(upgrade.PhaseSynchronizing)
	refused.Switchover = &upgrade.Switchover{Reason: "a transaction stayed open"}
	ended := running(upgrade.PhaseFinishing)
	ended.Status = upgrade.StatusSucceeded
	cloned := there(upgrade.PhaseFinishing) // its own workflow goes on
	cloned.Mode = upgrade.BlueGreen
	precheck := running(upgrade.PhasePrecheck)
	precheck.Kind = upgrade.TaskPrecheck

	for name, test := range map[string]struct {
		task                        upgrade.Task
		doSwitch, interrupt, cancel bool
		rehearse, wayBack           bool
	}{
		"precheck of an upgrade": {task: running(upgrade.PhasePrecheck), cancel: true},
		"base backup":            {task: running(upgrade.PhaseBaseBackup), cancel: true},
		"synchronizing":          {task: running(upgrade.PhaseSynchronizing), doSwitch: true, cancel: true, rehearse: true},
		"synchronizing again":    {task: refused, doSwitch: true, cancel: true, rehearse: true},
		"back at the source":     {task: back, doSwitch: true, cancel: true, rehearse: true},
		"following":              {task: there(upgrade.PhaseFollowing), rehearse: true, wayBack: true},
		"not switched back":      {task: notBack, rehearse: true, wayBack: true},
		"switchback":             {task: there(upgrade.PhaseSwitchback), interrupt: true},
		"rehearsal of it":        {task: there(upgrade.PhaseRehearsal), interrupt: true},
		"switchover":             {task: running(upgrade.PhaseSwitchover), interrupt: true, cancel: true},
		"switched":               {task: there(upgrade.PhaseSwitchover), interrupt: true},
		"finishing":              {task: running(upgrade.PhaseFinishing)},
		"cleaning up":            {task: running(upgrade.PhaseCleanup)},
		"ended":                  {task: ended},
		"finishing the clone":    {task: cloned},
		"precheck":               {task: precheck},
	} {
		for verb, allowed := range map[Verb]bool{
			VerbSwitch: test.doSwitch, VerbInterrupt: test.interrupt, VerbCancel: test.cancel,
			VerbRehearse: test.rehearse, VerbBack: test.wayBack, VerbFinish: test.wayBack,
		} {
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
